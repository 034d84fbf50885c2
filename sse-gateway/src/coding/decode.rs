//! Decodes bytes as they come. No IO.

use std::cell::RefCell;
use std::io;

use bytes::{Buf, Bytes};
use compression_codecs::core::util::{PartialBuffer, WriteBuffer};
use compression_codecs::zstd::params::DParameter;
use compression_codecs::{BrotliDecoder, DecodeV2, GzipDecoder, ZlibDecoder, ZstdDecoder};

use super::Coding;

/// What a coding hides, in pieces of up to 16 KiB, however much it is: the next is made when it is asked for.
///
/// Nothing that can be told from what came is kept back, so that an event is seen as soon as the upstream has flushed it.
pub(super) struct Decode {
    coding: Coding,
    codec: Box<dyn DecodeV2 + Send>,
    input: Bytes,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before the first byte of a member.
    Fresh,
    Within,
    /// The last piece was as long as a piece may be: there may be more of the same input.
    Full,
}

/// RFC 9659: a receiver need not have more than 8 MiB.
const ZSTD_WINDOW: u32 = 23;
const PIECE: usize = 16 * 1024;

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; PIECE].into());
}

impl Decode {
    pub(super) fn new(coding: Coding) -> Self {
        let codec: Box<dyn DecodeV2 + Send> = match coding {
            Coding::Gzip => Box::new(GzipDecoder::new()),
            Coding::Deflate => Box::new(ZlibDecoder::new()),
            Coding::Brotli => Box::new(BrotliDecoder::new()),
            Coding::Zstd => {
                let window = DParameter::window_log_max(ZSTD_WINDOW);
                Box::new(ZstdDecoder::new_with_params(&[window]))
            }
        };
        Decode {
            coding,
            codec,
            input: Bytes::new(),
            state: State::Fresh,
        }
    }

    pub(super) fn coding(&self) -> Coding {
        self.coding
    }

    /// Takes what came. All of what came before has been [given](Self::next).
    pub(super) fn push(&mut self, input: Bytes) {
        self.input = input;
    }

    /// The next piece, or none until more comes.
    pub(super) fn next(&mut self) -> io::Result<Option<Bytes>> {
        while !self.input.is_empty() || self.state == State::Full {
            let piece = BUFFER.with_borrow_mut(|buffer| self.decode(buffer))?;
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
        }
        Ok(None)
    }

    fn decode(&mut self, buffer: &mut [u8]) -> io::Result<Bytes> {
        if self.state == State::Fresh {
            self.begin()?;
        }
        let mut input = PartialBuffer::new(&self.input[..]);
        let mut output = WriteBuffer::new_initialized(buffer);
        let is_drained = self.input.is_empty();
        let has_ended = match is_drained && self.coding != Coding::Zstd {
            true => {
                self.codec.flush(&mut output)?;
                false
            }
            false => self.codec.decode(&mut input, &mut output)?,
        };
        let read = input.written_len();
        let piece = Bytes::copy_from_slice(output.written());
        let is_stuck = read == 0 && piece.is_empty() && !is_drained && !has_ended;
        if is_stuck {
            return Err(io::Error::other("it leads nowhere"));
        }
        self.state = match (has_ended, output.has_no_spare_space()) {
            (true, _) => State::Fresh,
            (false, true) => State::Full,
            (false, false) => State::Within,
        };
        self.input.advance(read);
        Ok(piece)
    }

    /// Another member may follow the first (RFC 1952, section 2.2; RFC 8878, section 3).
    fn begin(&mut self) -> io::Result<()> {
        // A window of up to 1 GiB, which is no part of the coding `br`.
        let is_large_window = |first: &u8| first & 0x7f == 0x11;
        if self.coding == Coding::Brotli && self.input.first().is_some_and(is_large_window) {
            return Err(io::Error::other("its window is larger than 16 MiB"));
        }
        self.codec.reinit()
    }

