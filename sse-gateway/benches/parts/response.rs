//! Takes the chunk frames off a response and finds the events in it, as cheaply as the load can afford.
//!
//! It reads what a client would dispatch, and no more of the format than the upstream and the proxies here write: lines
//! end in LF, and an event has one line of data.

use super::event::Stamp;

/// A line is kept only as far as the numbers in it reach.
const LINE_BYTES: usize = 64;

/// One response body, fed in the pieces that reads returned.
pub(crate) struct Response {
    chunk: Chunk,
    line: [u8; LINE_BYTES],
    line_len: usize,
    data: Option<Stamp>,
}

/// Where in a chunk of HTTP/1.1 we are.
enum Chunk {
    Size(usize),
    SizeEnd(usize),
    Data(usize),
    DataEnd,
    Finished,
}

/// What a stream may hold that is worth counting.
pub(crate) enum Item {
    Event(Stamp),
    Comment,
}

impl Response {
    pub(crate) fn new() -> Self {
        Self {
            chunk: Chunk::Size(0),
            line: [0; LINE_BYTES],
            line_len: 0,
            data: None,
        }
    }

    /// One without chunks, which lasts as long as its connection.
    pub(crate) fn until_close() -> Self {
        Self {
            chunk: Chunk::Data(usize::MAX),
            ..Self::new()
        }
    }

    /// Reads on.
    ///
    /// # Errors
    ///
    /// When the bytes are no chunks, or an event has data that the upstream did not write.
    pub(crate) fn feed(
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
                Chunk::SizeEnd(0) => self.chunk = Chunk::Finished,
                Chunk::SizeEnd(size) => self.chunk = Chunk::Data(size),
                Chunk::DataEnd if byte == b'\n' => self.chunk = Chunk::Size(0),
                Chunk::DataEnd if byte == b'\r' => {}
                Chunk::DataEnd => return Err("a chunk that is longer than it says"),
                Chunk::Finished => return Ok(()),
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
    }

    fn end_line(&mut self, found: &mut impl FnMut(Item)) -> Result<(), &'static str> {
        let line = &self.line[..self.line_len];
        self.line_len = 0;
        if line.is_empty() {
            if let Some(stamp) = self.data.take() {
                found(Item::Event(stamp));
            }
        } else if line[0] == b':' {
            found(Item::Comment);
        } else if let Some(data) = line.strip_prefix(b"data: ") {
            self.data = Some(Stamp::parse(data).ok_or("an event that the upstream did not write")?);
        }
        Ok(())
    }
}
