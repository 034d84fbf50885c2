//! What the service inside tells a relay of its response.

/// The mark of a response that the service inside makes itself because there is no upstream, or none that answers.
///
/// Such a service puts it into the extensions of its own 502, 503 or 504. That there is no answer to be had says nothing of who
/// asked: a relay gives such an error to all who wait for it, also with `Cache-Control: no-store`. An error that came from
/// an upstream must not have it.
///
/// # Example
///
/// ```
/// use http::{Response, StatusCode};
/// use tower_sse::relay::NoUpstream;
///
/// let mut response = Response::new("No connection in time.\n");
/// *response.status_mut() = StatusCode::GATEWAY_TIMEOUT;
/// response.extensions_mut().insert(NoUpstream);
/// assert!(response.extensions().get::<NoUpstream>().is_some());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct NoUpstream;
