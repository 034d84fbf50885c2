//! An event source that is told where to go, and checks the numbers that it is given.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::PATIENCE;

pub(crate) struct Client {
    pub(crate) number: usize,
    /// What it takes; nothing is said of it where this is empty.
    pub(crate) accept: &'static str,
    pub(crate) path: String,
    last_id: Option<String>,
    /// The last number that it was given.
    last: Option<u64>,
    /// How often it was told that something may be missing.
    pub(crate) gaps: usize,
    is_told: bool,
    pub(crate) log: Vec<String>,
    /// The head of the last response.
    pub(crate) head: Vec<String>,
}

impl Client {
    pub(crate) fn new(number: usize) -> Self {
        Client {
            number,
            accept: "text/event-stream",
            path: "/events".to_owned(),
            last_id: None,
            last: None,
            gaps: 0,
            is_told: false,
            log: Vec::new(),
            head: Vec::new(),
        }
    }

    /// The last number that it was given.
    pub(crate) fn last(&self) -> u64 {
        self.last.unwrap_or(0)
    }

    /// Reads so many events from a node, over as many connections as it takes.
    pub(crate) async fn read(&mut self, node: SocketAddr, events: usize) {
        let mut left = events;
        let reading = async {
            while left > 0 {
                let _ = self.connect(node, &mut left).await;
                if left > 0 {
                    sleep(Duration::from_millis(50)).await;
                }
            }
        };
        if timeout(PATIENCE, reading).await.is_err() {
            panic!(
                "client {}: {left} events are missing: {:?}",
                self.number, self.log
            );
        }
    }

    async fn connect(&mut self, node: SocketAddr, left: &mut usize) -> std::io::Result<()> {
        let mut socket = TcpStream::connect(node).await?;
        let id = self.last_id.as_deref();
        self.log.push(format!("connects to {node} with {id:?}"));
        let id = id.map_or_else(String::new, |id| format!("Last-Event-ID: {id}\r\n"));
        let accept = match self.accept {
            "" => String::new(),
            accept => format!("Accept: {accept}\r\n"),
        };
        let path = &self.path;
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: node\r\n{accept}Connection: close\r\n{id}\r\n");
        socket.write_all(request.as_bytes()).await?;
        let mut lines = BufReader::new(socket).lines();
        let status = lines.next_line().await?.unwrap_or_default();
        self.head = vec![status.clone()];
        while let Some(line) = lines.next_line().await?.filter(|line| !line.is_empty()) {
            self.head.push(line);
        }
        if !status.contains(" 200 ") {
            self.log.push(status);
            *left = 0;
            return Ok(());
        }
        let (mut id, mut event, mut data) = (None, None, None);
        while let Some(line) = lines.next_line().await? {
            match line.split_once(": ") {
                Some(("id", value)) => id = Some(value.to_owned()),
                Some(("event", value)) => event = Some(value.to_owned()),
                Some(("data", value)) => data = Some(value.to_owned()),
                _ => {}
            }
            if line.is_empty() {
                self.last_id = id.take().or(self.last_id.take());
                if let Some(data) = data.take() {
                    *left = left.saturating_sub(self.take(event.take(), &data));
                }
                if *left == 0 {
                    break;
                }
            }
        }
        Ok(())
    }

    /// How many events it counts as.
    fn take(&mut self, event: Option<String>, data: &str) -> usize {
        let id = self.last_id.as_deref().unwrap_or_default();
        self.log.push(format!("{event:?} {data} {id}"));
        if self.log.len() > 200 {
            self.log.drain(..100);
        }
        if event.is_some() {
            self.gaps += 1;
            self.is_told = true;
            return 0;
        }
        let number: u64 = data.parse().unwrap();
        let is_told = std::mem::take(&mut self.is_told);
        if let Some(last) = self.last.replace(number) {
            let follows = number == last + 1 || is_told && number > last;
            assert!(
                follows,
                "client {}: {number} behind {last}: {:#?}",
                self.number, self.log
            );
        }
        1
    }
}
