//! Streams written as fast as they are read. Each event is a chunk of its own, as of a server that flushes each event,
//! and many of them go out in one write.

use std::{
    io,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use tokio::{io::AsyncWriteExt, net::TcpStream};

use super::LAST_CHUNK;

/// What is written at once, and a little more.
const WRITE_BYTES: usize = 64 * 1024;

/// In front of each event's number; a stamp of the time would cost more than the rest.
const BEFORE_NUMBER: &[u8] = b"data: 0 ";

/// Enough for a million events a second for 11 days.
const DIGITS: usize = 12;

static STOPPED: AtomicBool = AtomicBool::new(false);
static WRITTEN: AtomicU64 = AtomicU64::new(0);

/// Ends all streams, each behind the events that it has begun to write.
pub(super) fn stop() {
    STOPPED.store(true, Ordering::Relaxed);
}

/// Bytes of all events so far.
pub(super) fn written() -> u64 {
    WRITTEN.load(Ordering::Relaxed)
}

/// Writes events of this size until all are to stop.
pub(super) async fn write(stream: &mut TcpStream, event_bytes: usize) -> io::Result<()> {
    let mut block = Block::new(event_bytes);
    while !STOPPED.load(Ordering::Relaxed) {
        block.renumber();
        let events = block.number_places.len() * event_bytes;
        WRITTEN.fetch_add(events as u64, Ordering::Relaxed);
        stream.write_all(&block.chunks).await?;
    }
    stream.write_all(LAST_CHUNK).await
}

/// Events that are the same in each write, but for their numbers.
struct Block {
    chunks: Vec<u8>,
    number_places: Vec<usize>,
    next: u64,
}

impl Block {
    fn new(event_bytes: usize) -> Self {
        let mut block = Self {
            chunks: Vec::new(),
            number_places: Vec::new(),
            next: 0,
        };
        let chunks = &mut block.chunks;
        while chunks.len() < WRITE_BYTES {
            chunks.extend_from_slice(format!("{event_bytes:x}\r\n").as_bytes());
            let end = chunks.len() + event_bytes;
            chunks.extend_from_slice(BEFORE_NUMBER);
            block.number_places.push(chunks.len());
            chunks.extend_from_slice(&[b'0'; DIGITS]);
            chunks.push(b' ');
            chunks.resize(end - b"\n\n".len(), b'.');
            chunks.extend_from_slice(b"\n\n\r\n");
        }
        block
    }

    fn renumber(&mut self) {
        for &place in &self.number_places {
            let mut rest = self.next;
            for digit in self.chunks[place..place + DIGITS].iter_mut().rev() {
                *digit = b'0' + (rest % 10) as u8;
                rest /= 10;
            }
            self.next += 1;
        }
    }
}
