//! Which logs a member makes, and which it takes up.

/// Which logs a member makes, and which it takes up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Part {
    /// It makes a log that is not there, and takes up one that is.
    #[default]
    Any,
    /// It makes a log that is not there, and leaves alone one that is: it has the upstream's answer already.
    Makes,
    /// It takes up a log that is there, and makes none but one that it has: whoever has the upstream's answer made it, and its
    /// numbers are given once.
    Joins,
}
