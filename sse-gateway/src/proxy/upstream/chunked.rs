//! The chunked transfer coding (RFC 9112, section 7.1), read without I/O.
//!
//! Strict where it matters: a size is hexadecimal digits and nothing else, lines end with CR LF, and each error is final. What
//! is taken hyper takes too, and reads as the same; a fuzz target compares the two.

use std::fmt;

use bytes::BytesMut;
use http::{HeaderMap, HeaderName, HeaderValue};

/// Of all extensions of a body together, as hyper has it.
const MAX_EXTENSIONS: u32 = 16 * 1024;
/// Of all trailer fields together, as hyper has it.
const MAX_TRAILERS: usize = 16 * 1024;

/// A body that is coming.
#[derive(Debug)]
pub(super) struct Chunked {
    state: State,
    /// Of the chunk's data.
    left: u64,
    /// Bytes of extensions so far.
    extensions: u32,
    max_trailer_fields: u32,
    trailers: Option<Box<Trailers>>,
}

#[derive(Debug, Default)]
struct Trailers {
    bytes: Vec<u8>,
    fields: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In front of the first digit.
    Start,
    Size,
    /// Blanks behind the size.
    Blank,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// At the beginning of a line behind the last chunk.
    Line,
    Trailer,
    TrailerLf,
    EndLf,
    End,
}

/// It is no chunked body. Nothing more can be read of its connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Invalid(&'static str);

impl Chunked {
    pub(super) fn new(max_trailer_fields: u32) -> Self {
        Chunked {
            state: State::Start,
            left: 0,
            extensions: 0,
            max_trailer_fields,
            trailers: None,
        }
    }

    pub(super) fn is_end(&self) -> bool {
        self.state == State::End
    }

    /// Reads on, and puts data behind `data`. Gives how much was read: all of `bytes`, unless the body has ended in front of
    /// its end.
    ///
    /// # Errors
    ///
    /// When it is no chunked body.
    pub(super) fn read(&mut self, bytes: &[u8], data: &mut BytesMut) -> Result<usize, Invalid> {
        let mut at = 0;
        while let Some(byte) = bytes.get(at).copied() {
            match self.state {
                State::Data => {
                    let rest = &bytes[at..];
                    let there = rest
                        .len()
                        .min(usize::try_from(self.left).unwrap_or(usize::MAX));
                    data.extend_from_slice(&rest[..there]);
                    at += there;
                    self.left -= there as u64;
                    if self.left == 0 {
                        self.state = State::DataCr;
                    }
                    continue;
                }
                State::End => break,
                State::Start => match whole_chunk(&bytes[at..]) {
                    Some((head, size)) => {
                        data.extend_from_slice(&bytes[at + head..at + head + size]);
                        at += head + size + CRLF.len();
                        continue;
                    }
                    None => self.state = self.step(byte)?,
                },
                _ => self.state = self.step(byte)?,
            }
            at += 1;
        }
        Ok(at)
    }

