//! One gateway's part in one stream: it follows the log, and at times owns it.

use std::collections::VecDeque;

use bytes::Bytes;

use super::owner::Owner;
use super::replica::Merged;
use super::tail::Watch;
use super::{
    Answer, Appended, Context, Draft, Fence, Frame, InstanceId, MAX_NUMBER, Message, Meta, Output,
    Part, Reign, Replica, Rule, Rules, Writing,
};

mod note;
mod own;
mod read;
mod seek;
mod take;

pub use seek::Sought;

/// How many frames wait for a hole in front of them to be filled.
const BUFFERED: usize = 256;
/// Milliseconds of silence behind which the owner has the store keep the log for longer, unless it is told otherwise.
const RENEW: u64 = 15_000;
/// A position that no log has, named by who does not own the stream.
const NOWHERE: u64 = u64::MAX;
/// One that no log has either, named by its owner.
const ANYWHERE: u64 = u64::MAX - 1;

/// One gateway's part in one stream: it follows the log, and at times owns it.
///
/// There are two connections to the store. Commands are answered in their order, and not at all once their connection is
/// lost. What is published is heard on the other, the tail.
#[derive(Debug)]
pub struct Member {
    me: InstanceId,
    rules: Rules,
    writing: Writing,
    part: Part,
    /// The upstream is asked once, whoever owns the stream.
    asks_once: bool,
    replica: Replica,
    /// Of the connection for commands, or of the last one.
    reign: Option<Reign>,
    is_connected: bool,
    tail: Option<Reign>,
    sent: VecDeque<Sent>,
    reads_begun: u64,
    /// The number of the last one that was answered.
    reads_done: u64,
    is_reading: bool,
    /// What is being read may be older than what is known here.
    is_overtaken: bool,
    read_again: bool,
    /// What is to be merged behind a read, and the number of the first one that began behind it and so has it too.
    heard: Vec<(u64, Frame)>,
    meta: Option<Meta>,
    /// `meta` was read under this reign.
    is_known: bool,
    gone_since: u64,
    /// Nobody has written it again, who might have.
    is_gone: bool,
    watch: Watch,
    is_acquiring: bool,
    owner: Option<Owner>,
    has_owned: bool,
    /// The highest counter of a fence that is known here.
    counter: u64,
    is_wanted: bool,
    /// The upstream's id that the first client came with.
    behind: Option<Bytes>,
    /// The next heartbeat is to name the stream, if this is its owner.
    moved: bool,
    /// It is to have all read, whatever they know.
    all_read: bool,
    /// It was connected to another reign before, or has read.
    has_come: bool,
    /// What was told last beside events.
    note: Bytes,
    /// What the store had of that when it was read last, or answered.
    stored_note: Bytes,
    /// The number of the first read that has the note.
    note_since: u64,
    renew_every: u64,
    /// When the store was last made to keep the log for longer.
    renewed: u64,
}

/// What was sent, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    Read {
        from: u64,
    },
    Acquire {
        /// The epoch that it begins with, where nobody here knows another.
        fresh: Option<u64>,
        /// There was no log, so it is this that makes one.
        makes: bool,
    },
    Append,
    Finish,
    Tell,
    Leave,
    Renew,
    Ask,
    /// What was refused before has made it meaningless.
    Stale,
}

impl Member {
    /// One that keeps this many events at most, with clients.
    pub fn new(me: InstanceId, rules: Rules, limit: usize) -> Self {
        Member {
            me,
            rules,
            writing: Writing::default(),
            part: Part::Any,
            asks_once: false,
            replica: Replica::new(limit, rules),
            reign: None,
            is_connected: false,
            tail: None,
            sent: VecDeque::new(),
            reads_begun: 0,
            reads_done: 0,
            is_reading: false,
            is_overtaken: false,
            read_again: false,
            heard: Vec::new(),
            meta: None,
            is_known: false,
            gone_since: 0,
            is_gone: false,
            watch: Watch::default(),
            is_acquiring: false,
            owner: None,
            has_owned: false,
            counter: 0,
            is_wanted: true,
            behind: None,
            moved: false,
            all_read: false,
            has_come: false,
            note: Bytes::new(),
            stored_note: Bytes::new(),
            note_since: 0,
            renew_every: RENEW,
            renewed: 0,
        }
    }

    /// Sets how it writes what it appends.
    #[must_use]
    pub fn with_writing(mut self, writing: Writing) -> Self {
        self.writing = writing;
        self
    }

    /// Sets which logs it makes, and which it takes up. [`Part::Any`] unless this is called.
    #[must_use]
    pub fn with_part(mut self, part: Part) -> Self {
        self.part = part;
        self
    }

    /// Says that the upstream cannot be asked again. An owner that takes over leaves it to who is to ask to tell that something
    /// may be missing.
    #[must_use]
    pub fn asking_once(mut self) -> Self {
        self.asks_once = true;
        self
    }

