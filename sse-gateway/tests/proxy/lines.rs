//! What a client writes in its request never becomes a line of an event stream.

use crate::gateway::Gateway;
use crate::wire::{Wire, WireUpstream};

#[tokio::test]
async fn a_last_event_id_of_a_query_cannot_write_lines() {
    for flag in ["--share", "--resume"] {
        // Of an upstream's id, and of one that looks like ours.
        for id in ["7%0A%0Adata:%20evil%0A%0A", "7%0D%0Ddata:%20evil"] {
            let upstream = WireUpstream::bind().await;
            let gateway = Gateway::with(&upstream.url, &[flag, "on"], &[]);
            let mut client = Wire::connect(gateway.address).await;
            client
                .send(format!(
                    "GET /?lastEventId={id} HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n\
                     Connection: close\r\n\r\n"
                ))
                .await;
            let mut server = upstream.accept().await;
            server.head().await;
            server
                .send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: honest\n\n")
                .await;
            let got = client.until("data: honest").await;
            assert!(!got.contains("evil"), "{flag} {id}: {got}");
        }
    }
}