    fn step(&mut self, byte: u8) -> Result<State, Invalid> {
        Ok(match (self.state, byte) {
            (State::Start | State::Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                self.left = longer(self.left, byte)?;
                State::Size
            }
            (State::Start, _) => return Err(Invalid("a chunk has no size")),
            (State::Size | State::Blank, b'\t' | b' ') => State::Blank,
            (State::Size | State::Blank, b';') => State::Extension,
            (State::Size | State::Blank | State::Extension, b'\r') => State::SizeLf,
            (State::Size | State::Blank, _) => {
                return Err(Invalid("the size of a chunk is no number"));
            }
            (State::Extension, b'\n') => return Err(Invalid("a chunk's size ends without CR")),
            (State::Extension, _) => {
                self.extensions += 1;
                if self.extensions >= MAX_EXTENSIONS {
                    return Err(Invalid("the extensions of chunks are too long"));
                }
                State::Extension
            }
            (State::SizeLf, b'\n') if self.left == 0 => State::Line,
            (State::SizeLf, b'\n') => State::Data,
            (State::SizeLf, _) => return Err(Invalid("a chunk's size ends without LF")),
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Start,
            (State::DataCr | State::DataLf, _) => {
                return Err(Invalid("a chunk is longer than its size"));
            }
            (State::Line, b'\r') => {
                self.keep(byte, false)?;
                State::EndLf
            }
            (State::Trailer, b'\r') => {
                self.keep(byte, true)?;
                State::TrailerLf
            }
            (State::Line | State::Trailer, b'\n') => {
                return Err(Invalid("a trailer field ends without CR"));
            }
            (State::Line | State::Trailer, _) => {
                self.keep(byte, true)?;
                State::Trailer
            }
            (State::TrailerLf, b'\n') => {
                self.keep(byte, true)?;
                let trailers = self.trailers.get_or_insert_default();
                trailers.fields += 1;
                if trailers.fields > self.max_trailer_fields {
                    return Err(Invalid("there are too many trailer fields"));
                }
                State::Line
            }
            (State::TrailerLf, _) => return Err(Invalid("a trailer field ends without LF")),
            (State::EndLf, b'\n') => {
                self.keep(byte, false)?;
                State::End
            }
            (State::EndLf, _) => return Err(Invalid("the body ends without LF")),
            (State::Data | State::End, _) => self.state,
        })
    }

    /// Keeps a byte of the trailers. Without `begins` it is part of them only where there are some.
    fn keep(&mut self, byte: u8, begins: bool) -> Result<(), Invalid> {
        if begins {
            self.trailers.get_or_insert_default();
        }
        if let Some(trailers) = &mut self.trailers {
            trailers.bytes.push(byte);
            if trailers.bytes.len() >= MAX_TRAILERS {
                return Err(Invalid("the trailer fields are too long"));
            }
        }
        Ok(())
    }

    /// The trailer fields of a body that has ended, once.
    ///
    /// # Errors
    ///
    /// When they are no fields.
    pub(super) fn take_trailers(&mut self) -> Result<Option<HeaderMap>, Invalid> {
        let Some(trailers) = self.trailers.take() else {
            return Ok(None);
        };
        let invalid = Invalid("a trailer is no field");
        let mut fields = vec![httparse::EMPTY_HEADER; trailers.fields as usize];
        let Ok(httparse::Status::Complete((_, fields))) =
            httparse::parse_headers(&trailers.bytes, &mut fields)
        else {
            return Err(invalid);
        };
        let mut map = HeaderMap::with_capacity(fields.len());
        for field in fields {
            let name = HeaderName::from_bytes(field.name.as_bytes());
            let value = HeaderValue::from_bytes(field.value);
            let (Ok(name), Ok(value)) = (name, value) else {
                return Err(invalid);
            };
            map.append(name, value);
        }
        Ok(Some(map))
    }
}

/// How long the head of a chunk is and how long its data, where it is all there, has a size and nothing else in its head,
/// and is not the last: as nearly all are. It is the same as to take [`Chunked::step`]s, which cost more than the events of a
/// burst.
fn whole_chunk(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut size = 0;
    for (at, byte) in bytes.iter().copied().take(MOST_DIGITS + 1).enumerate() {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            b'A'..=b'F' => byte - b'A' + 10,
            b'\r' => {
                let head = at + CRLF.len();
                let is_whole = bytes.get(at + 1) == Some(&b'\n')
                    && bytes.get(head + size..head + size + CRLF.len()) == Some(CRLF);
                return (size > 0 && is_whole).then_some((head, size));
            }
            _ => return None,
        };
        size = size << 4 | usize::from(digit);
    }
    None
}

const CRLF: &[u8] = b"\r\n";
/// Of the size of a chunk that is taken as a whole: no read has more.
const MOST_DIGITS: usize = 6;

fn longer(size: u64, digit: u8) -> Result<u64, Invalid> {
    let digit = char::from(digit).to_digit(16).unwrap_or_default();
    size.checked_mul(16)
        .and_then(|size| size.checked_add(digit.into()))
        .ok_or(Invalid("the size of a chunk is too large"))
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the chunked body of the response is invalid: {}", self.0)
    }
}

impl std::error::Error for Invalid {}

