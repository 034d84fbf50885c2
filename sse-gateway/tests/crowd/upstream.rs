//! The upstream of clients that come and leave.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// Answers each request by a stream of one event that stays open, and those for `/silent/N` not at all.
pub(crate) struct Upstream {
    pub(crate) url: String,
    shared: Arc<Shared>,
}

struct Shared {
    open: AtomicUsize,
    silent: Vec<Notify>,
}

/// What clients see of a stream's event, whatever is written around it.
pub(crate) const EVENT: &str = "data: 1\n\n";

impl Upstream {
    /// `silent` is how many paths there are that are not answered.
    pub(crate) async fn start(silent: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let shared = Arc::new(Shared {
            open: AtomicUsize::new(0),
            silent: (0..silent).map(|_| Notify::new()).collect(),
        });
        let serving = shared.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("accepts");
                let shared = serving.clone();
                tokio::spawn(async move {
                    shared.open.fetch_add(1, Ordering::Relaxed);
                    // It is reset where the gateway has left.
                    let _ = shared.serve(stream).await;
                    shared.open.fetch_sub(1, Ordering::Relaxed);
                });
            }
        });
        Self { url, shared }
    }

    /// Connections of the gateway that are open.
    pub(crate) fn open(&self) -> usize {
        self.shared.open.load(Ordering::Relaxed)
    }

    /// Waits until the request for `/silent/N` has come, once for each.
    pub(crate) async fn asked_in_vain(&self, number: usize) {
        self.shared.silent[number].notified().await;
    }
}

impl Shared {
    async fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        let mut head = Vec::new();
        while !head.windows(4).any(|four| four == b"\r\n\r\n") {
            if stream.read_buf(&mut head).await? == 0 {
                return Ok(());
            }
        }
        let head = String::from_utf8_lossy(&head);
        let path = head.split(' ').nth(1).unwrap_or_default();
        match path.strip_prefix("/silent/") {
            Some(number) => self.silent[number.parse::<usize>().expect("a number")].notify_one(),
            None => stream.write_all(ANSWER.as_bytes()).await?,
        }
        while stream.read(&mut [0; 512]).await? > 0 {}
        Ok(())
    }
}

const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n\
                      9\r\ndata: 1\n\n\r\n";
