//! Gives ids to events.
//!
//! A client that comes back says in `Last-Event-ID` what it saw last, if there was an id to remember. This
//! gives one to each event with data: `<epoch>-<sequence>`, with a random [`Epoch`] for each stream, and
//! behind a dot the last event ID that the upstream has set, if any, on this stream or before the client
//! came back. So an upstream that gives ids to some of its events only is still told, when the client comes
//! back with an id of ours, where *it* was: see [`SequentialId`].
//!
//! # Example
//!
//! ```
//! use tower_sse::{EventLayer, stage::EventIds};
//!
//! let layer = EventLayer::new(EventIds::sequential());
//! # let _ = layer.clone();
//! ```

use http::{HeaderName, Method, request, response};

use super::{Outbox, Passing, Stage, Times, jitter};
use crate::wire::{
    Epoch, Event, EventId, IdTag, Kinds, LargeEvent, LineEnding, SequentialId, id_line_len, id_of,
    write_id,
};

/// Gives an id to each event with data. See the [module docs](self).
#[derive(Clone, Debug)]
pub struct EventIds {
    replace: bool,
    epoch: Epoch,
    sequence: u64,
    /// What was given last, if the next differs from it in a digit or two.
    last: Option<EventId>,
    /// The last event ID of the upstream; empty when there is none. Copied, so that it pins no chunk.
    upstream: Vec<u8>,
    /// By whom its ids are written.
    tag: Option<IdTag>,
    /// Whether answers to other methods than GET get ids too.
    any_method: bool,
    /// The answer to a POST, with which nobody comes back.
    is_off: bool,
    /// No ids are given: it is off, or the upstream's id is too long to be carried along, so that a client must not forget
    /// it for one of ours.
    gives_none: bool,
}

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// A longer id of the upstream stays as it is, and events behind it that have none get none.
const MAX_UPSTREAM_ID: usize = 256;

impl EventIds {
    /// Ids for events that set none; those of the upstream stay.
    ///
    /// Only for the answer to a GET: an id promises that a client may come back with it, and clients that believe it ask
    /// again and again for the rest of a POST's answer, which nobody has.
    pub fn sequential() -> Self {
        EventIds {
            replace: false,
            epoch: Epoch::from_bits(0),
            sequence: 0,
            last: None,
            upstream: Vec::new(),
            tag: None,
            any_method: false,
            is_off: false,
            gives_none: false,
        }
    }

    /// Gives ids to the answers to other methods too, for a service that resumes them.
    #[must_use]
    pub fn for_any_method(mut self) -> Self {
        self.any_method = true;
        self
    }

    /// Ids for all events, in place of the upstream's, which is kept behind the dot.
    #[must_use]
    pub fn replacing(mut self) -> Self {
        self.replace = true;
        self
    }

    /// Says by whom the ids are written, where others who write such ids stand behind this: theirs are taken for the
    /// upstream's. Default: nobody in particular, and all ids of this shape are taken for its own.
    #[must_use]
    pub fn with_tag(mut self, tag: IdTag) -> Self {
        self.tag = Some(tag);
        self
    }

    #[cold]
    fn remember(&mut self, id: &[u8]) {
        self.last = None;
        self.upstream.clear();
        self.gives_none = self.is_off || id.len() > MAX_UPSTREAM_ID;
        if !self.gives_none {
            self.upstream.extend_from_slice(id);
        }
    }

    #[inline(always)]
    fn wants_one(&mut self, event: &Event) -> bool {
        let own = event.id();
        if let Some(id) = own {
            self.remember(id);
        }
        let keep = own.is_some() && !self.replace;
        !keep && !self.gives_none && event.has_data()
    }

    /// Whether the next event with data is given an id, so far as its kinds tell.
    #[inline(always)]
    pub(super) fn gives(&self, kinds: Kinds) -> bool {
        !(kinds.has(Kinds::ID) | self.gives_none)
    }

    /// Looks at an event with data, and says whether it is left as it is.
    #[inline(always)]
    pub(super) fn leaves(&mut self, block: &[u8], kinds: Kinds) -> bool {
        if !kinds.has(Kinds::ID) {
            return self.gives_none;
        }
        let own = id_of(block).filter(|_| !self.replace);
        if let Some(id) = own {
            self.remember(id);
        }
        own.is_some()
    }

