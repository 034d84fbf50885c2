//! The body of what clients are answered.

use axum::BoxError;
use bytes::Bytes;
use http_body::Body;
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;

/// What all routes answer with. Bodies are [`boxed`] once on their way.
pub(crate) type StackBody = UnsyncBoxBody<Bytes, BoxError>;

/// A body as all routes have it.
pub(crate) fn boxed<B>(body: B) -> StackBody
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    body.map_err(Into::into).boxed_unsync()
}
