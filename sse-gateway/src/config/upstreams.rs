//! What `--upstream` may be: one upstream or several, of which each can answer any request.

use std::fmt;

use super::upstream::{Endpoint, Upstream};
use super::value::Parsed;

/// The upstreams of a route, at least one. All have one scheme, and none is there twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Upstreams(Vec<Upstream>);

/// What is counted of each is a label in metrics.
const MOST: usize = 64;

impl Upstreams {
    /// Reads upstreams with commas between them.
    ///
    /// # Errors
    ///
    /// When there is none, one is no upstream, one is there twice, there are more than 64, or their schemes differ.
    pub(crate) fn parse(text: &str) -> Parsed<Self> {
        if text.is_empty() {
            return Err(
                "the list is empty; give at least one URL, such as http://127.0.0.1:5000".into(),
            );
        }
        let mut all: Vec<Upstream> = Vec::new();
        for text in text.split(',') {
            let one = Upstream::parse(text.trim())?;
            if all.iter().any(|other| other.is_same(&one)) {
                return Err(format!("{one} is there twice; name each upstream once"));
            }
            all.push(one);
        }
        let first = &all[0];
        if let Some(other) = all.iter().find(|one| one.scheme() != first.scheme()) {
            return Err(format!(
                "{first} and {other} have different schemes; use one scheme for all upstreams of a route"
            ));
        }
        if all.len() > MOST {
            let count = all.len();
            return Err(format!(
                "{count} upstreams are too many; use at most {MOST}"
            ));
        }
        Ok(Self(all))
    }

    /// The one that is named first.
    pub(crate) fn first(&self) -> &Upstream {
        &self.0[0]
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Upstream> {
        self.0.iter()
    }

    /// Whether they speak TLS.
    pub(crate) fn is_tls(&self) -> bool {
        matches!(self.first().endpoint, Endpoint::Tls(_))
    }
}

impl From<Upstream> for Upstreams {
    fn from(upstream: Upstream) -> Self {
        Self(vec![upstream])
    }
}

impl fmt::Display for Upstreams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, upstream) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(f, "{comma}{upstream}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::cases::rows;

    /// As they are given, and as they are shown.
    const RIGHT: &str = "
        http://a:1 -> http://a:1
        http://a:1, http://b:1/ -> http://a:1, http://b:1
        http://a,http://a:81 -> http://a, http://a:81
        unix:/run/a.sock,unix:/run/b.sock -> unix:/run/a.sock, unix:/run/b.sock
        h2c://[::1]:50051,h2c://b:50051 -> h2c://[::1]:50051, h2c://b:50051";

    #[test]
    fn one_or_several_are_upstreams() {
        for [text, expected] in rows(RIGHT, " -> ") {
            assert_eq!(Upstreams::parse(text).expect(text).to_string(), expected);
        }
    }

    /// What is refused, and a part of why.
    const WRONG: &str = "
        http://a:1, -> no known scheme
        http://a:1,http://b:1/app -> use \"http://b:1\"
        http://a:1,http://b:1,http://a:1/ -> http://a:1 is there twice
        http://a,http://A:80 -> http://A:80 is there twice
        http://a:1,https://b:1 -> http://a:1 and https://b:1 have different schemes
        http://a:1,h2c://b:1 -> use one scheme
        http://a:1,unix:/run/b.sock -> use one scheme";

    #[test]
    fn what_cannot_stand_together_is_refused_with_the_reason() {
        for [text, reason] in rows(WRONG, " -> ") {
            let error = Upstreams::parse(text).expect_err(text);
            assert!(error.contains(reason), "{text}: {error}");
        }
        let error = Upstreams::parse("").expect_err("is empty");
        assert!(error.contains("at least one"), "{error}");
        let many: Vec<_> = (1..=65).map(|port| format!("http://a:{port}")).collect();
        let error = Upstreams::parse(&many.join(",")).expect_err("are too many");
        assert!(error.contains("at most 64"), "{error}");
    }
}