    /// How long the line of the next id is.
    pub(super) fn line_len(&self, ending: LineEnding) -> usize {
        id_line_len(self.id(self.sequence + 1).text_len(), ending)
    }

    /// Writes the line of the next id.
    #[inline(always)]
    pub(super) fn write_next(&mut self, ending: LineEnding, out: &mut Vec<u8>) {
        self.sequence += 1;
        if let Some(last) = &mut self.last {
            if last.count_on() {
                return write_id(last, ending, out);
            }
        }
        write_id(&self.write_id(), ending, out);
    }

    #[inline(always)]
    fn next_id(&mut self) -> EventId {
        self.sequence += 1;
        if let Some(last) = &mut self.last {
            if last.count_on() {
                return last.clone();
            }
        }
        self.write_id()
    }

    fn id(&self, sequence: u64) -> SequentialId<'_> {
        SequentialId {
            epoch: self.epoch,
            sequence,
            upstream: (!self.upstream.is_empty()).then_some(&self.upstream[..]),
        }
    }

    #[inline(never)]
    fn write_id(&mut self) -> EventId {
        let id = self.id(self.sequence).write();
        // The number stands at the end.
        self.last = self.upstream.is_empty().then(|| id.clone());
        id
    }
}

impl Stage for EventIds {
    fn on_request(&mut self, request: &request::Parts, _: &Times) {
        self.is_off = !self.any_method && !self.replace && request.method != Method::GET;
        self.gives_none = self.is_off;
        // An upstream need not say it again: until it sets another, this is its last event ID.
        if let Some(id) = request.headers.get(LAST_EVENT_ID) {
            match SequentialId::parse(id.as_bytes()) {
                Some(id) if IdTag::is_of(self.tag, &id) => {
                    self.remember(id.upstream.unwrap_or_default());
                }
                _ => self.remember(id.as_bytes()),
            }
        }
    }

    fn on_response(&mut self, _: &mut response::Parts, _: &Times, _: &mut Outbox) {
        let epoch = Epoch::from_bits(jitter::bits());
        self.epoch = self.tag.map_or(epoch, |tag| epoch.with_tag(tag));
        self.last = None;
    }

    #[inline(always)]
    fn on_event(&mut self, mut event: Event, _: &Times) -> Option<Event> {
        if self.wants_one(&event) {
            event.set_id(self.next_id());
        }
        Some(event)
    }

    #[inline]
    fn passes(&self) -> bool {
        self.is_off
    }

