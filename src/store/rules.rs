//! The rules of the protocol, one by one.

/// A rule of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The store refuses an append that is not behind the last position.
    BaseCheck,
    /// The store refuses an append with another fence than the one it gave last.
    FenceEquality,
    /// A fence has random bits.
    FenceRandom,
    /// The first new frame under another reign leaves numbers out.
    Jump,
    /// How many it leaves out is random.
    JumpRandom,
    /// The store notes a reign with the first frame that jumped for it, rather than with the acquire.
    JumpNoted,
    /// A frame that is numbered anew names its old numbers.
    Was,
    /// An event that was had under a number the store has forgotten is not given again.
    Orphans,
    /// What the store has forgotten is appended again by an owner that has it.
    Repair,
    /// A follower subscribes before it reads.
    SubscribeFirst,
    /// Heartbeats name the streams that have moved.
    BeatPositions,
    /// A connection that does not bring back one's own heartbeats is given up.
    Deafness,
    /// What is heard under another reign than that of the commands is dropped.
    OneReign,
    /// An owner that lives but does not answer for the stream is replaced.
    AskOwner,
    /// An owner that has not named the stream for long is asked again.
    AskAgain,
    /// A client whose number is not there yet waits until the log was read.
    WaitForNumber,
    /// A log that nobody knows begins with a random epoch.
    RandomEpoch,
    /// What is heard behind a note waits for a read that has it.
    NoteInOrder,
    /// The owner of a silent stream renews its keys.
    Renew,
    /// Who takes up a log that somebody else has made makes none.
    JoinsOnly,
}

/// Which rules hold: all of them. The simulation alone can switch one off, to see that it is caught; where the feature
/// `simulation` is not set, there is nothing to switch, and nothing is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    #[cfg(feature = "simulation")]
    off: Option<Rule>,
}

impl Rules {
    /// All but this one.
    #[cfg(feature = "simulation")]
    pub fn without(rule: Rule) -> Self {
        Rules { off: Some(rule) }
    }

    /// Whether this one holds.
    #[cfg(feature = "simulation")]
    pub fn hold(&self, rule: Rule) -> bool {
        self.off != Some(rule)
    }

    #[cfg(not(feature = "simulation"))]
    pub(super) const fn hold(&self, _: Rule) -> bool {
        true
    }
}

/// They cost nothing where they cannot be switched off.
#[cfg(not(feature = "simulation"))]
const _: () = assert!(size_of::<Rules>() == 0);
