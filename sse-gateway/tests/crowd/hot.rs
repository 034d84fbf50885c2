//! A stream that never pauses: its upstream writes as fast as it is read.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt;
use tokio::task::JoinSet;

use crate::gateway::PATIENCE;
use crate::wire::Wire;

/// Written by a thread of its own and read by another, so that neither waits for the test. They end with the gateway.
pub(crate) struct Hot {
    moved: Arc<AtomicUsize>,
}

/// How its clients read.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Reading {
    All,
    /// A little each millisecond.
    Slowly,
}

const MIB: usize = 1024 * 1024;
/// What is written at once, about.
const CHUNK: usize = 16 * 1024;

impl Hot {
    /// Begins behind the heads of the requests, with events of this size.
    pub(crate) fn start(server: Wire, clients: Vec<Wire>, reading: Reading, event: usize) -> Self {
        let moved = Arc::new(AtomicUsize::new(0));
        let (server, counted) = (server.into_std(), moved.clone());
        thread::spawn(move || write(server, event, &counted));
        let clients: Vec<_> = clients.into_iter().map(Wire::into_std).collect();
        let counted = moved.clone();
        thread::spawn(move || read_all(clients, reading, &counted));
        Self { moved }
    }

    /// Bytes that the upstream sent, and those that clients were given.
    pub(crate) fn moved(&self) -> usize {
        self.moved.load(Ordering::Relaxed)
    }

    /// Waits until some more were.
    pub(crate) async fn goes_on(&self) {
        let (before, began) = (self.moved(), Instant::now());
        while self.moved() < before + MIB {
            assert!(began.elapsed() < PATIENCE, "the hot stream stands still");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

fn write(mut server: TcpStream, event: usize, moved: &AtomicUsize) {
    server.set_nonblocking(false).expect("a socket");
    let event = format!("data: {}\n\n", "x".repeat(event - "data: \n\n".len()));
    let events = event.repeat(CHUNK.div_ceil(event.len()));
    let chunk = format!("{:X}\r\n{events}\r\n", events.len());
    while server.write_all(chunk.as_bytes()).is_ok() {
        moved.fetch_add(chunk.len(), Ordering::Relaxed);
    }
}

#[tokio::main(flavor = "current_thread")]
async fn read_all(clients: Vec<TcpStream>, reading: Reading, moved: &Arc<AtomicUsize>) {
    let mut readers = JoinSet::new();
    for client in clients {
        let mut client = tokio::net::TcpStream::from_std(client).expect("a socket");
        let moved = moved.clone();
        readers.spawn(async move {
            let mut bytes = vec![0; CHUNK];
            while let Ok(read @ 1..) = client.read(&mut bytes).await {
                moved.fetch_add(read, Ordering::Relaxed);
                if reading == Reading::Slowly {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
        });
    }
    readers.join_all().await;
}
