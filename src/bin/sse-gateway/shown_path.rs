//! The path of a request as it may be shown: in the log, in `/streams`, to anybody but the upstream.

use std::sync::Arc;

/// The path without its query: an extension that is set in front of all routes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ShownPath(pub(crate) Arc<str>);

/// A path is shown up to this length.
const MAX_LEN: usize = 200;

impl ShownPath {
    pub(crate) fn of(path: &str) -> Self {
        Self(cut(path).into())
    }
}

fn cut(path: &str) -> &str {
    // `str::floor_char_boundary` is newer than the Rust this is built with.
    let end = (0..=MAX_LEN.min(path.len()))
        .rev()
        .find(|at| path.is_char_boundary(*at))
        .unwrap_or(0);
    &path[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_path_is_cut_between_two_characters() {
        let path = format!("/{}é", "x".repeat(198));
        assert_eq!(&*ShownPath::of(&path).0, &path[..199]);
        assert_eq!(&*ShownPath::of("*").0, "*");
    }
}
