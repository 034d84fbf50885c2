//! Leaves a request for an event stream unanswered where the upstream has not answered it.
//!
//! An `EventSource` that is answered with anything but 200 gives up for good. One whose connection closes comes back after
//! its reconnection time, as it does without a gateway.

use std::fmt;

use http::{Method, Response, request};
use tower_sse::relay::NoUpstream;

use crate::fields::accepts_event_stream;
use crate::proxy::failure::FailureKind;

/// Whether a request is one that its client makes again when it is left unanswered.
pub(crate) fn is_retried(request: &request::Parts) -> bool {
    request.method == Method::GET && accepts_event_stream(&request.headers)
}

/// The response, unless it is one of ours because there is none of the upstream, or none is to be given now.
pub(crate) fn leave<B>(response: Response<B>) -> Result<Response<B>, Unanswered> {
    let extensions = response.extensions();
    match extensions.get::<NoUpstream>().is_some() || extensions.get::<Leave>().is_some() {
        false => Ok(response),
        true => Err(Unanswered(extensions.get().copied())),
    }
}

/// An extension of an answer that is not to be given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Leave;

/// An error that has hyper close a connection of HTTP/1 without a word, and reset a stream of HTTP/2. It has what has failed, where
/// that is known.
#[derive(Debug)]
pub(crate) struct Unanswered(pub(crate) Option<FailureKind>);

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("left unanswered, to be asked again")
    }
}

impl std::error::Error for Unanswered {}
