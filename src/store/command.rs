//! What a member and a store say to each other.

use std::fmt;

use bytes::Bytes;

use super::MAX_NUMBER;

/// One run of one gateway: random bits, drawn anew by each process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId(pub u64);

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Since when a primary is the primary without a break: another one after each restart and each failover, also one that
/// goes back to a process that was the primary before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reign(pub u64);

/// What an owner shows with all that it appends. Compared for equality alone: a counter can be given twice where the
/// store has forgotten an acquire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fence {
    /// Above that of each earlier owner its holder knew of, whatever the store has forgotten.
    pub counter: u64,
    /// Random bits.
    pub random: u64,
}

/// What the store keeps of a stream beside its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Where its numbers belong to.
    pub epoch: u64,
    /// The last position.
    pub position: u64,
    /// The last sequence.
    pub sequence: u64,
    /// What who owns it has to show.
    pub fence: Fence,
    /// Who owns it.
    pub owner: Option<InstanceId>,
    /// The last reign whose first new frame is there.
    pub reign: Option<Reign>,
    /// Whether it has ended.
    pub ended: bool,
}

impl Meta {
    /// Whether there is room behind its numbers.
    pub(super) fn is_bounded(&self) -> bool {
        let numbers = [self.position, self.sequence, self.fence.counter];
        numbers.iter().all(|number| *number <= MAX_NUMBER)
    }
}

/// To the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// What is kept of the stream, from the frame on that has this position, or would.
    Read {
        /// 0 for all.
        from: u64,
    },
    /// To own the stream.
    Acquire {
        /// The fence as it was read; none where there was no log.
        seen: Option<Fence>,
        /// The new fence.
        fence: Fence,
        /// For a log that is not there.
        epoch: u64,
        /// Also if the owner's session lives.
        force: bool,
    },
    /// To append a frame.
    Append {
        /// That of the owner.
        fence: Fence,
        /// The position behind which the frame belongs.
        base: u64,
        /// The last position in it.
        last: u64,
        /// The last sequence in it.
        sequence: u64,
        /// The oldest position to be kept.
        keep: u64,
        /// What it means for the reign.
        mark: Mark,
        /// The frame.
        frame: Bytes,
    },
    /// To own the stream no more.
    Leave {
        /// That of the owner.
        fence: Fence,
    },
    /// To end the log, whose last position is this.
    Finish {
        /// That of the owner.
        fence: Fence,
        /// The last position.
        base: u64,
    },
    /// To tell all something beside events, behind this position.
    Tell {
        /// That of the owner.
        fence: Fence,
        /// The last position.
        base: u64,
        /// What.
        note: Bytes,
    },
    /// To keep a log for longer in which nothing happens.
    Renew {
        /// That of the owner.
        fence: Fence,
    },
    /// To have the owner's next heartbeat name the stream.
    Ask,
}

/// What a frame means for the reign under which it is appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Nothing.
    None,
    /// It is the first new one.
    First,
    /// It was appended under another reign before, whose further numbers nobody here knows. The next new one is to be the first.
    Repair,
}

/// From the store, in the order of the commands of one connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// To `Read`.
    Read(Snapshot),
    /// To `Acquire`.
    Acquired(Acquired),
    /// To `Append`, `Finish`, `Tell` and `Renew`.
    Appended(Appended),
    /// To `Leave` and `Ask`.
    Done,
}

/// What is kept of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// None where there is no log.
    pub meta: Option<Meta>,
    /// Frames, the oldest first.
    pub frames: Vec<Bytes>,
    /// What was told last beside them; empty where that is nothing.
    pub note: Bytes,
}

/// What became of an `Acquire`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Acquired {
    /// It is owned, and was found like this but for the fence and the owner.
    Own(Meta),
    /// There is another fence than the one that was read.
    Changed(Option<Fence>, Option<InstanceId>),
    /// The owner lives.
    Busy(InstanceId),
    /// The log has ended.
    Ended,
    /// Who asks has no session.
    Dead,
}

/// What became of an `Append`, a `Finish`, a `Tell` or a `Renew`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// It is there.
    Done,
    /// It is not, since the last position is this one.
    At(u64),
    /// It is not, since another owns the stream, or nobody does.
    Fenced,
}

/// What is heard on the channel of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// It was appended.
    Frame(Bytes),
    /// It has another owner.
    Owned(Fence, InstanceId),
    /// It has none.
    Free(Fence),
    /// It has ended, and this is its last position.
    Ended(u64),
    /// Something was told beside events, which a read brings.
    Told,
    /// Somebody asks whether the owner lives.
    Asked,
}

/// What a member wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// To be sent to the store.
    Command(Command),
    /// The channel is to be subscribed to; [`Member::subscribed`](super::Member::subscribed) says that it is.
    Subscribe,
    /// The upstream is to be asked, behind this id.
    Open(Option<Bytes>),
    /// The upstream is not to be read any more.
    Close,
}

/// What a member is given with everything that happens.
pub struct Context<'a> {
    /// Milliseconds, by a clock of this process that never goes back.
    pub now: u64,
    /// Random bits.
    pub chance: &'a mut dyn FnMut() -> u64,
    /// What is to be done, in this order.
    pub outputs: Vec<Output>,
}

impl std::fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context")
            .field("now", &self.now)
            .field("outputs", &self.outputs)
            .finish_non_exhaustive()
    }
}

impl Context<'_> {
    pub(super) fn send(&mut self, command: Command) {
        self.outputs.push(Output::Command(command));
    }
}
