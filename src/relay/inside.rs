//! What a relay needs of the service inside.

use http::{Request, Response};
use tower_service::Service;

/// A service that a relay can take along into a task, and ask again. Short for what it is implemented for.
pub(super) trait Inside<B, R>:
    Service<Request<B>, Response = Response<R>, Future: Send, Error: Send + 'static>
    + Clone
    + Send
    + 'static
{
}

impl<S, B, R> Inside<B, R> for S
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send + 'static,
{
}
