//! Streams with some events a second each.
//!
//! A tick of the pace is divided into slots of a millisecond, and each stream has one of them: writes are spread evenly
//! instead of coming all at once. Each event is stamped right before it is written, so what the upstream itself is late
//! by is not counted as the proxy's; that it kept up at all is seen in the share of events that were delivered.

use std::{io, time::Duration};

use tokio::{
    net::TcpStream,
    sync::mpsc,
    time::{Instant, sleep_until},
};

use crate::parts::event::{Stamp, now, write_chunk};

/// How often an event is written to each stream.
pub(crate) const EVENTS_PER_SECOND: u64 = 10;

const SLOTS: u64 = 1_000 / EVENTS_PER_SECOND;

/// Writes an event to each stream, once a tick, each in its slot.
pub(super) async fn pace(mut opened: mpsc::Receiver<TcpStream>) {
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
