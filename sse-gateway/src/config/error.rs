//! Why the gateway does not start.

use std::fmt;

/// One line: where the mistake is, what is wrong and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Error(String);

impl Error {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// `place: what`, with `what` put on one line.
    pub(crate) fn at(place: impl fmt::Display, what: impl fmt::Display) -> Self {
        let what = what.to_string();
        let lines: Vec<_> = what
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .collect();
        Self(format!("{place}: {}", lines.join(", ")))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}
