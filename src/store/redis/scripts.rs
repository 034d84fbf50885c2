//! The scripts, and how they are called.
//!
//! They are loaded when a connection begins, and called by their hash alone. To fall back on their text when a server does not
//! know the hash would change the order of commands that are under way; it means that the server is not the one it was, or
//! that somebody has emptied it, and the connection is given up like one that is lost.

use redis::Cmd;

/// A script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Script {
    Acquire,
    Append,
    Leave,
    Finish,
    Tell,
    Crowd,
    Anew,
    Rights,
    Renew,
    Note,
}

/// In the order of the variants.
pub(super) const TEXTS: [&str; 10] = [
    include_str!("scripts/acquire.lua"),
    include_str!("scripts/append.lua"),
    include_str!("scripts/leave.lua"),
    include_str!("scripts/finish.lua"),
    include_str!("scripts/tell.lua"),
    include_str!("scripts/crowd.lua"),
    include_str!("scripts/anew.lua"),
    include_str!("scripts/rights.lua"),
    include_str!("scripts/renew.lua"),
    include_str!("scripts/note.lua"),
];

/// The hashes that a server has given.
#[derive(Clone, Debug)]
pub(super) struct Scripts(pub(super) [String; TEXTS.len()]);

impl Scripts {
    /// A call with these keys. The arguments are to be added.
    pub(super) fn call(&self, script: Script, keys: &[String]) -> Cmd {
        let mut cmd = redis::cmd("EVALSHA");
        cmd.arg(&self.0[script as usize]).arg(keys.len()).arg(keys);
        cmd
    }
}
