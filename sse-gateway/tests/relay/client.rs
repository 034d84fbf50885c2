//! A client on a socket of its own.

use std::collections::VecDeque;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::gateway::{Gateway, PATIENCE};

/// A client that reads an event stream.
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
    pub(crate) head: String,
    text: String,
    events: VecDeque<Event>,
}

/// An event with data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) id: String,
    pub(crate) kind: String,
    pub(crate) data: String,
}

/// A request for `/stream` with these lines in its head.
pub(crate) fn get(lines: &[&str]) -> String {
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    format!("GET /stream HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n{lines}\r\n")
}

pub(crate) fn post(lines: &[&str], body: &str) -> String {
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    let length = body.len();
    format!(
        "POST /stream HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\nContent-Length: {length}\r\n{lines}\r\n{body}"
    )
}

impl Client {
    /// Sends a request, and does not wait for its response.
    pub(crate) async fn send(gateway: &Gateway, request: &str) -> BufReader<TcpStream> {
        Self::send_to(gateway.address, request).await
    }

    async fn send_to(address: SocketAddr, request: &str) -> BufReader<TcpStream> {
        let mut stream = TcpStream::connect(address).await.expect("connects");
        stream
            .write_all(request.as_bytes())
            .await
            .expect("is written");
        BufReader::new(stream)
    }

    /// Waits for the head.
    pub(crate) async fn opened(mut stream: BufReader<TcpStream>) -> Self {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            head.push(byte(&mut stream).await.expect("a head") as char);
        }
        Client {
            stream,
            head,
            text: String::new(),
            events: VecDeque::new(),
        }
    }

    pub(crate) async fn open(gateway: &Gateway, request: &str) -> Self {
        Self::opened(Self::send(gateway, request).await).await
    }

    pub(crate) async fn open_at(address: SocketAddr, request: &str) -> Self {
        Self::opened(Self::send_to(address, request).await).await
    }

    pub(crate) fn status(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }

    /// The next event with data, or `None` when the stream has ended.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            let chunk = self.chunk().await?;
            self.text.push_str(&chunk);
            while let Some(end) = self.text.find("\n\n") {
                let block: String = self.text.drain(..end + 2).collect();
                self.events.extend(event(&block));
            }
        }
    }

    /// Reads on until this has come.
    pub(crate) async fn until_text(&mut self, text: &str) {
        while !self.text.contains(text) {
            let chunk = self.chunk().await.expect("no end");
            self.text.push_str(&chunk);
        }
    }

    /// So many events.
    pub(crate) async fn take(&mut self, count: usize) -> Vec<Event> {
        let mut events = Vec::new();
        for number in 0..count {
            let Some(event) = self.next().await else {
                panic!("ended after {number} of {count} events: {events:?}");
            };
            events.push(event);
        }
        events
    }

    /// The data of so many events.
    pub(crate) async fn data(&mut self, count: usize) -> Vec<String> {
        let events = self.take(count).await;
        events.into_iter().map(|event| event.data).collect()
    }

    /// The same for an answer that is broken off, without its last chunk.
    pub(crate) async fn broken(self) -> String {
        let rest = self.rest().await;
        assert!(!rest.ends_with("0\r\n\r\n"), "it looks whole: {rest:?}");
        rest
    }

    /// What comes behind the head until the connection closes, as it is on the wire.
    pub(crate) async fn rest(mut self) -> String {
        let mut rest = Vec::new();
        let read = timeout(PATIENCE, self.stream.read_to_end(&mut rest)).await;
        read.expect("an end in time").expect("reads");
        String::from_utf8(rest).expect("UTF-8")
    }

    async fn chunk(&mut self) -> Option<String> {
        let mut size = String::new();
        while !size.ends_with("\r\n") {
            size.push(byte(&mut self.stream).await? as char);
        }
        let size = usize::from_str_radix(size.trim(), 16).expect("the size of a chunk");
        if size == 0 {
            return None;
        }
        let mut chunk = vec![0; size + 2];
        self.stream.read_exact(&mut chunk).await.ok()?;
        chunk.truncate(size);
        Some(String::from_utf8(chunk).expect("UTF-8"))
    }
}

async fn byte(stream: &mut BufReader<TcpStream>) -> Option<u8> {
    let read = timeout(PATIENCE, stream.read_u8()).await;
    read.expect("bytes in time").ok()
}

fn event(block: &str) -> Option<Event> {
    let field = |name: &str| {
        let lines = block.lines().filter_map(|line| line.split_once(": "));
        lines
            .filter(|(found, _)| *found == name)
            .map(|(_, value)| value.to_owned())
            .next()
    };
    Some(Event {
        data: field("data")?,
        id: field("id").unwrap_or_default(),
        kind: field("event").unwrap_or_default(),
    })
}
