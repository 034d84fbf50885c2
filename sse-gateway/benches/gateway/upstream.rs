//! The upstream: writes event streams with as little work as tokio allows, so that the CPU is left to the proxies.
//!
//! A tick of the pace is divided into slots of a millisecond, and each stream has one of them: writes are spread evenly
//! instead of coming all at once. Each event is stamped right before it is written, so what the upstream itself is late
//! by is not counted as the proxy's; that it kept up at all is seen in the share of events that were delivered.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::{Instant, sleep_until},
};

use crate::{
    Error,
    parts::{
        event::{HEAD, Stamp, now, write_chunk},
        process::end_with_the_conductor,
    },
};

/// How often an event is written to each paced stream.
pub(crate) const EVENTS_PER_SECOND: u64 = 10;

/// A stream of [`EVENTS_PER_SECOND`].
pub(crate) const PACED: &str = "/paced";

/// A stream that stays silent after its head.
pub(crate) const IDLE: &str = "/idle";

const SLOTS: u64 = 1_000 / EVENTS_PER_SECOND;

const MAX_HEAD_BYTES: usize = 16 * 1024;

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn run() -> Result<(), Error> {
    end_with_the_conductor();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    eprintln!("listening on http://{}", listener.local_addr()?);
    let (opened, streams) = mpsc::channel(1_024);
    tokio::spawn(pace(streams));
    loop {
        let (stream, _) = listener.accept().await?;
        let opened = opened.clone();
        tokio::spawn(async move {
            // A client that fails or leaves ends its stream; the load counts those.
            let _ = answer(stream, opened).await;
        });
    }
}

/// Answers one request with an event stream, whatever it asks for; its path says which.
async fn answer(mut stream: TcpStream, paced: mpsc::Sender<TcpStream>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut head).await? == 0 || head.len() > MAX_HEAD_BYTES {
            return Ok(());
        }
    }
    stream.write_all(HEAD).await?;
    if head.starts_with(format!("GET {PACED} ").as_bytes()) {
        // Fails only when the upstream ends.
        let _ = paced.send(stream).await;
    } else {
        drop(head);
        while stream.read(&mut [0; 64]).await? > 0 {}
    }
    Ok(())
}

/// Writes an event to each stream, once a tick, each in its slot.
async fn pace(mut opened: mpsc::Receiver<TcpStream>) {
    let mut slots: Vec<Vec<Paced>> = (0..SLOTS).map(|_| Vec::new()).collect();
    let mut emptiest = (0..slots.len()).cycle();
    let mut buffer = Vec::new();
    let start = Instant::now();
    for millisecond in 0.. {
        sleep_until(start + Duration::from_millis(millisecond)).await;
        while let Ok(stream) = opened.try_recv() {
            let slot = emptiest.next().unwrap_or_default();
            slots[slot].push(Paced {
                stream,
                sequence: 0,
                held: Vec::new(),
            });
        }
        let slot = (millisecond % SLOTS) as usize;
        slots[slot].retain_mut(|stream| stream.send(&mut buffer).is_ok());
    }
}

struct Paced {
    stream: TcpStream,
    sequence: u64,
    /// The rest of an event that did not fit into the socket. Until it is gone, events are skipped: a missing one shows
    /// in the load, and nothing grows.
    held: Vec<u8>,
}

impl Paced {
    fn send(&mut self, buffer: &mut Vec<u8>) -> io::Result<()> {
        self.sequence += 1;
        if !self.held.is_empty() {
            let written = written(self.stream.try_write(&self.held))?;
            self.held.drain(..written);
        }
        if self.held.is_empty() {
            buffer.clear();
            let sequence = self.sequence;
            let stamp = Stamp {
                written: now(),
                sequence,
            };
            write_chunk(buffer, format_args!("id: {sequence}\n"), stamp);
            let written = written(self.stream.try_write(buffer))?;
            self.held.extend_from_slice(&buffer[written..]);
        }
        Ok(())
    }
}

fn written(result: io::Result<usize>) -> io::Result<usize> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        other => other,
    }
}
