//! What was published and acknowledged, whatever the store has made of it since.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;
use tower_sse::store::{
    Answer, Appended, Command, Fence, Frame, InstanceId, Member, Message, Model,
};

use crate::bench::Bench;
use crate::linear::{History, Operation};
use crate::world::STREAM;

/// What the upstream has sent of an event: its bytes, and its id.
type Sent = (Bytes, Option<Bytes>);

#[derive(Default)]
pub(crate) struct Ledger {
    /// By epoch and position.
    pub(crate) events: BTreeMap<(u64, u64), Sent>,
    /// By epoch and position: the primaries that have had it, as bits.
    primaries: HashMap<(u64, u64), u64>,
    /// By epoch and sequence, those with data.
    numbers: HashMap<(u64, u64), Sent>,
    fences: BTreeMap<Fence, InstanceId>,
    /// Where logs have begun.
    pub(crate) beginnings: BTreeSet<(u64, u64)>,
    /// By epoch and position: whether the store has lost it since.
    appended: BTreeMap<(u64, u64), bool>,
    /// By epoch: what was told behind which position, in its order.
    notes: HashMap<u64, Vec<(u64, Bytes)>>,
    pub(crate) history: History,
    /// The connection of each call.
    lines: Vec<u64>,
}

impl Ledger {
    /// An id means one event, whoever gave it; a fence is one owner's; an append follows what is there.
    pub(crate) fn published(
        &mut self,
        message: &Message,
        primary: usize,
        before: u64,
    ) -> Result<(), String> {
        match message {
            Message::Frame(bytes) => {
                let frame = Frame::parse(bytes).expect("a frame that was written here");
                let mut sequence = frame.sequence;
                if frame.base == 0 {
                    self.beginnings.insert((frame.epoch, frame.first));
                }
                for (index, event) in frame.events.iter().enumerate() {
                    let is = (event.bytes.slice(event.body..), event.upstream.clone());
                    let name = (frame.epoch, frame.first + index as u64);
                    *self.primaries.entry(name).or_default() |= 1 << primary;
                    let kept = self.events.entry(name).or_insert_with(|| is.clone());
                    if *kept != is {
                        return Err(format!("V2: {name:?} was {kept:?} and is {is:?}"));
                    }
                    if !event.has_data {
                        continue;
                    }
                    sequence += 1;
                    let number = (frame.epoch, sequence);
                    let kept = self.numbers.entry(number).or_insert_with(|| is.clone());
                    if *kept != is {
                        return Err(format!("V2: number {number:?} was {kept:?} and is {is:?}"));
                    }
                }
                match frame.base == before {
                    true => Ok(()),
                    false => Err(format!("V4: {} behind {before}", frame.base)),
                }
            }
            Message::Owned(fence, owner) => match self.fences.insert(*fence, *owner) {
                Some(known) if known != *owner => Err(format!("V4: {fence:?} is of two owners")),
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }

    /// Another primary begins with what is in this store.
    pub(crate) fn promoted(&mut self, primary: usize, store: &Model) {
        for frame in store.read(STREAM, 0).frames.iter().flat_map(Frame::parse) {
            for position in frame.first..=frame.last() {
                let primaries = self.primaries.entry((frame.epoch, position)).or_default();
                *primaries |= 1 << primary;
            }
        }
    }

    pub(crate) fn call(&mut self, command: &Command, line: u64) -> Option<usize> {
        let call = self.history.call(Operation::of(command)?);
        self.lines.push(line);
        Some(call)
    }

    /// Nothing more is answered on this connection.
    pub(crate) fn hung_up(&mut self, line: u64, now: u64) {
        let lines = &self.lines;
        self.history.lost(|call| lines[call] == line, now);
    }

    /// The store has appended this frame, and says so.
    pub(crate) fn acknowledged(&mut self, frame: &Bytes, answer: &Answer) {
        if *answer != Answer::Appended(Appended::Done) {
            return;
        }
        let frame = Frame::parse(frame).expect("a frame that was written here");
        for position in frame.first..=frame.last() {
            self.appended.insert((frame.epoch, position), false);
        }
    }

    /// The store may have lost something: who is left has this.
    pub(crate) fn lost(&mut self, store: &Model) {
        let missing: Vec<_> = self.missing(store).collect();
        for name in missing {
            self.appended.insert(name, true);
        }
    }

    /// What was acknowledged is in the log, or was lost with it, or is not kept any more.
    pub(crate) fn check(&self, store: &Model) -> Result<(), String> {
        let missing = self.missing(store).find(|name| !self.appended[name]);
        match missing {
            Some(name) => Err(format!("V3: {name:?} was acknowledged and is not there")),
            None => Ok(()),
        }
    }

    /// The store has told this behind its last position.
    pub(crate) fn told(&mut self, store: &Model) {
        let log = store.read(STREAM, u64::MAX);
        if let Some(meta) = log.meta {
            let notes = self.notes.entry(meta.epoch).or_default();
            notes.push((meta.position, log.note));
        }
    }

    /// A member has what was told in front of its last event, and nothing that was told behind one that it has not.
    pub(crate) fn check_note(&self, member: &Member) -> Result<(), String> {
        let tip = member.replica().tip().0;
        let epoch = member.replica().epoch();
        let Some(notes) = epoch.and_then(|epoch| self.notes.get(&epoch)) else {
            return Ok(());
        };
        let due = notes.partition_point(|(position, _)| *position < tip);
        let known = notes.iter().rposition(|(_, note)| note == member.note());
        let known = known.map_or(0, |known| known + 1);
        let is_early = known > 0 && notes[known - 1].0 > tip;
        match known < due || is_early {
            true => Err(format!("V8: note {known} of {due} at {tip}: {notes:?}")),
            false => Ok(()),
        }
    }

    fn missing(&self, store: &Model) -> impl Iterator<Item = (u64, u64)> {
        let log = store.read(STREAM, 0);
        let frames = log.frames.iter().flat_map(Frame::parse);
        let frames: Vec<_> = frames.collect();
        let oldest = frames.first().map_or(0, |frame| frame.base);
        let there: BTreeSet<_> = frames
            .iter()
            .flat_map(|frame| frame.first..=frame.last())
            .collect();
        let epoch = log.meta.map(|meta| meta.epoch);
        let names = self.appended.keys().copied();
        names.filter(move |(of, position)| {
            Some(*of) != epoch || *position > oldest && !there.contains(position)
        })
    }

    /// What replicas have under one name is one event. They are compared with what was published, from this place on. It was in
    /// the log of a primary to which this member's commands have led.
    pub(crate) fn compare(&self, member: &Member, from: u64, reached: u64) -> Result<(), String> {
        let replica = member.replica();
        for place in from.max(replica.oldest())..replica.next() {
            let Some(Some(event)) = replica.entry(place) else {
                continue;
            };
            for (epoch, position, _) in replica.names(place) {
                let is = (&event.bytes.slice(event.body..), &event.upstream);
                let sent = self.events.get(&(*epoch, *position));
                // A block that sets an id alone says where a log begins, whatever had set it.
                let is_it =
                    sent.is_some_and(|sent| (&sent.0, &sent.1) == is || &sent.0[..] == b"\n");
                if !is_it {
                    return Err(format!(
                        "V1: {position} of {epoch} is {is:?} and was {sent:?}"
                    ));
                }
                let primaries = self.primaries.get(&(*epoch, *position)).copied();
                if primaries.unwrap_or(0) & reached == 0 {
                    return Err(format!(
                        "V7: {position} of {epoch} is in no log that it reads"
                    ));
                }
            }
        }
        Ok(())
    }
}

#[test]
fn what_was_acknowledged_is_missed_unless_the_store_has_lost_it() {
    let mut bench = Bench::new();
    let mut ledger = Ledger::default();
    let mut owner = bench.host(1);
    bench.settle(&mut owner);
    bench.give(&mut owner, 1);
    let Some(Command::Append { frame, .. }) = owner.sent.first().cloned() else {
        panic!("an append is sent");
    };
    let answer = bench.execute(&mut owner);
    ledger.acknowledged(&frame, &answer);
    assert_eq!(ledger.check(&bench.store), Ok(()));
    bench.store.evict(STREAM, true);
    assert!(ledger.check(&bench.store).is_err());
    ledger.lost(&bench.store);
    assert_eq!(ledger.check(&bench.store), Ok(()));
}

#[test]
fn a_replica_has_what_was_published_under_its_name_where_it_reads() {
    let mut bench = Bench::new();
    let mut ledger = Ledger::default();
    let mut owner = bench.host(1);
    bench.settle(&mut owner);
    bench.give(&mut owner, 1);
    bench.settle(&mut owner);
    assert!(ledger.compare(&owner.member, 0, 1).is_err());
    let mut before = 0;
    for message in &bench.heard {
        assert_eq!(ledger.published(message, 0, before), Ok(()));
        before += u64::from(matches!(message, Message::Frame(_)));
    }
    assert_eq!(ledger.compare(&owner.member, 0, 1), Ok(()));
    assert!(ledger.compare(&owner.member, 0, 2).is_err());
}
