//! Any bytes are a frame that is written as it was read, or an error; and whatever a store answers and publishes, a member of a
//! stream goes on.
//!
//! The first byte chooses: the rest is one frame, or what happens to a member, step by step.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use tower_sse::store::{
    Acquired, Answer, Appended, Context, Draft, Fence, Frame, InstanceId, Member, Message, Meta,
    Reign, Rules, Snapshot, Stored,
};

fuzz_target!(|input: &[u8]| {
    match input {
        [0, rest @ ..] => frame(Bytes::copy_from_slice(rest)),
        [_, rest @ ..] => member(Source(rest)),
        [] => {}
    }
});

fn frame(bytes: Bytes) {
    if let Ok(frame) = Frame::parse(&bytes) {
        assert_eq!(frame.to_bytes(), bytes);
    }
}

fn member(mut from: Source<'_>) {
    let mut member = Member::new(InstanceId(1), Rules::default(), 5);
    let (mut now, mut drawn) = (0, 0_u64);
    while !from.0.is_empty() {
        let mut chance = || {
            drawn += 1_000_003;
            drawn
        };
        let mut cx = Context {
            now,
            chance: &mut chance,
            outputs: Vec::new(),
        };
        match from.byte() % 20 {
            0 => member.connected(Reign(from.number()), &mut cx),
            1 => member.disconnected(),
            2 => member.tail_connected(Reign(from.number()), &mut cx),
            3 => member.tail_lost(),
            4 => member.subscribed(&mut cx),
            5 => member.hear(&Message::Frame(from.bytes()), &mut cx),
            6 => member.hear(&Message::Frame(from.frame().to_bytes()), &mut cx),
            7 => {
                let message = match from.byte() % 5 {
                    0 => Message::Owned(from.fence(), InstanceId(from.number())),
                    1 => Message::Free(from.fence()),
                    2 => Message::Ended(from.number()),
                    3 => Message::Told,
                    _ => Message::Asked,
                };
                member.hear(&message, &mut cx);
            }
            8 => {
                let position = (from.byte() % 2 == 0).then(|| from.number());
                member.beat(InstanceId(from.number()), position, &mut cx);
            }
            9 => {
                now += from.number() % 10_000;
                cx.now = now;
                member.tick(&mut cx);
            }
            10 => {
                let id = from.bytes();
                let since = member.seek(&id, &mut cx);
                member.sought(&id, since);
            }
            11 => member.answer(Answer::Read(from.snapshot()), &mut cx),
            12 => {
                let acquired = match from.byte() % 6 {
                    0 => Acquired::Changed(Some(from.fence()), None),
                    1 => Acquired::Busy(InstanceId(from.number())),
                    2 => Acquired::Ended,
                    3 => Acquired::Dead,
                    _ => Acquired::Own(from.meta()),
                };
                member.answer(Answer::Acquired(acquired), &mut cx);
            }
            13 => {
                let appended = match from.byte() % 4 {
                    0 => Appended::At(from.number()),
                    1 => Appended::Fenced,
                    _ => Appended::Done,
                };
                member.answer(Answer::Appended(appended), &mut cx);
            }
            14 => member.answer(Answer::Done, &mut cx),
            15 => {
                let draft = Draft {
                    has_data: from.byte() % 4 > 0,
                    sets_id: from.byte() % 2 > 0,
                    is_gap: false,
                    upstream: (from.byte() % 2 > 0).then(|| from.bytes()),
                    event: from.bytes(),
                };
                member.draft(draft, &mut cx);
            }
            16 => member.upstream_lost(&mut cx),
            17 => member.upstream_finished(&mut cx),
            18 => member.tell(from.bytes(), &mut cx),
            _ => {
                member.want(from.byte() % 2 > 0);
                member.leave(&mut cx);
            }
        }
        member.moved();
        let replica = member.replica();
        for place in replica.oldest()..replica.next() {
            replica.entry(place).expect("an entry that is kept");
        }
    }
}

/// What the input says, and zeros behind its end.
struct Source<'a>(&'a [u8]);

impl Source<'_> {
    fn byte(&mut self) -> u8 {
        match self.0 {
            [first, rest @ ..] => {
                self.0 = rest;
                *first
            }
            [] => 0,
        }
    }

    /// Mostly a small one, and at times any.
    fn number(&mut self) -> u64 {
        match self.byte() {
            small @ ..=250 => u64::from(small % 16),
            251 => u64::MAX,
            252 => u64::MAX - u64::from(self.byte()),
            _ => (0..8).fold(0, |number, _| number << 8 | u64::from(self.byte())),
        }
    }

    fn bytes(&mut self) -> Bytes {
        let len = usize::from(self.byte() % 64).min(self.0.len());
        let (bytes, rest) = self.0.split_at(len);
        self.0 = rest;
        Bytes::copy_from_slice(bytes)
    }

    fn fence(&mut self) -> Fence {
        Fence {
            counter: u64::from(self.byte() % 3),
            random: u64::from(self.byte() % 3),
        }
    }

    fn meta(&mut self) -> Meta {
        Meta {
            epoch: u64::from(self.byte() % 3),
            position: self.number(),
            sequence: self.number(),
            fence: self.fence(),
            owner: (self.byte() % 3 > 0).then(|| InstanceId(self.number())),
            reign: (self.byte() % 3 > 0).then(|| Reign(self.number())),
            ended: self.byte() % 16 == 1,
        }
    }

    fn frame(&mut self) -> Frame {
        // As in all frames that are read, there is room behind the numbers.
        let base = self.number() / 64;
        let left_out = match self.byte() % 4 {
            1 => self.number() / 64,
            _ => 0,
        };
        let events = 1 + self.byte() % 3;
        Frame {
            epoch: u64::from(self.byte() % 3),
            fence: self.fence(),
            base,
            first: base + 1 + left_out,
            sequence: self.number() / 64,
            was: Vec::new(),
            events: (0..events).map(|_| self.stored()).collect(),
        }
    }

    fn stored(&mut self) -> Stored {
        Stored {
            has_data: self.byte() % 4 > 0,
            sets_id: self.byte() % 2 > 0,
            is_gap: self.byte() % 8 == 1,
            upstream: (self.byte() % 2 > 0).then(|| self.bytes()),
            body: 0,
            bytes: self.bytes(),
        }
    }

    fn snapshot(&mut self) -> Snapshot {
        let meta = (self.byte() % 8 != 1).then(|| self.meta());
        let frames = (0..self.byte() % 4).map(|_| match self.byte() % 4 {
            1 => self.bytes(),
            _ => self.frame().to_bytes(),
        });
        let frames = frames.collect();
        let note = self.bytes();
        Snapshot { meta, frames, note }
    }
}
