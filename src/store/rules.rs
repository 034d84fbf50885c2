//! The rules of the protocol, one by one.

/// Which rules hold. All of them do; the simulation switches one off at a time, to see that it is caught.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The store refuses an append that is not behind the last position.
    pub base_check: bool,
    /// The store refuses an append with another fence than the one it gave last.
    pub fence_equality: bool,
    /// A fence has random bits.
    pub fence_random: bool,
    /// The first new frame under another reign leaves numbers out.
    pub jump: bool,
    /// How many it leaves out is random.
    pub jump_random: bool,
    /// The store notes a reign with the first frame that jumped for it, rather than with the acquire.
    pub jump_noted: bool,
    /// A frame that is numbered anew names its old numbers.
    pub was: bool,
    /// An event that was had under a number the store has forgotten is not given again.
    pub orphans: bool,
    /// What the store has forgotten is appended again by an owner that has it.
    pub repair: bool,
    /// A follower subscribes before it reads.
    pub subscribe_first: bool,
    /// Heartbeats name the streams that have moved.
    pub beat_positions: bool,
    /// A connection that does not bring back one's own heartbeats is given up.
    pub deafness: bool,
    /// What is heard under another reign than that of the commands is dropped.
    pub one_reign: bool,
    /// A member that finds itself to be the owner, and does not know its fence, acquires again.
    pub own_again: bool,
    /// An owner that lives but does not answer for the stream is replaced.
    pub ask_owner: bool,
    /// A client whose number is not there yet waits until the log was read.
    pub wait_for_number: bool,
    /// A log that nobody knows begins with a random epoch.
    pub random_epoch: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Rules {
            base_check: true,
            fence_equality: true,
            fence_random: true,
            jump: true,
            jump_random: true,
            jump_noted: true,
            was: true,
            orphans: true,
            repair: true,
            subscribe_first: true,
            beat_positions: true,
            deafness: true,
            one_reign: true,
            own_again: true,
            ask_owner: true,
            wait_for_number: true,
            random_epoch: true,
        }
    }
}