    /// Has the owner of a silent stream renew its keys so often, in milliseconds: a quarter of what the store keeps them for, and
    /// the same for all members. 15 s unless this is called.
    pub fn renew_every(mut self, millis: u64) -> Self {
        self.renew_every = millis;
        self
    }

    /// What its clients read.
    pub fn replica(&self) -> &Replica {
        &self.replica
    }

    /// Whether it reads the upstream, or is about to.
    pub fn is_owner(&self) -> bool {
        self.owner.is_some()
    }

    /// Whether it was to make the log, and there is one of another.
    pub fn is_taken(&self) -> bool {
        let is_strange = self.part == Part::Makes && !self.has_owned;
        is_strange && self.is_known && self.meta.is_some() && !self.replica.is_closed()
    }

    /// Whether it was to take up a log, and there is none: the store may have forgotten it, and its owner has had the time to write
    /// it again.
    pub fn is_missing(&self) -> bool {
        self.is_gone && self.finds_nothing()
    }

    fn finds_nothing(&self) -> bool {
        let is_strange = self.part == Part::Joins && self.replica.epoch().is_none();
        is_strange && self.is_known && self.meta.is_none()
    }

    /// Whose the stream is, as far as this member knows.
    pub fn owner(&self) -> Option<InstanceId> {
        match self.owner {
            Some(_) => Some(self.me),
            None => self.meta?.owner.filter(|owner| *owner != self.me),
        }
    }

    /// Whether all that the upstream has sent is there, and it is known what the log has.
    pub fn is_settled(&self) -> bool {
        let owner = self.owner.as_ref();
        owner.is_some_and(|owner| owner.resolved && owner.is_empty())
    }

    /// What it shows as the owner, once it knows what the log has.
    pub fn fence(&self) -> Option<Fence> {
        let owner = self.owner.as_ref().filter(|owner| owner.resolved);
        owner.and_then(|owner| owner.fence)
    }

    /// Whether the log was read under the reign that there is now.
    pub fn is_known(&self) -> bool {
        self.is_known
    }

    /// Whether a read has ended that began behind this one, as [`Member::look`] gives it.
    pub fn has_read(&self, since: u64) -> bool {
        self.reads_done >= since
    }

    /// Drops what is in front of this place, but for the last.
    pub fn forget(&mut self, place: u64) {
        self.replica.forget(place);
    }

    /// Whether it has clients. Without any it does not become the owner; who owns the stream is to [`leave`](Member::leave) as well.
    pub fn want(&mut self, is_wanted: bool) {
        self.is_wanted = is_wanted;
    }

    /// The connection for commands leads to a primary with this reign.
    pub fn connected(&mut self, reign: Reign, cx: &mut Context<'_>) {
        self.disconnected();
        let is_same = self.reign == Some(reign) && self.is_known;
        self.has_come |= self.reign.is_some_and(|known| known != reign);
        // The heartbeat that was to name it may be lost as well.
        self.moved = true;
        self.all_read |= self.replica.is_closed();
        self.reign = Some(reign);
        self.is_connected = true;
        if !is_same {
            self.is_known = false;
            self.watch.changed(cx.now, false);
        }
        let resend = match &mut self.owner {
            Some(owner) if owner.reign == reign && owner.resolved => true,
            Some(owner) => {
                owner.reign = reign;
                owner.resolved = false;
                false
            }
            None => false,
        };
        if resend {
            if let Some(owner) = &mut self.owner {
                owner.resend(cx, &mut self.sent, &self.replica);
            }
            self.pump(cx);
        }
        self.read(cx);
    }

    /// The connection for commands is lost, and what was not answered may be done or not.
    pub fn disconnected(&mut self) {
        self.is_connected = false;
        self.sent.clear();
        self.is_acquiring = false;
        self.read_again = false;
        self.heard.clear();
        self.is_reading = false;
        self.is_overtaken = false;
    }

    /// The tail leads to a primary with this reign, and nothing is subscribed to.
    pub fn tail_connected(&mut self, reign: Reign, cx: &mut Context<'_>) {
        self.tail = Some(reign);
        cx.outputs.push(Output::Subscribe);
        if !self.rules.hold(Rule::SubscribeFirst) {
            self.read(cx);
        }
    }

    /// The tail is lost.
    pub fn tail_lost(&mut self) {
        self.tail = None;
    }

    /// What is published from now on is heard.
    pub fn subscribed(&mut self, cx: &mut Context<'_>) {
        if self.rules.hold(Rule::SubscribeFirst) {
            // What was told before was not heard.
            self.await_note(cx);
        }
    }

