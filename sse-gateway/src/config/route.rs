//! A route: which requests it takes, where they go, and what is done to their event streams.

use std::fmt;

use http::Method;
use tower_sse::wire::IdTag;

use super::pattern::PathPattern;
use super::relay::Kept;
use super::{Relayed, RouteSettings};

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Route {
    /// The label in metrics.
    pub(crate) name: String,
    pub(crate) matcher: Matcher,
    /// All when none; never empty.
    pub(crate) methods: Option<Vec<Method>>,
    pub(crate) relayed: Relayed,
    pub(crate) settings: RouteSettings,
}

/// Which paths a route takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Matcher {
    /// This path and all below it: `/events` takes `/events/x` and not `/eventsource`, `/events/` takes only what is
    /// below. One with a segment such as `:token` is a pattern.
    Prefix(String),
    Pattern(PathPattern),
    Any,
}

impl Route {
    /// What marks the ids that are given on this route. Its first upstream names it: that of a gateway behind this one is another,
    /// that of a successor is the same.
    pub(crate) fn id_tag(&self) -> IdTag {
        IdTag::new(self.settings.upstream.first().to_string())
    }

    /// Whether it asks more of a request than others, which no spelling of a path is to get around.
    pub(crate) fn has_policy(&self) -> bool {
        let settings = &self.settings;
        settings.token_param.is_some()
            || settings.token_cookie.is_some()
            || settings.jwt_keys.is_some()
            || settings.forward_auth_url.is_some()
            || settings.cors_origins.is_some()
    }

    /// The same with its path written in another way.
    pub(crate) fn written(&self, write: fn(&str) -> String) -> Self {
        let matcher = match &self.matcher {
            Matcher::Prefix(prefix) => Matcher::Prefix(write(prefix)),
            Matcher::Pattern(pattern) => Matcher::Pattern(pattern.written(write)),
            Matcher::Any => Matcher::Any,
        };
        Route {
            matcher,
            ..self.clone()
        }
    }

    /// How much of each of its streams is kept.
    pub(crate) fn kept(&self) -> Kept {
        let auto = self.relayed.kept();
        Kept {
            events: self.settings.history_events.unwrap_or(auto.events),
            bytes: self.settings.history_bytes.unwrap_or(auto.bytes),
            on_full: self.settings.on_full.unwrap_or(auto.on_full),
        }
    }

    /// Whether this route takes the request. `path` is as it came on the wire: it is not decoded, and `..` is a segment
    /// like others.
    ///
    /// A HEAD request is taken where GET is: it asks for the same head.
    pub(crate) fn matches(&self, method: &Method, path: &str) -> bool {
        let methods = self.methods.as_ref();
        methods.is_none_or(|methods| are_for(methods, method)) && self.matcher.matches(path)
    }

    /// Whether it is seen to take all that another takes. Not every pair of patterns tells.
    pub(super) fn covers(&self, other: &Route) -> bool {
        let methods = match (&self.methods, &other.methods) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(own), Some(others)) => others.iter().all(|method| own.contains(method)),
        };
        methods && self.matcher.covers(&other.matcher)
    }
}

fn are_for(methods: &[Method], method: &Method) -> bool {
    methods.contains(method) || (method == Method::HEAD && methods.contains(&Method::GET))
}

impl Matcher {
    /// # Errors
    ///
    /// When `path` does not begin with a slash, or has what a path cannot hold.
    pub(crate) fn prefix(path: &str) -> Result<Self, String> {
        let right = "use a path such as \"/events\"";
        match path {
            _ if !path.starts_with('/') => {
                Err(format!("{path:?} does not begin with a slash; {right}"))
            }
            _ if path.contains('*') => Err(format!(
                "{path:?} has a star, but takes all below it anyway; {right}, or pattern"
            )),
            _ if path.contains(['?', '#']) => {
                Err(format!("{path:?} has a query or fragment; {right}"))
            }
            _ if !path.chars().all(|c| c.is_ascii_graphic()) => Err(format!(
                "{path:?} holds what a path on the wire cannot; {right}, percent-encoded"
            )),
            _ if path.contains("/:") => PathPattern::prefix(path).map(Self::Pattern),
            _ => Ok(Self::Prefix(path.to_owned())),
        }
    }

