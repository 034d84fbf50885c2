//! A stream as gzip, of which each part can be read as soon as it is there (RFC 1951, RFC 1952). No IO.
//!
//! What one client is sent has an encoder of its own, which knows what came before. What many are sent is encoded [`Once`], without
//! regard to what each of them had before: blocks of deflate that refer to nothing behind them can follow any others. So who
//! joined a minute ago and who joined a day ago are sent the same bytes, between a header and a check of their own.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use flate2::{Compress, Compression, Crc, FlushCompress};

/// RFC 1952, section 2.3: deflate, no fields, no time, the fastest algorithm, an unknown system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 0xff];
/// An empty block, which is the last one.
const LAST: [u8; 2] = [3, 0];

/// One client's stream.
pub(super) struct Gzip {
    encoder: Encoder,
    crc: Crc,
    has_begun: bool,
}

enum Encoder {
    Own(Box<Blocks>),
    Shared(Arc<Once>),
}

impl Gzip {
    /// For what this client alone is sent.
    pub(super) fn own() -> Self {
        Self::with(Encoder::Own(Box::new(Blocks::new())))
    }

    /// For what others are sent too.
    pub(super) fn shared(once: Arc<Once>) -> Self {
        Self::with(Encoder::Shared(once))
    }

    fn with(encoder: Encoder) -> Self {
        Gzip {
            encoder,
            crc: Crc::new(),
            has_begun: false,
        }
    }

    /// What these bytes are on the wire, to be read without any that follow.
    pub(super) fn encode(&mut self, data: &Bytes) -> Bytes {
        self.crc.update(data);
        let encoded = match &mut self.encoder {
            Encoder::Own(blocks) => blocks.encode(data).into(),
            Encoder::Shared(once) => once.encode(data),
        };
        match std::mem::replace(&mut self.has_begun, true) {
            true => encoded,
            false => [&HEADER[..], &encoded].concat().into(),
        }
    }

    /// The end.
    pub(super) fn finish(self) -> Bytes {
        let (sum, length) = (self.crc.sum(), self.crc.amount());
        let check = [sum.to_le_bytes(), length.to_le_bytes()].concat();
        let header = match self.has_begun {
            true => &[][..],
            false => &HEADER,
        };
        [header, &LAST, &check].concat().into()
    }
}

/// An encoder of deflate.
struct Blocks(Compress);

impl Blocks {
    fn new() -> Self {
        Blocks(Compress::new(Compression::fast(), false))
    }

    /// Blocks that end at the end of a byte.
    fn encode(&mut self, data: &[u8]) -> Vec<u8> {
        let mut encoded = Vec::with_capacity(data.len() / 2 + 64);
        let before = self.0.total_in();
        loop {
            let read = (self.0.total_in() - before) as usize;
            let rest = data.get(read..).unwrap_or_default();
            // It fails only where a dictionary is wanted, which is never.
            let _ = self.0.compress_vec(rest, &mut encoded, FlushCompress::Sync);
            let is_read = self.0.total_in() - before == data.len() as u64;
            if is_read && encoded.len() < encoded.capacity() {
                return encoded;
            }
            encoded.reserve(encoded.capacity());
        }
    }
}

/// What the clients of a route were sent of late, encoded once for all.
pub(crate) struct Once(Mutex<State>);

struct State {
    blocks: Blocks,
    /// By the place of the bytes in memory: shared events are the same bytes for all. They are held here, so that no others
    /// come to that place.
    made: HashMap<Place, (Bytes, Bytes)>,
    /// The oldest first.
    order: VecDeque<Place>,
    bytes: usize,
}

type Place = (usize, usize);

/// Of encoded events, and those that they were made of.
const MOST_BYTES: usize = 1 << 20;
const MOST: usize = 256;

impl Once {
    pub(crate) fn new() -> Self {
        Once(Mutex::new(State {
            blocks: Blocks::new(),
            made: HashMap::new(),
            order: VecDeque::new(),
            bytes: 0,
        }))
    }

    /// Holds the lock while it encodes: who wants the same meanwhile waits for it.
    fn encode(&self, data: &Bytes) -> Bytes {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = (data.as_ptr() as usize, data.len());
        if let Some((_, encoded)) = state.made.get(&place) {
            return encoded.clone();
        }
        state.blocks.0.reset();
        let encoded = Bytes::from(state.blocks.encode(data));
        // What nobody else has is not sent to others.
        if !data.is_unique() && !data.is_empty() {
            state.keep(place, data.clone(), encoded.clone());
        }
        encoded
    }
}

