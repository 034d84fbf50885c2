//! Takes the head and the chunk frames off a response and finds the events in it, as cheaply as a load can afford.
//!
//! It reads what a client would dispatch, and no more of the format than the upstream and the proxies here write: lines
//! end in LF, and an event has one line of data.

use super::{Error, event::Stamp};

/// A line is kept only as far as the numbers in it reach.
const LINE_BYTES: usize = 64;

/// Of a line of data and the blank line behind it.
const LINE_ENDS: usize = 2;

/// One response, fed in the pieces that reads returned.
pub(crate) struct Response {
    /// Until its end has come.
    head: Option<Vec<u8>>,
    closes: bool,
    chunk: Chunk,
    line: [u8; LINE_BYTES],
    /// Of what is kept of the line.
    line_len: usize,
    /// Of the whole line.
    line_bytes: usize,
    data: Option<Event>,
}

/// Where in a chunk of HTTP/1.1 we are.
enum Chunk {
    Size(usize),
    SizeEnd(usize),
    Data(usize),
    DataEnd,
    /// Behind the last chunk's size; trailers are not asked for, so none come.
    LastEnd,
    Finished,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Event {
    pub(crate) stamp: Stamp,
    /// Of its line of data and the blank line: a proxy may change or add others.
    pub(crate) bytes: usize,
}

/// What a stream may hold that is worth counting.
pub(crate) enum Item {
    Event(Event),
    Comment,
}

impl Response {
    pub(crate) fn new() -> Self {
        Self {
            head: Some(Vec::new()),
            closes: false,
            chunk: Chunk::Size(0),
            line: [0; LINE_BYTES],
            line_len: 0,
            line_bytes: 0,
            data: None,
        }
    }

    pub(crate) fn has_head(&self) -> bool {
        self.head.is_none()
    }

    /// Whether its last chunk has come.
    pub(crate) fn is_finished(&self) -> bool {
        matches!(self.chunk, Chunk::Finished)
    }

    /// Whether its connection is not to be used again.
    pub(crate) fn closes(&self) -> bool {
        self.closes
    }

    /// Reads on.
    ///
    /// # Errors
    ///
    /// When it is no event stream, the bytes are no chunks, or an event has data that the upstream did not write.
    pub(crate) fn feed(&mut self, bytes: &[u8], found: impl FnMut(Item)) -> Result<(), Error> {
        let Some(mut head) = self.head.take() else {
            return Ok(self.feed_body(bytes, found)?);
        };
        head.extend_from_slice(bytes);
        let Some(end) = memchr::memmem::find(&head, b"\r\n\r\n") else {
            self.head = Some(head);
            return Ok(());
        };
        let body = head.split_off(end + 4);
        let lower = head.to_ascii_lowercase();
        self.closes = memchr::memmem::find(&lower, b"connection: close").is_some();
        if !is_chunked(&head)? {
            // It lasts as long as its connection.
            self.chunk = Chunk::Data(usize::MAX);
        }
        Ok(self.feed_body(&body, found)?)
    }

    fn feed_body(
        &mut self,
        mut bytes: &[u8],
        mut found: impl FnMut(Item),
    ) -> Result<(), &'static str> {
        while let Some(&byte) = bytes.first() {
            match self.chunk {
                Chunk::Data(left) => {
                    let (data, rest) = bytes.split_at(left.min(bytes.len()));
                    self.read_lines(data, &mut found)?;
                    bytes = rest;
                    self.chunk = if data.len() == left {
                        Chunk::DataEnd
                    } else {
                        Chunk::Data(left - data.len())
                    };
                    continue;
                }
                Chunk::Size(size) => {
                    self.chunk = match (byte as char).to_digit(16) {
                        Some(digit) if size < usize::MAX >> 4 => {
                            Chunk::Size(size << 4 | digit as usize)
                        }
                        None if byte == b'\r' => Chunk::SizeEnd(size),
                        _ => return Err("a chunk size that is none"),
                    };
                }
                Chunk::SizeEnd(0) => self.chunk = Chunk::LastEnd,
                Chunk::SizeEnd(size) => self.chunk = Chunk::Data(size),
                Chunk::DataEnd if byte == b'\n' => self.chunk = Chunk::Size(0),
                Chunk::DataEnd if byte == b'\r' => {}
                Chunk::DataEnd => return Err("a chunk that is longer than it says"),
                Chunk::LastEnd if byte == b'\n' => self.chunk = Chunk::Finished,
                Chunk::LastEnd => {}
                Chunk::Finished => return Err("bytes behind the last chunk"),
            }
            bytes = &bytes[1..];
        }
        Ok(())
    }

    fn read_lines(
        &mut self,
        mut bytes: &[u8],
        found: &mut impl FnMut(Item),
    ) -> Result<(), &'static str> {
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            self.keep(&bytes[..end]);
            self.end_line(found)?;
            bytes = &bytes[end + 1..];
        }
        self.keep(bytes);
        Ok(())
    }

    fn keep(&mut self, bytes: &[u8]) {
        let len = bytes.len().min(LINE_BYTES - self.line_len);
        self.line[self.line_len..self.line_len + len].copy_from_slice(&bytes[..len]);
        self.line_len += len;
        self.line_bytes += bytes.len();
    }

    fn end_line(&mut self, found: &mut impl FnMut(Item)) -> Result<(), &'static str> {
        let line = &self.line[..self.line_len];
        let bytes = self.line_bytes;
        (self.line_len, self.line_bytes) = (0, 0);
        if line.is_empty() {
            if let Some(event) = self.data.take() {
                found(Item::Event(event));
            }
        } else if line[0] == b':' {
            found(Item::Comment);
        } else if line == b"data: null" {
            // The gateway tells of a gap, which the numbers of events show as well.
        } else if let Some(data) = line.strip_prefix(b"data: ") {
            let stamp = Stamp::parse(data).ok_or("an event that the upstream did not write")?;
            self.data = Some(Event {
                stamp,
                bytes: bytes + LINE_ENDS,
            });
        }
        Ok(())
    }
}

/// # Errors
///
/// When it is not the head of an event stream.
fn is_chunked(head: &[u8]) -> Result<bool, Error> {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let wanted = ["http/1.1 200 ", "content-type: text/event-stream"];
    if !wanted.iter().all(|wanted| head.contains(wanted)) {
        return Err(format!("not an event stream: {head:?}").into());
    }
    Ok(head.contains("transfer-encoding: chunked"))
}