#[cfg(test)]
mod tests {
    use super::*;

    /// All of it in pieces of this length: the data, how much was read, and the trailers.
    fn read(bytes: &[u8], piece: usize) -> Result<(Vec<u8>, usize, Option<HeaderMap>), Invalid> {
        let mut body = Chunked::new(100);
        let mut data = BytesMut::new();
        let mut all = 0;
        for piece in bytes.chunks(piece) {
            let read = body.read(piece, &mut data)?;
            all += read;
            if read < piece.len() {
                break;
            }
        }
        assert!(body.is_end(), "{:?}", body.state);
        Ok((data.to_vec(), all, body.take_trailers()?))
    }

    fn each_cut(bytes: &[u8]) -> Result<(Vec<u8>, usize, Option<HeaderMap>), Invalid> {
        let whole = read(bytes, bytes.len());
        for piece in 1..bytes.len() {
            let cut = read(bytes, piece);
            assert_eq!(cut, whole, "in pieces of {piece}");
        }
        whole
    }

    #[test]
    fn data_is_what_the_chunks_have_wherever_they_are_cut() {
        for (bytes, data) in [
            (&b"0\r\n\r\n"[..], &b""[..]),
            (b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
            (
                b"1\r\na\r\nA \t\r\n0123456789\r\n000\r\n\r\n",
                b"a0123456789",
            ),
            (b"2;x=1;y=\"z\"\r\n\r\n\r\n0;end\r\n\r\n", b"\r\n"),
        ] {
            assert_eq!(each_cut(bytes), Ok((data.to_vec(), bytes.len(), None)));
        }
    }

    #[test]
    fn what_is_behind_the_end_is_not_read() {
        let bytes = b"1\r\na\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n";
        assert_eq!(each_cut(bytes), Ok((b"a".to_vec(), 11, None)));
    }

    #[test]
    fn trailers_are_fields() {
        let bytes = b"1\r\na\r\n0\r\nx-a: 1\r\nX-B:\r\nx-a: 2\r\n\r\n";
        let (data, all, trailers) = each_cut(bytes).expect("a body");
        assert_eq!((&data[..], all), (&b"a"[..], bytes.len()));
        let trailers = trailers.expect("trailers");
        let values: Vec<_> = trailers.get_all("x-a").iter().collect();
        assert_eq!(values, ["1", "2"]);
        assert_eq!(trailers["x-b"], "");
    }

    #[test]
    fn what_is_no_chunked_body_is_refused_wherever_it_is_cut() {
        let long_extension = [b"1;", &[b'x'; 20_000][..], b"\r\n"].concat();
        let long_trailer = [b"0\r\nx: ", &[b'x'; 20_000][..], b"\r\n\r\n"].concat();
        let many_trailers = [&b"0\r\n"[..], &b"x: 1\r\n".repeat(101), b"\r\n"].concat();
        for bytes in [
            &b"\r\n"[..],
            b"-1\r\n",
            b"+1\r\na\r\n",
            b" 1\r\na\r\n",
            b"0x1\r\na\r\n",
            b"g\r\n",
            b"1\na\r\n",
            b"1\ra\r\n",
            b"1 1\r\n",
            b"1;a\n",
            b"1\r\nab\r\n",
            b"1\r\na\n",
            b"1\r\na\r\r\n",
            b"1\r\na\r\n\r\n",
            b"10000000000000000\r\n",
            b"fffffffffffffffff\r\n",
            b"0\r\n\n",
            b"0\r\n\r\r",
            b"0\r\nx: 1\r\r",
            b"0\r\nx y: 1\r\n\r\n",
            b"0\r\n: 1\r\n\r\n",
            b"0\r\nx\r\n\r\n",
            b"0\r\nx: \x00\r\n\r\n",
            &long_extension,
            &long_trailer,
            &many_trailers,
        ] {
            for piece in [1, 2, 3, bytes.len()] {
                let refused = read(bytes, piece);
                assert!(
                    refused.is_err(),
                    "{}",
                    String::from_utf8_lossy(&bytes[..bytes.len().min(40)])
                );
            }
        }
    }
}
