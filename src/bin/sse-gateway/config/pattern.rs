//! Patterns for paths: `*` stands for anything within one segment, `**` for any number of segments.
//!
//! Segments are matched with the crate `glob`, the `**` between them here: paths come from the network, and so the work
//! must stay within path × pattern, which backtracking over the whole path would not.

use std::fmt;

use glob::{MatchOptions, Pattern};

/// A pattern, as `/users/*/events` or `/v1/**`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PathPattern {
    text: String,
    segments: Vec<Segment>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    /// Any number of segments, also none.
    Any,
    One(Pattern),
}

impl PathPattern {
    /// # Errors
    ///
    /// When `text` does not begin with a slash, or is no pattern.
    pub(crate) fn new(text: &str) -> Result<Self, String> {
        let Some(rest) = text.strip_prefix('/') else {
            return Err(format!(
                "{text:?} does not begin with a slash; use a pattern such as \"/users/*/events\""
            ));
        };
        let segments = rest.split('/').map(|segment| match segment {
            "**" => Ok(Segment::Any),
            _ => Pattern::new(segment).map(Segment::One),
        });
        match segments.collect() {
            Ok(segments) => Ok(Self {
                text: text.to_owned(),
                segments,
            }),
            Err(error) => Err(format!(
                "{text:?} is not a pattern, {}; use * for a part of a segment and ** for whole segments",
                error.msg
            )),
        }
    }

    pub(crate) fn matches(&self, path: &str) -> bool {
        let Some(rest) = path.strip_prefix('/') else {
            return false;
        };
        let path: Vec<&str> = rest.split('/').collect();
        let (mut at, mut segment) = (0, 0);
        // Where to go on when a segment does not match: behind the last `**`, which then takes one segment more.
        let mut retry = None;
        while at < path.len() {
            match self.segments.get(segment) {
                Some(Segment::Any) => {
                    segment += 1;
                    retry = Some((at, segment));
                    continue;
                }
                Some(Segment::One(pattern)) if pattern.matches_with(path[at], OPTIONS) => {
                    at += 1;
                    segment += 1;
                    continue;
                }
                _ => {}
            }
            let Some((from, behind)) = retry else {
                return false;
            };
            retry = Some((from + 1, behind));
            (at, segment) = (from + 1, behind);
        }
        self.segments[segment..]
            .iter()
            .all(|segment| *segment == Segment::Any)
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

const OPTIONS: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: false,
};

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, path: &str) -> bool {
        PathPattern::new(pattern)
            .expect("is a pattern")
            .matches(path)
    }

    #[test]
    fn a_star_stays_within_its_segment() {
        assert!(matches("/users/*/events", "/users/7/events"));
        assert!(!matches("/users/*/events", "/users/7/8/events"));
        assert!(!matches("/users/*/events", "/users/7/events/new"));
        assert!(!matches("/users/*/events", "/users/events"));
        assert!(matches("/*.sse", "/clock.sse"));
        assert!(!matches("/*.sse", "/clock.sse/x"));
        assert!(!matches("/*.sse", "/clock.SSE"));
    }

    #[test]
    fn two_stars_stand_for_any_number_of_segments() {
        for path in ["/v1", "/v1/", "/v1/chat", "/v1/chat/completions"] {
            assert!(matches("/v1/**", path), "{path}");
        }
        assert!(!matches("/v1/**", "/v10"));
        assert!(!matches("/v1/**", "/"));
        for path in ["/events", "/a/events", "/a/b/events", "/events/events"] {
            assert!(matches("/**/events", path), "{path}");
        }
        assert!(!matches("/**/events", "/a/events/b"));
        assert!(matches("/**/a/*/**/b", "/a/a/x/y/b"));
        assert!(!matches("/**/a/*/**/b", "/a/b"));
        assert!(matches("/**", "/"));
        assert!(!matches("/**", "*"));
    }

    #[test]
    fn a_hostile_path_costs_no_more_than_its_length() {
        let path = "/a".repeat(30_000);
        assert!(!matches("/**/a/**/a/**/a/**/b", &path));
        let path = format!("/{}", "a".repeat(60_000));
        assert!(!matches("/*a*b", &path));
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for text in ["", "events", "*", "/a**", "/***", "/[a"] {
            assert!(PathPattern::new(text).is_err(), "{text:?}");
        }
    }
}
