//! An answer that comes behind a stream which clients were given already, and whether it is for them.
//!
//! With [`RelayLayer::with_hold`](super::RelayLayer::with_hold) and
//! [`RelayLayer::with_open_after`](super::RelayLayer::with_open_after) clients share a stream before its head is there to say
//! whom it is for. What then is not for all of them goes to none of them: their streams end, so that each comes back and asks
//! for itself. The same holds for the answer to a reconnect that says something else than the first one.

use http::{HeaderMap, HeaderName, header, response};

use super::key::Key;
use super::shared::{Of, Relay};
use super::vary::{Vary, has_directive};

/// The client whose request was the first, while it is not known whom the answer is for.
pub(super) struct Leader {
    pub(super) headers: HeaderMap,
    /// Whether nothing of its request was left out of the one that was made.
    pub(super) is_whole: bool,
    /// Whether others cannot find the stream yet.
    pub(super) is_alone: bool,
}

impl Leader {
    /// Whether the answer to the request that was made is one to its own.
    fn is_given(&self, relay: &Relay, vary: &Vary) -> bool {
        match vary {
            // What a POST does is done once: this is its answer, for whomever else it is.
            _ if !relay.is_asked_again => true,
            Vary::Private => self.is_whole,
            vary => vary.suits(&self.headers),
        }
    }
}

/// Whether all who are there may be given an answer, of which this is said. It is asked before anything of the answer is
/// given to anybody.
pub(super) fn is_for_all_here(
    relay: &Relay,
    leader: Option<&Leader>,
    key: &Key,
    vary: &Vary,
) -> bool {
    if !matches!(
        relay.of,
        Of::Key {
            is_joined: true,
            ..
        }
    ) {
        return true;
    }
    match relay.vary() {
        Some(Vary::Private) => return true,
        // Whoever came by what was said before does not differ in that.
        Some(known) => {
            let names = known.names();
            return names_no_more_than(vary, |name| names.contains(name), key);
        }
        None => {}
    }
    // From here on nobody joins who differs. Only then is it known who is there.
    relay.set_vary(vary.clone());
    names_no_more_than(vary, |name| relay.awaits_by(name), key)
        || relay.had_one_client() && leader.is_some_and(|leader| leader.is_given(relay, vary))
}

/// Whether an answer to a request that was made once more, of which this is said, may be given to all who share the relay.
pub(super) fn is_for_all_of(relay: &Relay, vary: &Vary) -> bool {
    let none = Key::default();
    let key = relay.config.key.as_ref().unwrap_or(&none);
    match relay.vary() {
        Some(Vary::Private) => true,
        known => {
            let names = known.map_or(Vec::new(), Vary::names);
            names_no_more_than(vary, |name| names.contains(name), key)
        }
    }
}

/// Whether those who have the same key, and the same in fields that are known, have the same in all fields of these names.
fn names_no_more_than(vary: &Vary, is_known: impl Fn(&HeaderName) -> bool, key: &Key) -> bool {
    match vary {
        Vary::Private => false,
        vary => vary
            .names()
            .iter()
            .all(|name| key.tells_apart(name) || is_known(name)),
    }
}

/// Whether a whole answer, such as a page or an error, may be given to all who ask for the same.
pub(super) fn is_nobodys_own(head: &response::Parts) -> bool {
    !head.headers.contains_key(header::SET_COOKIE)
        && !has_directive(&head.headers, "no-store")
        && !has_directive(&head.headers, "private")
}