impl State {
    fn keep(&mut self, place: Place, data: Bytes, encoded: Bytes) {
        self.bytes += data.len() + encoded.len();
        self.made.insert(place, (data, encoded));
        self.order.push_back(place);
        while self.bytes > MOST_BYTES || self.order.len() > MOST {
            let oldest = self.order.pop_front();
            let Some((data, encoded)) = oldest.and_then(|place| self.made.remove(&place)) else {
                return;
            };
            self.bytes -= data.len() + encoded.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use flate2::write::GzDecoder;

    use super::*;

    fn decoded(bytes: &[u8]) -> Vec<u8> {
        let mut all = Vec::new();
        let mut decoder = flate2::read::GzDecoder::new(bytes);
        decoder.read_to_end(&mut all).expect("is gzip, and whole");
        all
    }

    fn both() -> [Gzip; 2] {
        [Gzip::own(), Gzip::shared(Arc::new(Once::new()))]
    }

    #[test]
    fn each_part_can_be_read_when_it_is_there() {
        let large = Bytes::from("data: ".to_owned() + &"abcd".repeat(100_000) + "\n\n");
        let noise: Vec<u8> = (0..100_000u32)
            .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
            .collect();
        let parts = [
            "data: 1\n\n".into(),
            large,
            ":\n".into(),
            Bytes::from(noise),
            "data: 2\n\n".into(),
        ];
        for mut gzip in both() {
            let mut decoder = GzDecoder::new(Vec::new());
            let mut all = Vec::new();
            for part in &parts {
                all.extend_from_slice(part);
                decoder.write_all(&gzip.encode(part)).expect("is gzip");
                decoder.flush().expect("is gzip");
                assert!(*decoder.get_ref() == all, "{} bytes", part.len());
            }
            decoder.write_all(&gzip.finish()).expect("is gzip");
            assert!(decoder.finish().expect("its check is right") == all);
        }
    }

    #[test]
    fn a_stream_without_events_is_whole() {
        for gzip in both() {
            assert_eq!(decoded(&gzip.finish()), b"");
        }
    }

    #[test]
    fn shared_events_are_encoded_once_and_each_client_has_its_own_stream() {
        let once = Arc::new(Once::new());
        let events: Vec<Bytes> = (0..9)
            .map(|n| Bytes::from(format!("data: event {n}\n\n")))
            .collect();
        // As a history has them.
        let _history = events.clone();
        let mut early = Gzip::shared(once.clone());
        let mut late = Gzip::shared(once.clone());
        let mut sent = [Vec::new(), Vec::new()];
        let mut wanted = [Vec::new(), Vec::new()];
        for (at, event) in events.iter().enumerate() {
            let block = early.encode(event);
            sent[0].extend_from_slice(&block);
            wanted[0].extend_from_slice(event);
            if at >= 5 {
                let own = Bytes::from(format!(": only for the late one, {at}\n"));
                sent[1].extend_from_slice(&late.encode(&own));
                let same = late.encode(event);
                assert_eq!(same.as_ptr(), block.as_ptr(), "the very bytes");
                sent[1].extend_from_slice(&same);
                wanted[1].extend_from_slice(&own);
                wanted[1].extend_from_slice(event);
            }
        }
        sent[0].extend_from_slice(&early.finish());
        sent[1].extend_from_slice(&late.finish());
        assert_eq!(decoded(&sent[0]), wanted[0]);
        assert_eq!(decoded(&sent[1]), wanted[1]);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let once = Once::new();
        let events: Vec<Bytes> = (0..2000).map(|n| format!("data: {n}\n\n").into()).collect();
        for event in &events {
            once.encode(&event.clone());
        }
        let large: Vec<Bytes> = (0..20).map(|n| vec![n; 200_000].into()).collect();
        for event in &large {
            once.encode(&event.clone());
        }
        let state = once.0.lock().expect("no panic");
        assert!(state.bytes <= MOST_BYTES && state.order.len() <= MOST);
        assert_eq!(state.made.len(), state.order.len());
    }
}
