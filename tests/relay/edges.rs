//! What goes wrong seldom: requests that are dropped at a bad moment, services that never wait, histories that have nothing left.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use tokio::time::timeout;
use tower::{Layer, ServiceExt, service_fn};
use tower_sse::relay::{Key, RelayLayer};

use crate::client::get;

const LONG: Duration = Duration::from_secs(3600);

/// Always has another chunk.
struct Endless(Bytes, u64);

impl Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.1 += 1;
        assert!(self.1 < 10_000, "nobody else is let run");
        Poll::Ready(Some(Ok(Frame::data(self.0.clone()))))
    }
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_never_waits_lets_others_run() {
    let event = Bytes::from(format!("data: {}\n\n", "x".repeat(70_000)));
    let service = service_fn(move |_: Request<Full<Bytes>>| {
        let body = Endless(event.clone(), 0);
        let response = Response::builder().header("content-type", "text/event-stream");
        std::future::ready(Ok::<_, Infallible>(response.body(body).unwrap()))
    });
    let service = RelayLayer::shared(Key::default()).layer(service);
    let request = get("/").body(Full::default()).unwrap();
    let answer = service.oneshot(request).await.unwrap();
    let mut body = answer.into_body();
    for _ in 0..10 {
        let frame = timeout(LONG, body.frame()).await.unwrap();
        assert!(frame.is_some(), "it was never let read");
    }
}