    #[inline]
    fn passing(&mut self) -> Passing<'_> {
        match self.is_off {
            true => Passing::Unseen,
            false => Passing::WithIds(self),
        }
    }

    fn on_large_event(&mut self, event: &LargeEvent, _: &Times) {
        if let Some(id) = event.id() {
            self.remember(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;
    use crate::wire::{EventBuilder, EventId};

    fn given(stage: &mut EventIds, event: EventBuilder) -> String {
        let times = Times::at(Instant::now());
        let event = stage.on_event(event.build(), &times).unwrap();
        let id = event.id().unwrap_or(b"none").to_vec();
        match SequentialId::parse(&id) {
            Some(id) => format!(
                "ours {} {}",
                id.sequence,
                id.upstream.unwrap_or(b"-").escape_ascii()
            ),
            None => String::from_utf8(id).unwrap(),
        }
    }

    fn with_id(id: &str) -> EventBuilder {
        EventBuilder::new().id(EventId::new(id).unwrap()).data("x")
    }

    #[test]
    fn what_is_missing_is_filled_and_carries_the_upstreams() {
        let mut stage = EventIds::sequential();
        let data = || EventBuilder::new().data("x");
        let got = [data(), data(), with_id("a"), data(), with_id(""), data()]
            .map(|event| given(&mut stage, event));
        assert_eq!(
            got,
            ["ours 1 -", "ours 2 -", "a", "ours 3 a", "", "ours 4 -"]
        );
    }

    #[test]
    fn a_client_that_comes_back_is_still_where_the_upstream_had_it() {
        let ours = SequentialId {
            epoch: Epoch::from_bits(1),
            sequence: 5,
            upstream: Some(b"row-7"),
        };
        for came_with in [ours.to_event_id().as_bytes(), b"row-7"] {
            let request = http::Request::get("/").header(LAST_EVENT_ID, came_with);
            let (request, ()) = request.body(()).unwrap().into_parts();
            let mut stage = EventIds::sequential();
            stage.on_request(&request, &Times::at(Instant::now()));
            let got = given(&mut stage, EventBuilder::new().data("x"));
            assert_eq!(got, "ours 1 row-7");
        }
    }

    #[test]
    fn ids_of_who_stands_behind_are_the_upstreams() {
        let [own, other] = ["own", "other"].map(IdTag::new);
        let mut inner = SequentialId {
            epoch: Epoch::from_bits(1).with_tag(other),
            sequence: 5,
            upstream: None,
        };
        let behind = inner.to_event_id();
        inner.epoch = inner.epoch.with_tag(own);
        inner.upstream = Some(behind.as_bytes());
        for came_with in [behind.as_bytes(), inner.to_event_id().as_bytes()] {
            let request = http::Request::get("/").header(LAST_EVENT_ID, came_with);
            let (request, ()) = request.body(()).unwrap().into_parts();
            let mut stage = EventIds::sequential().with_tag(own);
            stage.on_request(&request, &Times::at(Instant::now()));
            let got = given(&mut stage, EventBuilder::new().data("x"));
            assert_eq!(got, format!("ours 1 {}", behind.as_bytes().escape_ascii()));
        }
    }

    #[test]
    fn an_answer_with_which_nobody_comes_back_gets_none() {
        let first = |mut stage: EventIds, method: &str| {
            let request = http::Request::builder().method(method).body(()).unwrap();
            stage.on_request(&request.into_parts().0, &Times::at(Instant::now()));
            given(&mut stage, EventBuilder::new().data("x"))
        };
        assert_eq!(first(EventIds::sequential(), "GET"), "ours 1 -");
        assert_eq!(first(EventIds::sequential(), "POST"), "none");
        let any = EventIds::sequential().for_any_method();
        assert_eq!(first(any, "POST"), "ours 1 -");
        let replacing = EventIds::sequential().replacing();
        assert_eq!(first(replacing, "POST"), "ours 1 -");

        // Also behind an id of the upstream's.
        let mut stage = EventIds::sequential();
        let request = http::Request::post("/").body(()).unwrap();
        stage.on_request(&request.into_parts().0, &Times::at(Instant::now()));
        let got =
            [with_id("a"), EventBuilder::new().data("x")].map(|event| given(&mut stage, event));
        assert_eq!(got, ["a", "none"]);
    }

    #[test]
    fn the_count_goes_on_past_nines() {
        let mut stage = EventIds::sequential();
        for sequence in 1..=1001 {
            let got = given(&mut stage, EventBuilder::new().data("x"));
            assert_eq!(got, format!("ours {sequence} -"));
        }
    }

    #[test]
    fn all_are_replaced_if_told_so() {
        let mut stage = EventIds::sequential().replacing();
        let got =
            [with_id("a"), EventBuilder::new().data("x")].map(|event| given(&mut stage, event));
        assert_eq!(got, ["ours 1 a", "ours 2 a"]);
    }

    #[test]
    fn an_id_too_long_to_carry_is_not_forgotten_for_one_of_ours() {
        let mut stage = EventIds::sequential();
        let long = "x".repeat(MAX_UPSTREAM_ID + 1);
        let data = || EventBuilder::new().data("x");
        let got =
            [with_id(&long), data(), with_id("a"), data()].map(|event| given(&mut stage, event));
        assert_eq!(got, [&long, "none", "a", "ours 1 a"]);
    }

    #[test]
    fn an_event_without_data_gets_none() {
        let mut stage = EventIds::sequential();
        assert_eq!(given(&mut stage, EventBuilder::new().comment("x")), "none");
    }
}
