//! The path of a request as it may be shown: in the log, in `/streams`, to anybody but the upstream.

use std::sync::Arc;

use crate::config::Matcher;

/// The path without its query, and with `:token` where a route says that a secret stands: an extension that is set in
/// front of all routes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ShownPath(pub(crate) Arc<str>);

/// A path is shown up to this length.
const MAX_LEN: usize = 200;

impl ShownPath {
    /// `routes` are those up to the one that takes the request: one of them may have left it out for its method alone,
    /// or for a slash too many, and the secret is none the less one.
    pub(crate) fn of<'a>(path: &str, routes: impl IntoIterator<Item = &'a Matcher>) -> Self {
        let mut routes = routes.into_iter().filter(|route| route.has_names());
        let Some(named) = routes.find_map(|route| route.named(path)) else {
            return Self(cut(path).into());
        };
        let mut segments: Vec<&str> = path.split('/').collect();
        for (place, name) in named {
            segments[place] = name;
        }
        Self(cut(&segments.join("/")).into())
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

    fn shown(path: &str) -> String {
        let routes = [
            Matcher::prefix("/notices").expect("a path"),
            Matcher::pattern("/s/:token").expect("a pattern"),
            Matcher::prefix("/users/:id/feed").expect("a path"),
        ];
        ShownPath::of(path, &routes).0.to_string()
    }

    #[test]
    fn what_has_a_name_is_not_shown() {
        for (path, expected) in [
            ("/s/hush", "/s/:token"),
            ("/s/hush/", "/s/:token/"),
            ("/s/hush/more", "/s/:token/more"),
            ("//s/hush", "//s/:token"),
            ("/s//hush", "/s//:token"),
            ("/users/hush/feed", "/users/:id/feed"),
            ("/users/hush/feed/7", "/users/:id/feed/7"),
            ("/users/7", "/users/7"),
            ("/notices", "/notices"),
            ("/", "/"),
            ("*", "*"),
            ("", ""),
        ] {
            assert_eq!(shown(path), expected);
        }
    }

    #[test]
    fn a_long_path_is_cut_between_two_characters() {
        let path = format!("/{}é", "x".repeat(198));
        assert_eq!(shown(&path), path[..199]);
        assert_eq!(shown(&format!("/s/{}", "hush".repeat(100))), "/s/:token");
    }
}