    /// No more comes.
    ///
    /// # Errors
    ///
    /// When something is missing.
    pub(super) fn finish(&self) -> io::Result<()> {
        match self.state {
            State::Fresh => Ok(()),
            State::Within | State::Full => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use compression_codecs::brotli::params::EncoderParams;
    use compression_codecs::core::Level;
    use compression_codecs::{BrotliEncoder, EncodeV2, GzipEncoder, ZlibEncoder, ZstdEncoder};

    use super::*;

    fn encoder(coding: Coding) -> Box<dyn EncodeV2> {
        match coding {
            Coding::Gzip => Box::new(GzipEncoder::new(Level::Default.into())),
            Coding::Deflate => Box::new(ZlibEncoder::new(Level::Default.into())),
            Coding::Brotli => Box::new(BrotliEncoder::new(EncoderParams::default())),
            Coding::Zstd => Box::new(ZstdEncoder::new(3)),
        }
    }

    /// Each text encoded and flushed, and the end.
    fn encoded(coding: Coding, texts: &[&[u8]]) -> (Vec<Bytes>, Bytes) {
        let mut encoder = encoder(coding);
        let mut buffer = vec![0; 1 << 20];
        let mut write = |act: &mut dyn FnMut(&mut dyn EncodeV2, &mut WriteBuffer<'_>)| {
            let mut output = WriteBuffer::new_initialized(&mut buffer);
            act(&mut *encoder, &mut output);
            Bytes::copy_from_slice(output.written())
        };
        let flushed = texts.iter().map(|text| {
            write(&mut |encoder, output| {
                let mut input = PartialBuffer::new(*text);
                encoder.encode(&mut input, output).expect("is encoded");
                assert!(encoder.flush(output).expect("is flushed"));
            })
        });
        let flushed = flushed.collect();
        let end = write(&mut |encoder, output| assert!(encoder.finish(output).expect("is ended")));
        (flushed, end)
    }

    fn all(decode: &mut Decode, input: &[u8]) -> io::Result<Vec<u8>> {
        decode.push(Bytes::copy_from_slice(input));
        let mut all = Vec::new();
        while let Some(piece) = decode.next()? {
            assert!(piece.len() <= PIECE);
            all.extend_from_slice(&piece);
        }
        Ok(all)
    }

    #[test]
    fn each_event_is_there_as_soon_as_it_was_flushed() {
        let large = "x".repeat(100_000);
        let texts = [
            &b"data: 1\n\n"[..],
            b"data: 2\n\n",
            large.as_bytes(),
            b"data: 3\n\n",
        ];
        for coding in Coding::ALL {
            let (flushed, end) = encoded(coding, &texts);
            let mut decode = Decode::new(coding);
            for (input, text) in flushed.iter().zip(texts) {
                let got = all(&mut decode, input).expect("is whole");
                assert!(got == text, "{coding:?}: {} bytes", got.len());
                assert!(decode.finish().is_err(), "{coding:?}");
            }
            assert_eq!(all(&mut decode, &end).expect("is whole"), b"");
            assert!(decode.finish().is_ok(), "{coding:?}");
        }
    }

    #[test]
    fn cut_anywhere_it_gives_the_same() {
        for coding in Coding::ALL {
            let (flushed, end) = encoded(coding, &[b"data: one\n\n", b"data: two\n\n"]);
            let bytes = [&flushed.concat()[..], &end].concat();
            for at in 0..=bytes.len() {
                let mut decode = Decode::new(coding);
                let mut got = all(&mut decode, &bytes[..at]).expect("is whole");
                got.extend(all(&mut decode, &bytes[at..]).expect("is whole"));
                assert_eq!(got, b"data: one\n\ndata: two\n\n", "{coding:?} at {at}");
                assert!(decode.finish().is_ok());
            }
        }
    }

    #[test]
    fn members_may_follow_each_other() {
        for coding in [Coding::Gzip, Coding::Zstd] {
            let (flushed, end) = encoded(coding, &[b"a"]);
            let one = [&flushed.concat()[..], &end].concat();
            let mut decode = Decode::new(coding);
            assert_eq!(
                all(&mut decode, &[&one[..], &one].concat()).expect("is whole"),
                b"aa"
            );
            assert_eq!(all(&mut decode, &one).expect("is whole"), b"a");
            assert!(decode.finish().is_ok());
        }
    }

    #[test]
    fn what_is_broken_is_an_error_and_no_panic() {
        for coding in Coding::ALL {
            assert!(
                all(&mut Decode::new(coding), b"data: plain text\n\n").is_err(),
                "{coding:?}"
            );
            let (flushed, end) = encoded(coding, &[b"data: one\n\n", b"data: two\n\n"]);
            let bytes = [&flushed.concat()[..], &end].concat();
            for at in 0..bytes.len() {
                let mut changed = bytes.clone();
                changed[at] ^= 0xff;
                // Either is fine, and that it ends.
                let _ = all(&mut Decode::new(coding), &changed);
            }
            assert!(Decode::new(coding).finish().is_ok(), "nothing came");
        }
        let large_window = [0x11, 0x1e, 0, 0];
        assert!(all(&mut Decode::new(Coding::Brotli), &large_window).is_err());
    }

    #[test]
    fn much_from_little_comes_in_pieces() {
        for coding in Coding::ALL {
            let much = vec![b'x'; 8 << 20];
            let (flushed, _) = encoded(coding, &[&much]);
            let mut decode = Decode::new(coding);
            decode.push(flushed.concat().into());
            let first = decode.next().expect("is whole").expect("is there");
            assert!(first.len() <= PIECE, "{coding:?}");
        }
    }
}
