//! `--compress`: event streams as gzip.

use std::io::Write as _;

use flate2::write::GzDecoder;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::client::get;
use crate::gateway::{Gateway, PATIENCE};
use crate::wire::{Wire, WireUpstream, field};

/// A client that reads gzip as it comes.
struct Zipped {
    stream: TcpStream,
    head: String,
    unread: Vec<u8>,
    text: GzDecoder<Vec<u8>>,
    has_ended: bool,
}

impl Zipped {
    async fn send(gateway: &Gateway, lines: &[&str]) -> TcpStream {
        let mut stream = TcpStream::connect(gateway.address).await.expect("connects");
        let lines = [&["Accept-Encoding: br, gzip"], lines].concat();
        let request = get(&lines);
        stream.write_all(request.as_bytes()).await.expect("is sent");
        stream
    }

    async fn opened(stream: TcpStream) -> Self {
        let mut client = Zipped {
            stream,
            head: String::new(),
            unread: Vec::new(),
            text: GzDecoder::new(Vec::new()),
            has_ended: false,
        };
        loop {
            let end = client
                .unread
                .windows(4)
                .position(|four| four == b"\r\n\r\n");
            if let Some(end) = end {
                let head: Vec<u8> = client.unread.drain(..end + 4).collect();
                client.head = String::from_utf8(head).expect("is text");
                return client;
            }
            client.read().await;
        }
    }

    async fn read(&mut self) {
        let read = timeout(PATIENCE, self.stream.read_buf(&mut self.unread)).await;
        let read = read.expect("bytes in time").expect("is open");
        assert!(read > 0, "the connection has ended: {}", self.seen());
    }

    fn seen(&self) -> String {
        String::from_utf8_lossy(self.text.get_ref()).into_owned()
    }

    /// Takes in the chunks that are there.
    fn unchunk(&mut self) {
        while let Some(line) = self.unread.windows(2).position(|two| two == b"\r\n") {
            let size = std::str::from_utf8(&self.unread[..line]).expect("a size");
            let size = usize::from_str_radix(size, 16).expect("a size");
            let (begin, end) = (line + 2, line + 2 + size);
            if self.unread.len() < end + 2 {
                return;
            }
            self.has_ended |= size == 0;
            self.text
                .write_all(&self.unread[begin..end])
                .expect("is gzip");
            self.text.flush().expect("is gzip");
            self.unread.drain(..end + 2);
        }
    }

    /// Reads until this was seen, or the end where it is empty.
    async fn until(&mut self, text: &str) -> String {
        loop {
            self.unchunk();
            let is_seen = match text {
                "" => self.has_ended,
                _ => self.seen().contains(text),
            };
            if is_seen {
                return self.seen();
            }
            self.read().await;
        }
    }

    /// Reads to the end, and checks all.
    async fn whole(mut self) -> String {
        self.until("").await;
        let text = self.text.finish().expect("the check is right");
        String::from_utf8(text).expect("is text")
    }
}

#[tokio::test]
async fn each_event_is_there_at_once_and_the_end_is_whole() {
    for lean in ["on", "off"] {
        for flags in [&[][..], &["--resume", "on"]] {
            let upstream = WireUpstream::bind().await;
            let flags = [&["--compress", "on", "--heartbeat", "50ms"], flags].concat();
            let gateway = Gateway::with(&upstream.url, &flags, &[("SSE_GATEWAY_LEAN", lean)]);
            let client = Zipped::send(&gateway, &[]).await;
            let mut server = upstream.accept().await;
            server.head().await;
            server.open_stream().await;
            server.piece("data: 1\n\n").await;
            let mut client = Zipped::opened(client).await;
            assert_eq!(field(&client.head, "content-encoding"), ["gzip"]);
            assert_eq!(field(&client.head, "vary"), ["accept-encoding"]);
            client.until("data: 1\n").await;
            let large = "x".repeat(100_000);
            server.piece(&format!("data: {large}\n\n")).await;
            client.until(&large).await;
            client.until("\n:\n").await;
            server.piece("data: 2\n\n").await;
            client.until("data: 2\n").await;
            server.end_stream().await;
            let text = client.whole().await;
            assert!(text.contains("data: 1\n") && text.ends_with("\n"), "{text}");
        }
    }
}

#[tokio::test]
async fn clients_of_a_shared_stream_join_when_they_like_and_some_take_no_gzip() {
    for lean in ["on", "off"] {
        let upstream = WireUpstream::bind().await;
        let flags = ["--compress", "on", "--share", "on", "--start", "live"];
        let gateway = Gateway::with(&upstream.url, &flags, &[("SSE_GATEWAY_LEAN", lean)]);
        let first = Zipped::send(&gateway, &[]).await;
        let mut server = upstream.accept().await;
        server.head().await;
        server.open_stream().await;
        server.piece("data: 1\n\n").await;
        let mut first = Zipped::opened(first).await;
        first.until("data: 1\n").await;
        let mut late = Vec::new();
        for number in 2..20 {
            late.push(Zipped::opened(Zipped::send(&gateway, &[]).await).await);
            if number == 10 {
                let mut plain = Wire::connect(gateway.address).await;
                plain.send(get(&[])).await;
                let head = plain.head().await;
                assert!(field(&head, "content-encoding").is_empty(), "{head}");
                assert_eq!(field(&head, "vary"), ["accept-encoding"]);
                server.piece("data: 10\n\n").await;
                plain.until("data: 10\n").await;
            } else {
                server.piece(&format!("data: {number}\n\n")).await;
            }
            for client in late.iter_mut().chain([&mut first]) {
                client.until(&format!("data: {number}\n")).await;
            }
        }
        let id = first.seen();
        let id = id.rsplit_once("id: ").expect("an id").1;
        let id = id.split_once('\n').expect("a line").0;
        server.piece("data: 20\n\n").await;
        let resumed = Zipped::send(&gateway, &[&format!("Last-Event-ID: {id}")]).await;
        let mut resumed = Zipped::opened(resumed).await;
        let seen = resumed.until("data: 20\n").await;
        assert_eq!(seen.matches("data: ").count(), 1, "{seen}");
    }
}

#[tokio::test]
async fn what_is_no_event_stream_passes_as_it_came() {
    let upstream = WireUpstream::bind().await;
    let gateway = Gateway::with(&upstream.url, &["--compress", "on"], &[]);
    let mut client = Wire::connect(gateway.address).await;
    client
        .send("GET / HTTP/1.1\r\nHost: h\r\nAccept-Encoding: gzip\r\n\r\n")
        .await;
    let mut server = upstream.accept().await;
    server.head().await;
    server
        .send("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 3\r\n\r\nabc")
        .await;
    let answer = client.until("abc").await;
    assert!(field(&answer, "content-encoding").is_empty(), "{answer}");
    assert!(field(&answer, "vary").is_empty(), "{answer}");
}
