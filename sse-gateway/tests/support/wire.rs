//! A socket whose bytes a test sends and reads itself.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::gateway::PATIENCE;

pub(crate) struct Wire {
    stream: TcpStream,
    seen: Vec<u8>,
}

impl Wire {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::from(TcpStream::connect(address).await.expect("connects"))
    }

    pub(crate) fn from(stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("nodelay");
        Self {
            stream,
            seen: Vec::new(),
        }
    }

    pub(crate) async fn send(&mut self, text: impl AsRef<[u8]>) {
        self.stream.write_all(text.as_ref()).await.expect("writes");
    }

    /// The same to a side that may have closed.
    pub(crate) async fn send_if_open(&mut self, text: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(text.as_ref()).await;
    }

    /// Sends nothing more, and can still read.
    pub(crate) async fn end(&mut self) {
        self.stream.shutdown().await.expect("ends");
    }

    /// Ends as who has crashed does.
    pub(crate) fn reset(self) {
        self.stream.set_zero_linger().expect("linger");
    }

    /// What is read and written from now on is no affair of this.
    pub(crate) fn into_std(self) -> std::net::TcpStream {
        self.stream.into_std().expect("a socket")
    }

    /// Two for one connection: one to read, one to write.
    pub(crate) fn split(self) -> (Self, Self) {
        let reader = self.stream.into_std().expect("a socket");
        let writer = reader.try_clone().expect("a descriptor");
        let [mut reader, writer] =
            [reader, writer].map(|one| Self::from(TcpStream::from_std(one).expect("a socket")));
        reader.seen = self.seen;
        (reader, writer)
    }

    /// Reads up to and with `needle`, and returns that. Heartbeats in the meantime buy no time.
    pub(crate) async fn until(&mut self, needle: &str) -> String {
        let found = timeout(PATIENCE, self.find(needle)).await;
        found.unwrap_or_else(|_| {
            let seen = String::from_utf8_lossy(&self.seen);
            panic!("no {needle:?} in time, but {seen:?}")
        })
    }

    async fn find(&mut self, needle: &str) -> String {
        loop {
            let found = self
                .seen
                .windows(needle.len())
                .position(|window| window == needle.as_bytes());
            if let Some(start) = found {
                let rest = self.seen.split_off(start + needle.len());
                let text = std::mem::replace(&mut self.seen, rest);
                return String::from_utf8_lossy(&text).into_owned();
            }
            let read = self.read().await.expect("reads");
            let seen = String::from_utf8_lossy(&self.seen);
            assert_ne!(read, 0, "ended before {needle:?}, after {seen:?}");
        }
    }

    /// Reads so many bytes.
    pub(crate) async fn bytes(&mut self, count: usize) -> Vec<u8> {
        while self.seen.len() < count {
            assert_ne!(self.read().await.expect("reads"), 0, "ended too early");
        }
        self.seen.drain(..count).collect()
    }

    /// Reads a head, up to its blank line.
    pub(crate) async fn head(&mut self) -> String {
        self.until("\r\n\r\n").await
    }

    /// Reads until the other side ends; an error counts as an end.
    pub(crate) async fn rest(&mut self) -> String {
        while self.read().await.is_ok_and(|read| read > 0) {}
        String::from_utf8_lossy(&std::mem::take(&mut self.seen)).into_owned()
    }

    /// Reads what comes next, and says how much that was; an error counts as an end.
    pub(crate) async fn read_some(&mut self) -> usize {
        self.read().await.unwrap_or_default()
    }

    async fn read(&mut self) -> io::Result<usize> {
        timeout(PATIENCE, self.stream.read_buf(&mut self.seen))
            .await
            .expect("bytes in time")
    }
}

/// An upstream that a test plays itself.
pub(crate) struct WireUpstream {
    listener: TcpListener,
    pub(crate) url: String,
}

impl WireUpstream {
    pub(crate) async fn bind() -> Self {
        Self::of(TcpListener::bind("127.0.0.1:0").await.expect("binds"))
    }

    pub(crate) fn of(listener: TcpListener) -> Self {
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        Self { listener, url }
    }

    /// Sends a request to the gateway at this address, and reads its head here. Gives the client and this side.
    pub(crate) async fn asked(&self, gateway: SocketAddr, request: &str) -> (Wire, Wire) {
        let mut client = Wire::connect(gateway).await;
        client.send(request).await;
        let mut server = self.accept().await;
        server.head().await;
        (client, server)
    }

    pub(crate) async fn accept(&self) -> Wire {
        let (stream, _) = timeout(PATIENCE, self.listener.accept())
            .await
            .expect("a connection in time")
            .expect("accepts");
        Wire::from(stream)
    }
}

/// The values of a field in a head, in order.
pub(crate) fn field<'a>(head: &'a str, name: &str) -> Vec<&'a str> {
    head.lines()
        .skip(1)
        .filter_map(|line| line.split_once(": "))
        .filter(|(found, _)| found.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
        .collect()
}

/// The answer to a request on a connection of its own.
pub(crate) async fn get(address: SocketAddr, path: &str) -> String {
    let mut client = Wire::connect(address).await;
    client
        .send(format!(
            "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
        ))
        .await;
    client.rest().await
}
