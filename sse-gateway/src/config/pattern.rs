//! Patterns for paths: `*` stands for anything within one segment, `**` for any number of segments, and `:name` for one
//! that is not empty and that nobody is to see.
//!
//! Segments are matched with the crate `glob`, the `**` between them here: paths come from the network, and so the work
//! must stay within path × pattern, which backtracking over the whole path would not.

use std::fmt;

use glob::{MatchOptions, Pattern};

/// A pattern, as `/users/*/events`, `/v1/**` or `/s/:token`.
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
    /// With its colon.
    Named(String),
}

/// How a path is held against a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Strict,
    /// The path is without its empty segments.
    Loose,
    /// The same, and it may go on behind the pattern.
    Open,
}

impl Segment {
    fn is_empty(&self) -> bool {
        matches!(self, Self::One(pattern) if pattern.as_str().is_empty())
    }

    fn is_literal(&self) -> bool {
        matches!(self, Self::One(pattern) if !pattern.as_str().contains(['*', '?', '[']))
    }

    fn takes(&self, segment: &str) -> bool {
        match self {
            Self::Any => false,
            Self::One(pattern) => pattern.matches_with(segment, OPTIONS),
            Self::Named(_) => !segment.is_empty(),
        }
    }
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
            _ if segment.starts_with(':') => named(segment),
            _ => Pattern::new(segment).map(Segment::One).map_err(|error| {
                format!(
                    "{text:?} is not a pattern, {}; use * for a part of a segment and ** for whole segments",
                    error.msg
                )
            }),
        });
        Ok(Self {
            text: text.to_owned(),
            segments: segments.collect::<Result<_, _>>()?,
        })
    }

    /// One that takes this path and all below it, and has no stars.
    ///
    /// # Errors
    ///
    /// When the name of a segment is none.
    pub(super) fn prefix(path: &str) -> Result<Self, String> {
        let literal = |segment: &str| match segment.starts_with(':') {
            true => segment.to_owned(),
            false => Pattern::escape(segment),
        };
        let segments: Vec<_> = path.split('/').map(literal).collect();
        // What is below a slash at the end has a segment more, which may be empty.
        let below = if path.ends_with('/') { "*/**" } else { "/**" };
        let pattern = Self::new(&(segments.join("/") + below))?;
        Ok(Self {
            text: path.to_owned(),
            ..pattern
        })
    }

    /// The same with its segments written in another way, and without a slash at its end.
    pub(super) fn written(&self, write: fn(&str) -> String) -> Self {
        let mut segments: Vec<_> = self
            .segments
            .iter()
            .map(|segment| match segment {
                Segment::One(pattern) => {
                    let written = Pattern::new(&write(pattern.as_str()));
                    Segment::One(written.unwrap_or_else(|_| pattern.clone()))
                }
                other => other.clone(),
            })
            .collect();
        if segments.len() > 1 && segments.last().is_some_and(Segment::is_empty) {
            segments.pop();
        }
        Self {
            text: write(&self.text),
            segments,
        }
    }

    /// The one path that it takes, if it is one.
    pub(super) fn literal(&self) -> Option<String> {
        let literal = self.segments.iter().all(Segment::is_literal);
        literal.then(|| self.beginning())
    }

    /// A path that a prefix takes if it takes all that this does.
    pub(super) fn beginning(&self) -> String {
        let literal = self.segments.iter().take_while(|one| one.is_literal());
        let texts = literal.map(|segment| match segment {
            Segment::One(pattern) => pattern.as_str(),
            Segment::Any | Segment::Named(_) => "",
        });
        let mut path: String = texts.flat_map(|text| ["/", text]).collect();
        match self.segments.iter().find(|one| !one.is_literal()) {
            None | Some(Segment::Any) => {}
            // What no prefix names.
            Some(_) => path += "/\0",
        }
        path
    }

    pub(crate) fn matches(&self, path: &str) -> bool {
        let Some(rest) = path.strip_prefix('/') else {
            return false;
        };
        let path: Vec<&str> = rest.split('/').collect();
        self.walk(&path, Manner::Strict).is_some()
    }

    /// Whether a segment has a name.
    pub(crate) fn has_names(&self) -> bool {
        let named = |segment: &Segment| matches!(segment, Segment::Named(_));
        self.segments.iter().any(named)
    }

    /// The segments of the path that have a name: their places between its slashes, and these names.
    ///
    /// More is found than what matches, since a secret remains one: slashes too many or too few do not count, and the path
    /// may go on behind the pattern.
    pub(crate) fn named(&self, path: &str) -> Option<Vec<(usize, &str)>> {
        let all = path.split('/').enumerate().skip(1);
        let filled = all.clone().filter(|(_, segment)| !segment.is_empty());
        let (all, filled): (Vec<_>, Vec<_>) = (all.collect(), filled.collect());
        [
            (&all, Manner::Strict),
            (&filled, Manner::Loose),
            (&filled, Manner::Open),
        ]
        .into_iter()
        .find_map(|(segments, manner)| {
            let (places, texts): (Vec<_>, Vec<_>) = segments.iter().copied().unzip();
            let named = self.walk(&texts, manner)?.into_iter();
            Some(named.map(|(at, name)| (places[at], name)).collect())
        })
    }

    /// Where the named segments are, if the path matches.
    fn walk(&self, path: &[&str], manner: Manner) -> Option<Vec<(usize, &str)>> {
        let mut named = Vec::new();
        let (mut at, mut segment) = (0, 0);
        // Where to go on when a segment does not match: behind the last `**`, which then takes one segment more.
        let mut retry = None;
        while at < path.len() {
            match self.segments.get(segment) {
                Some(empty) if manner != Manner::Strict && empty.is_empty() => {
                    segment += 1;
                    continue;
                }
                Some(Segment::Any) => {
                    segment += 1;
                    retry = Some((at, segment, named.len()));
                    continue;
                }
                Some(one) if one.takes(path[at]) => {
                    if let Segment::Named(name) = one {
                        named.push((at, name.as_str()));
                    }
                    at += 1;
                    segment += 1;
                    continue;
                }
                None if manner == Manner::Open => return Some(named),
                _ => {}
            }
            let (from, behind, names) = retry?;
            retry = Some((from + 1, behind, names));
            (at, segment) = (from + 1, behind);
            named.truncate(names);
        }
        self.segments[segment..]
            .iter()
            .all(|segment| {
                *segment == Segment::Any || manner != Manner::Strict && segment.takes("")
            })
            .then_some(named)
    }
}

