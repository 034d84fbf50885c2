//! Says by which field two clients of one target do not share.

use std::collections::HashSet;

use http::{HeaderName, header};

use super::secret::Hash;
use super::shared::Of;

/// Fields of which it was said that relays differ by them alone.
#[derive(Default)]
pub(super) struct Said(HashSet<HeaderName>);

/// So many names of fields are said once.
const MAX_SAID: usize = 64;

/// The one field by which alone the keys of two relays differ, if there is one.
pub(super) fn by(one: &Of, other: &Of) -> Option<HeaderName> {
    let (Of::Key { fields, .. }, Of::Key { fields: others, .. }) = (one, other) else {
        return None;
    };
    let differ = |one: &[(HeaderName, Hash)], other: &[(HeaderName, Hash)]| -> Vec<HeaderName> {
        let alone = one.iter().filter(|field| !other.contains(field));
        alone.map(|(name, _)| name.clone()).collect()
    };
    let mut names = differ(fields, others);
    names.extend(differ(others, fields));
    names.dedup();
    match &names[..] {
        [one] => Some(one.clone()),
        [one, other] if one == other => Some(one.clone()),
        _ => None,
    }
}

impl Said {
    /// Says once for each field what keeps two clients from sharing.
    pub(super) fn say(&mut self, name: &HeaderName) {
        if self.0.len() >= MAX_SAID || !self.0.insert(name.clone()) {
            return;
        }
        if *name == header::COOKIE {
            tracing::info!(
                "not shared with another client because of cookie; name the cookies that count in the key, as in \
                 \"default, cookie:session\", if others do not"
            );
        } else if *name == header::AUTHORIZATION || *name == header::PROXY_AUTHORIZATION {
            tracing::info!(
                "not shared with another client because of {name}, as it should be where clients are given different events"
            );
        } else {
            tracing::info!(
                "not shared with another client because of {name}; add it to ignore if it is neutral"
            );
        }
    }
}