    /// # Errors
    ///
    /// When `text` is no pattern.
    pub(crate) fn pattern(text: &str) -> Result<Self, String> {
        PathPattern::new(text).map(Self::Pattern)
    }

    /// Whether it is seen to take all that another takes.
    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (one, other) if one == other => true,
            (Self::Prefix(_), Self::Prefix(prefix)) => self.matches(prefix),
            (Self::Prefix(_), Self::Pattern(pattern)) => self.matches(&pattern.beginning()),
            (Self::Pattern(one), Self::Pattern(other)) => {
                other.literal().is_some_and(|path| one.matches(&path))
            }
            _ => false,
        }
    }

    /// The segments of a path that nobody is to see: their places between the slashes, and what to show there instead.
    pub(crate) fn named(&self, path: &str) -> Option<Vec<(usize, &str)>> {
        match self {
            Self::Pattern(pattern) => pattern.named(path),
            Self::Prefix(_) | Self::Any => None,
        }
    }

    /// Whether there may be such segments.
    pub(crate) fn has_names(&self) -> bool {
        matches!(self, Self::Pattern(pattern) if pattern.has_names())
    }

    fn matches(&self, path: &str) -> bool {
        match self {
            Self::Prefix(prefix) => path.strip_prefix(prefix.as_str()).is_some_and(|rest| {
                rest.is_empty() || rest.starts_with('/') || prefix.ends_with('/')
            }),
            Self::Pattern(pattern) => pattern.matches(path),
            Self::Any => true,
        }
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prefix(prefix) => f.write_str(prefix),
            Self::Pattern(pattern) => pattern.fmt(f),
            Self::Any => f.write_str("all else"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::cases::rows;

    /// A prefix, paths that it takes, and paths that it does not.
    const PREFIXES: &str = "
        /events | /events /events/ /events/x /events//x /events/../x | /eventsource /event / /x/events /Events /%65vents *
        /events/ | /events/x | /events
        / | /x / | *";

    #[test]
    fn a_prefix_takes_whole_segments_and_with_a_slash_at_its_end_only_what_is_below() {
        for [prefix, takes, leaves] in rows(PREFIXES, " | ") {
            let matcher = Matcher::prefix(prefix).expect("is a prefix");
            assert!(
                takes.split(' ').all(|path| matcher.matches(path)),
                "{takes}"
            );
            assert!(
                !leaves.split(' ').any(|path| matcher.matches(path)),
                "{leaves}"
            );
        }
    }

    #[test]
    fn head_is_taken_where_get_is() {
        for (taken, methods) in [
            (Method::GET, [true, true, false]),
            (Method::HEAD, [false, true, false]),
            (Method::POST, [false, false, true]),
        ] {
            let asked = [Method::GET, Method::HEAD, Method::POST];
            assert_eq!(
                asked.map(|method| are_for(std::slice::from_ref(&taken), &method)),
                methods
            );
        }
    }

    /// A matcher, matchers of which it is seen to take all, and others of which it is not. A star makes a pattern.
    const COVERED: &str = "
        /a | /a /a/b /a/* /a/*/b /a/** | /b /ab/* /*/a /*
        /a/ | /a/b /a/*/b | /a /a/**
        /a/* | /a/* | /a/*/b /a/**
        /** | /** | /a/**";

    #[test]
    fn what_takes_all_of_another_is_seen() {
        fn matcher(text: &str) -> Matcher {
            let matcher = match text.contains('*') {
                true => Matcher::pattern(text),
                false => Matcher::prefix(text),
            };
            matcher.expect("is right")
        }
        for [text, covered, others] in rows(COVERED, " | ") {
            let takes_all = |other: &str| matcher(text).covers(&matcher(other));
            assert!(covered.split(' ').all(takes_all), "{text}");
            assert!(!others.split(' ').any(takes_all), "{text}");
        }
        let pattern = |text| Matcher::pattern(text).expect("is right");
        assert!(pattern("/a/*").covers(&pattern("/a/b")));
        assert!(!pattern("/a/*").covers(&pattern("/a/b/c")));
    }
}