    /// Something was published.
    pub fn hear(&mut self, message: &Message, cx: &mut Context<'_>) {
        if self.rules.hold(Rule::OneReign) && self.tail != self.reign {
            return;
        }
        match message {
            Message::Frame(bytes) => {
                let Ok(frame) = Frame::parse(bytes) else {
                    return;
                };
                let is_known = self.is_known || !self.rules.hold(Rule::OneReign);
                let is_read = is_known && self.note_since <= self.reads_done;
                if !is_read || self.replica.merge(&frame) == Merged::Hole {
                    if self.heard.len() < BUFFERED {
                        self.heard.push((self.reads_begun + 1, frame));
                    }
                    self.read(cx);
                }
            }
            Message::Owned(fence, owner) => {
                if let Some(mine) = &self.owner {
                    if mine.fence != Some(*fence) {
                        self.read(cx);
                    }
                } else if let Some(meta) = &mut self.meta {
                    (meta.fence, meta.owner) = (*fence, Some(*owner));
                    self.counter = self.counter.max(fence.counter.min(MAX_NUMBER));
                    self.watch.changed(cx.now, true);
                } else {
                    self.read(cx);
                }
            }
            Message::Free(fence) => match &mut self.meta {
                Some(meta) if meta.fence == *fence => {
                    meta.owner = None;
                    self.watch.changed(cx.now, true);
                    self.consider(cx);
                }
                _ => self.read(cx),
            },
            Message::Ended(_) => self.read(cx),
            // Also as the owner, since that may be another by now.
            Message::Told => self.await_note(cx),
            Message::Asked => self.moved |= self.owner.is_some(),
        }
    }

    /// An instance has told that it lives, and what this stream's last position is if that has changed.
    pub fn beat(&mut self, from: InstanceId, position: Option<u64>, cx: &mut Context<'_>) {
        if self.owner.is_some() || from == self.me || self.replica.is_closed() {
            return;
        }
        if self.meta.is_some_and(|meta| meta.owner == Some(from)) {
            self.watch
                .heard(cx.now, position.is_some_and(|at| at != NOWHERE));
        }
        let position = position.filter(|_| self.rules.hold(Rule::BeatPositions));
        if position.is_some_and(|position| !self.replica.contains(position)) {
            self.read(cx);
        }
    }

    /// An instance is silent, and the store says that it hears nothing any more: it has ended, or has lost its connections. If it
    /// is the owner, its session is not waited for.
    pub fn gone(&mut self, instance: InstanceId, cx: &mut Context<'_>) {
        let owner = self.meta.and_then(|meta| meta.owner);
        if self.owner.is_none() && owner == Some(instance) {
            self.watch.gone();
            self.consider(cx);
        }
    }

    /// What this instance's next heartbeat is to name: the owner's last position, if others may not know it, or one that nobody
    /// has, so that all read.
    pub fn moved(&mut self) -> Option<u64> {
        let has_moved = std::mem::take(&mut self.moved) && self.owner.is_some();
        match std::mem::take(&mut self.all_read) {
            true if self.owner.is_some() => Some(ANYWHERE),
            true => Some(NOWHERE),
            false => has_moved.then_some(self.replica.tip().0),
        }
    }

    /// Time has passed. To be called some ten times a second.
    pub fn tick(&mut self, cx: &mut Context<'_>) {
        self.renew(cx);
        self.acquire_again(cx);
        self.consider(cx);
    }

    /// An answer to the oldest command that has none.
    pub fn answer(&mut self, answer: Answer, cx: &mut Context<'_>) {
        let Some(sent) = self.sent.pop_front() else {
            return;
        };
        match (sent, answer) {
            (Sent::Read { from }, Answer::Read(snapshot)) => self.was_read(from, snapshot, cx),
            (Sent::Acquire { fresh, makes }, Answer::Acquired(acquired)) => {
                self.is_acquiring = false;
                self.acquired((fresh, makes), acquired, cx);
            }
            (Sent::Append, Answer::Appended(appended)) => self.appended(appended, cx),
            (Sent::Renew, Answer::Appended(Appended::Fenced)) => self.look_again(cx),
            (Sent::Tell, Answer::Appended(appended)) => self.was_told(appended, cx),
            (Sent::Finish, Answer::Appended(appended)) => self.finished(appended, cx),
            (Sent::Leave, _) => {
                self.all_read = true;
                self.step_down(cx);
                if let Some(meta) = &mut self.meta {
                    meta.owner = None;
                }
            }
            _ => {}
        }
    }

    /// The upstream has sent this. Not to be asked for more while [`Member::is_full`].
    pub fn draft(&mut self, draft: Draft, cx: &mut Context<'_>) {
        if let Some(owner) = &mut self.owner {
            owner.draft(draft, &self.replica, self.writing.is_sifted);
        }
        self.pump(cx);
    }

    /// Whether the upstream is not to be read for now.
    pub fn is_full(&self) -> bool {
        self.owner.as_ref().is_none_or(Owner::is_full)
    }

    fn appended(&mut self, appended: Appended, cx: &mut Context<'_>) {
        match appended {
            Appended::Done => self.landed(cx),
            Appended::At(_) | Appended::Fenced => self.look_again(cx),
        }
    }
}
