//! Streams with an event now and then.

use std::net::SocketAddr;

use crate::wire::{Wire, WireUpstream};

pub(crate) struct Quiet {
    /// Client and upstream of each.
    streams: Vec<(Wire, Wire)>,
    sent: usize,
}

impl Quiet {
    /// Opens so many, each with a first event.
    pub(crate) async fn open(count: usize, gateway: SocketAddr, upstream: &WireUpstream) -> Self {
        let mut streams = Vec::new();
        for number in 0..count {
            let (client, mut server) = upstream.asked(gateway, &get(&format!("/{number}"))).await;
            server.send(HEAD).await;
            streams.push((client, server));
        }
        let mut quiet = Self { streams, sent: 0 };
        quiet.send().await;
        quiet.receive().await;
        quiet
    }

    /// Sends an event to each.
    pub(crate) async fn send(&mut self) {
        self.sent += 1;
        let event = format!("data: {}\n\n", self.sent);
        for (_, server) in &mut self.streams {
            server
                .send(format!("{:X}\r\n{event}\r\n", event.len()))
                .await;
        }
    }

    /// Waits until all have it.
    pub(crate) async fn receive(&mut self) {
        let event = format!("data: {}\n\n", self.sent);
        for (client, _) in &mut self.streams {
            client.until(&event).await;
        }
    }
}

pub(crate) const HEAD: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

pub(crate) fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n\r\n")
}
