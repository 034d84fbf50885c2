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
    /// What marks the ids that are given on this route. Its upstream names it: that of a gateway behind this one is another,
    /// that of a successor is the same.
    pub(crate) fn id_tag(&self) -> IdTag {
        IdTag::new(self.settings.upstream.to_string())
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
        let asked = if method == Method::HEAD {
            &Method::GET
        } else {
            method
        };
        let method_matches = self.methods.as_ref().is_none_or(|methods| {
            methods
                .iter()
                .any(|taken| taken == method || taken == asked)
        });
        method_matches && self.matcher.matches(path)
    }
}

impl Route {
    /// Whether it is seen to take all that another takes. Not every pair of patterns tells.
    pub(super) fn covers(&self, other: &Route) -> bool {
        let methods = match (&self.methods, &other.methods) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(own), Some(others)) => others.iter().all(|method| own.contains(method)),
        };
        let paths = match (&self.matcher, &other.matcher) {
            (Matcher::Prefix(_), Matcher::Prefix(prefix)) => self.matcher.matches(prefix),
            (one, other) => one == other,
        };
        methods && paths
    }
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
    use crate::config::{Config, File, Sources};

    fn route(matcher: Matcher, methods: Option<Vec<Method>>) -> Route {
        let text = "upstream = 'http://app:5000'";
        let file = File::parse(&"gateway.toml".into(), text).expect("the file is right");
        let sources = Sources {
            file,
            ..Sources::default()
        };
        let config = Config::resolve(&sources).expect("the defaults are right");
        Route {
            matcher,
            methods,
            ..config.fallback.expect("there is an upstream")
        }
    }

    #[test]
    fn a_prefix_takes_whole_segments() {
        let events = route(Matcher::Prefix("/events".to_owned()), None);
        for path in [
            "/events",
            "/events/",
            "/events/x",
            "/events//x",
            "/events/../x",
        ] {
            assert!(events.matches(&Method::GET, path), "{path}");
        }
        for path in [
            "/eventsource",
            "/event",
            "/",
            "/x/events",
            "/Events",
            "/%65vents",
            "*",
            "",
        ] {
            assert!(!events.matches(&Method::GET, path), "{path}");
        }
    }

    #[test]
    fn a_prefix_that_ends_with_a_slash_takes_what_is_below() {
        let below = route(Matcher::Prefix("/events/".to_owned()), None);
        assert!(below.matches(&Method::GET, "/events/x"));
        assert!(!below.matches(&Method::GET, "/events"));
        let all = route(Matcher::Prefix("/".to_owned()), None);
        assert!(all.matches(&Method::GET, "/x"));
    }

    #[test]
    fn head_is_taken_where_get_is() {
        let get = route(Matcher::Any, Some(vec![Method::GET]));
        assert!(get.matches(&Method::GET, "/") && get.matches(&Method::HEAD, "/"));
        assert!(!get.matches(&Method::POST, "/"));
        let post = route(Matcher::Any, Some(vec![Method::POST]));
        assert!(post.matches(&Method::POST, "/"));
        assert!(!post.matches(&Method::HEAD, "/"));
        let head = route(Matcher::Any, Some(vec![Method::HEAD]));
        assert!(head.matches(&Method::HEAD, "/"));
        assert!(!head.matches(&Method::GET, "/"));
    }
}
