//! The one tower adapter: it drives a [`Stage`](crate::stage::Stage) over the responses of a service.
//!
//! A response is an event stream when its status is 200, its media type is `text/event-stream` (in any case,
//! with any parameters), the request was not a HEAD, and it has no content coding. Everything else passes
//! through byte for byte and header for header, and costs no allocation.
//!
//! On an event stream `content-length`, `etag`, `accept-ranges` and `content-md5` are taken out, since
//! they speak of bytes that are about to change. The error type of the body stays what it is, and
//! every end by a stage is a clean one, unless the user asks for
//! [broken ends](EventLayer::with_broken_ends).
//!
//! # Example: any tower service
//!
//! ```
//! use std::{convert::Infallible, time::Duration};
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::{BodyExt, Full};
//! use tower::{Layer, ServiceExt, service_fn};
//! use tower_sse::{EventLayer, stage::{EventIds, Retry}};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let service = service_fn(|_: Request<()>| async {
//!     let response = Response::builder()
//!         .header("content-type", "text/event-stream")
//!         .body(Full::<Bytes>::from("data: hello\n\n"));
//!     Ok::<_, Infallible>(response.unwrap())
//! });
//! let layer = EventLayer::new((
//!     Retry::after(Duration::from_secs(3)),
//!     EventIds::sequential(),
//! ));
//!
//! let response = layer.layer(service).oneshot(Request::new(())).await.unwrap();
//! let body = response.into_body().collect().await.unwrap().to_bytes();
//! assert!(body.starts_with(b"retry: 3000\nid: ts"));
//! assert!(body.ends_with(b"-1\ndata: hello\n\n"));
//! # }
//! ```

mod body;
mod driver;
mod future;
mod service;

pub use body::EventBody;
pub use future::EventFuture;
pub use service::{EventLayer, EventService};
