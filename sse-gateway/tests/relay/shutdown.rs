//! SIGTERM while relayed streams are open.

use std::time::{Duration, Instant};

use crate::client::{Client, get};
use crate::gateway::Gateway;
use crate::wire::WireUpstream;

#[tokio::test]
async fn relays_do_not_keep_the_process() {
    for sharing in ["--share", "--resume"] {
        let upstream = WireUpstream::bind().await;
        let mut flags = vec![
            sharing,
            "on",
            "--on-leave",
            "finish",
            "--drain-window",
            "200ms",
        ];
        flags.extend(["--keep-finished", "1h", "--give-up", "1h"]);
        let mut gateway = Gateway::with(&upstream.url, &flags, &[]);
        let client = Client::send(&gateway, &get(&[])).await;
        let mut server = upstream.accept().await;
        server.head().await;
        server.open_stream().await;
        let mut client = Client::opened(client).await;
        server.numbers([1]).await;
        assert_eq!(client.data(1).await, ["1"]);

        let began = Instant::now();
        gateway.terminate();
        assert_eq!(client.next().await, None);
        assert!(gateway.exit().success());
        assert!(began.elapsed() < Duration::from_secs(20), "{sharing}");
        assert_eq!(server.rest().await, "");
    }
}
