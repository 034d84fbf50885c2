//! The upstream request of a relay, to be made as often as it takes.

use bytes::Bytes;
use http::{HeaderValue, Request, request};

use super::keyed::{copied, value};
use super::last_event_id::LAST_EVENT_ID;
use crate::history::Reserved;

/// The upstream request, to be made as often as it takes.
pub(super) struct Template {
    pub(super) parts: request::Parts,
    body: Bytes,
    /// What the body takes of the budget, until there is an answer.
    held: Reserved,
}

impl Template {
    /// The head of the request is one that pins nothing, such as a copy.
    pub(super) fn new(parts: request::Parts, body: Bytes) -> Self {
        Template {
            parts,
            body,
            held: Reserved::nothing(),
        }
    }

    /// Takes so much of the budget for its body.
    pub(super) fn holding(self, held: Reserved) -> Self {
        Template { held, ..self }
    }

    /// A copy of a request without a body.
    pub(super) fn copy(request: &request::Parts) -> Self {
        Self::new(copied(request), Bytes::new())
    }

    pub(super) fn take_body(&mut self) -> Reserved {
        self.body = Bytes::new();
        std::mem::take(&mut self.held)
    }

    /// What the upstream is asked to go on behind.
    pub(super) fn last_id(&self) -> Option<Bytes> {
        let id = self.parts.headers.get(&LAST_EVENT_ID)?;
        Some(Bytes::copy_from_slice(id.as_bytes()))
    }

    /// Whether the same is asked for by this one.
    pub(super) fn is_same(&self, other: &Template) -> bool {
        let (one, other) = (&self.parts, &other.parts);
        (&one.method, &one.uri, &one.headers) == (&other.method, &other.uri, &other.headers)
    }

    pub(super) fn request<B: From<Bytes>>(&self, last_id: Option<&[u8]>) -> Request<B> {
        let mut parts = self.parts.clone();
        parts.headers.remove(&LAST_EVENT_ID);
        if let Some(id) = header_value(last_id) {
            parts.headers.insert(LAST_EVENT_ID, id);
        }
        Request::from_parts(parts, self.body.clone().into())
    }
}

/// A last event ID may hold what a header field cannot: then nothing can be asked for with it.
pub(super) fn header_value(last_id: Option<&[u8]>) -> Option<HeaderValue> {
    value(last_id?)
}
