//! Lines on their way to a reader that may never read them.
//!
//! Not `tracing-appender`: its queue is bounded in lines and not in bytes, the reader is not told of what is missing,
//! and what it prints when the process ends at a full queue waits for that same reader.

use std::io::{self, Write};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// A bounded queue of lines. What finds no room is dropped and counted.
#[derive(Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    /// There is as much to write as is waited for.
    filled: Condvar,
    /// All is written.
    emptied: Condvar,
}

#[derive(Default)]
struct State {
    bytes: Vec<u8>,
    /// Of these bytes.
    lines: u64,
    is_writing: bool,
    /// With so many bytes the writer is to be woken: it sleeps. None while it does not.
    awaited: Option<usize>,
    /// Whether somebody waits until all is written.
    is_hurried: bool,
    /// Since the reader was told of it.
    lost: u64,
    dropped: u64,
}

/// Some thousand lines: more than a burst, less than anybody would miss.
const MOST: usize = 1024 * 1024;
/// To wake a thread costs more than a line, so those that come within this time behind others are written together,
const GATHER: Duration = Duration::from_millis(10);
/// or when they are as many.
const ENOUGH: usize = 64 * 1024;
/// A buffer that was larger than this in a burst is given back.
const KEPT: usize = 64 * 1024;
/// Between two tries where standard error is set not to block, as some parents do.
const PAUSE: Duration = Duration::from_millis(10);

impl Queue {
    /// Takes a line, or drops it. Never waits for the reader.
    pub(crate) fn push(&self, line: &[u8]) {
        let mut state = self.state();
        if state.bytes.len() + line.len() > MOST {
            state.lost += 1;
            state.dropped += 1;
            return;
        }
        state.bytes.extend_from_slice(line);
        state.lines += 1;
        let there = state.bytes.len();
        if state.awaited.take_if(|bytes| there >= *bytes).is_some() {
            self.filled.notify_one();
        }
    }

    /// Writes what comes, for ever. `tell` is given the number of lines that were lost before those that come next.
    pub(crate) fn write_to(&self, mut out: impl Write, tell: impl Fn(u64)) {
        let mut bytes = Vec::new();
        loop {
            let (lines, lost) = self.take(&mut bytes);
            if lost > 0 {
                tell(lost);
            }
            let written = write_all(&mut out, &bytes);
            let mut state = self.state();
            state.is_writing = false;
            if written.is_err() {
                // Nobody can be told: the reader has gone.
                state.dropped += lines;
            }
            if state.bytes.is_empty() {
                self.emptied.notify_all();
            }
            bytes.clear();
            bytes.shrink_to(KEPT);
            self.gather(state);
        }
    }

    /// Waits a moment for more lines.
    fn gather(&self, state: MutexGuard<'_, State>) {
        let is_calm = |state: &mut State| {
            state.awaited = Some(ENOUGH);
            !state.is_hurried && state.bytes.len() < ENOUGH
        };
        let waited = self.filled.wait_timeout_while(state, GATHER, is_calm);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.awaited = None;
    }

    /// Waits for lines and swaps them for the empty buffer.
    fn take(&self, bytes: &mut Vec<u8>) -> (u64, u64) {
        let is_empty = |state: &mut State| {
            state.awaited = Some(1);
            state.bytes.is_empty()
        };
        let mut state = self
            .filled
            .wait_while(self.state(), is_empty)
            .unwrap_or_else(PoisonError::into_inner);
        state.awaited = None;
        state.is_hurried = false;
        std::mem::swap(&mut state.bytes, bytes);
        state.is_writing = true;
        let lines = std::mem::take(&mut state.lines);
        (lines, std::mem::take(&mut state.lost))
    }

    /// Waits until all is written, but not longer than this.
    pub(crate) fn flush(&self, limit: Duration) {
        let is_busy = |state: &mut State| state.is_writing || !state.bytes.is_empty();
        let mut state = self.state();
        state.is_hurried = true;
        self.filled.notify_one();
        let _ = self.emptied.wait_timeout_while(state, limit, is_busy);
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.state().dropped
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics half-way, and the log must go on if it did.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn write_all(out: &mut impl Write, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match out.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(PAUSE),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    use super::*;

    /// A reader that takes one write at a time, when it is asked to.
    struct Pipe(SyncSender<Vec<u8>>);

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
            self.0.send(bytes.to_vec()).map_err(gone)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn queue() -> (Arc<Queue>, Receiver<Vec<u8>>) {
        let queue = Arc::new(Queue::default());
        let (pipe, reader) = sync_channel(0);
        thread::spawn({
            let queue = queue.clone();
            move || {
                let told = queue.clone();
                queue.write_to(Pipe(pipe), |lost| {
                    told.push(format!("{lost} lost\n").as_bytes());
                });
            }
        });
        (queue, reader)
    }

    #[test]
    fn lines_come_out_in_their_order() {
        let (queue, reader) = queue();
        for number in 0..1000 {
            queue.push(format!("{number}\n").as_bytes());
        }
        let mut read = Vec::new();
        while !read.ends_with(b"\n999\n") {
            read.extend(reader.recv().expect("more lines"));
        }
        let expected: String = (0..1000).map(|number| format!("{number}\n")).collect();
        assert_eq!(String::from_utf8_lossy(&read), expected);
        queue.flush(Duration::from_secs(30));
    }

    #[test]
    fn what_nobody_reads_is_dropped_and_told_when_somebody_does() {
        let (queue, reader) = queue();
        let line = [b'x'; 1024];
        queue.push(&line);
        while !queue.state().is_writing {
            thread::yield_now();
        }
        for _ in 0..3 * MOST / line.len() {
            queue.push(&line);
        }
        queue.flush(Duration::from_millis(1));
        let dropped = queue.dropped();
        assert!(dropped as usize >= MOST / line.len(), "{dropped}");
        let told = format!("{dropped} lost\n");
        let mut read = Vec::new();
        while !read.ends_with(told.as_bytes()) {
            read.extend(reader.recv().expect("more lines"));
        }
        assert!(read.len() <= 2 * MOST + told.len());
    }

    #[test]
    fn a_reader_that_has_gone_stops_nothing() {
        let (queue, reader) = queue();
        drop(reader);
        queue.push(b"a line\n");
        queue.flush(Duration::from_secs(30));
        assert_eq!(queue.dropped(), 1);
    }
}