fn named(segment: &str) -> Result<Segment, String> {
    let name = &segment[1..];
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if name.is_empty() || !name.chars().all(is_name) {
        return Err(format!(
            "{segment:?} names no segment; use a colon and letters, digits, - and _, such as :token"
        ));
    }
    Ok(Segment::Named(segment.to_owned()))
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
    use crate::config::cases::rows;

    fn pattern(text: &str) -> PathPattern {
        PathPattern::new(text).expect("is a pattern")
    }

    /// A pattern, paths that it matches, and paths that it does not.
    const PATTERNS: &str = "
        /users/*/events | /users/7/events | /users/7/8/events /users/7/events/new /users/events
        /*.sse | /clock.sse | /clock.sse/x /clock.SSE
        /v1/** | /v1 /v1/ /v1/chat /v1/chat/completions | /v10 /
        /**/events | /events /a/events /a/b/events /events/events | /a/events/b
        /**/a/*/**/b | /a/a/x/y/b | /a/b
        /** | / | *
        /s/:token | /s/abc /s/:token | /s /s/ /s/abc/ /s/abc/d /s//abc /t/abc
        /s/:a/x/:b | /s/1/x/2 | /s/1/y/2
        /**/:token/end | /a/b/end | /end";

    /// The same with what takes all below it.
    const PREFIXES: &str = "
        /s/:token | /s/abc /s/abc/ /s/abc/d /s/abc/d/e | /s /s/ /s//d /sx/abc
        /s/:token/ | /s/abc/ /s/abc/d /s/abc/d/e | /s/abc
        /[a]/:b | /[a]/c | /a/c
        /a//:b | /a//c | /a/x/c";

    fn check(cases: &str, make: fn(&str) -> Result<PathPattern, String>) {
        for [text, takes, leaves] in rows(cases, " | ") {
            let pattern = make(text).expect("is a pattern");
            assert!(takes.split(' ').all(|path| pattern.matches(path)), "{text}");
            assert!(
                !leaves.split(' ').any(|path| pattern.matches(path)),
                "{text}"
            );
        }
    }

    #[test]
    fn stars_names_and_prefixes_take_their_segments() {
        check(PATTERNS, PathPattern::new);
        check(PREFIXES, PathPattern::prefix);
    }

    /// A pattern, a path, and its segments with a name.
    const NAMED: &str = "
        /s/:token | /s/abc | 2 :token
        /s/:token | /s/abc/ | 2 :token
        /s/:token | /s/abc/more | 2 :token
        /s/:token | //s///abc// | 5 :token
        /s/:token/ | /s/abc | 2 :token
        /s/:token/ | //s/abc/ | 3 :token
        /s/:token/* | /s/abc | 2 :token
        /s/*/:token | /s//abc | 3 :token
        /s//:token | /s/abc | 2 :token
        /:a/x/:b | /1/x/2 | 1 :a, 3 :b
        /**/s/:token | /s/s/s/abc | 4 :token
        /**/:a/x/:b | /1/2/3/x/4 | 3 :a, 5 :b
        /**/:a/**/x | /1/2/x | 1 :a
        /**/s/:token | /a/s/abc/more | 3 :token";

    #[test]
    fn named_segments_are_found() {
        for [text, path, expected] in rows(NAMED, " | ") {
            let pattern = pattern(text);
            let named = pattern.named(path).expect(path).into_iter();
            let named: Vec<_> = named.map(|(at, name)| format!("{at} {name}")).collect();
            assert_eq!(named.join(", "), expected, "{text} {path}");
        }
        let named = pattern("/s/:token");
        for path in ["/t/abc", "/s", "/s/", "*", ""] {
            assert_eq!(named.named(path), None, "{path:?}");
        }
        for prefix in ["/s/:token", "/s/:token/"] {
            let prefix = PathPattern::prefix(prefix).expect("is a prefix");
            for path in ["/s/abc", "/s/abc/", "/s/abc/d", "/s//abc"] {
                assert!(prefix.named(path).is_some(), "{path:?}");
            }
        }
        assert!(named.has_names() && !pattern("/s/*").has_names());
    }

    #[test]
    fn a_hostile_path_costs_no_more_than_its_length() {
        let path = "/a".repeat(30_000);
        assert!(!pattern("/**/a/**/a/**/a/**/b").matches(&path));
        let path = format!("/{}", "a".repeat(60_000));
        assert!(!pattern("/*a*b").matches(&path));
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for text in " events * /a** /*** /[a /: /s/:/x /:a* /:a.b".split(' ') {
            assert!(PathPattern::new(text).is_err(), "{text:?}");
        }
    }
}
