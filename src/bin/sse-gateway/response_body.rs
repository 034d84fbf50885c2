//! The body of a response that leaves the proxy.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

use crate::expect::Gate;
use crate::limiter;
use crate::upstream::{UpstreamBody, UpstreamClient};

pub(crate) type BoxError = Box<dyn Error + Send + Sync>;

/// The upstream's body, or a short text of the proxy's own.
///
/// An upstream that fails in the middle fails this body, so that the client never takes a part for the whole.
pub(crate) struct ProxyBody {
    kind: Kind,
    gate: Option<Arc<Gate>>,
}

enum Kind {
    Empty,
    Text(Bytes),
    Upstream(UpstreamBody, UpstreamClient),
    /// It fails when the time is over.
    Failed(Option<BoxError>, Pin<Box<Sleep>>),
}

/// So long the server has to write what came before the upstream failed: it drops what it has not written by then.
const LAST_BYTES: Duration = Duration::from_millis(100);

impl ProxyBody {
    pub(crate) fn empty() -> Self {
        Self::from(Kind::Empty)
    }

    pub(crate) fn text(text: &'static str) -> Self {
        Self::from(Kind::Text(Bytes::from_static(text.as_bytes())))
    }

    /// `gate` is the one that keeps back the request's body, if it may still be shut.
    pub(crate) fn upstream(
        body: UpstreamBody,
        gate: Option<Arc<Gate>>,
        client: UpstreamClient,
    ) -> Self {
        Self {
            kind: Kind::Upstream(body, client),
            gate,
        }
    }

    fn from(kind: Kind) -> Self {
        Self { kind, gate: None }
    }
}

impl Drop for ProxyBody {
    fn drop(&mut self) {
        if let Some(gate) = &self.gate {
            gate.close();
        }
    }
}

impl Body for ProxyBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        match &mut this.kind {
            Kind::Empty => Poll::Ready(None),
            Kind::Text(text) => {
                let text = std::mem::take(text);
                this.kind = Kind::Empty;
                Poll::Ready(Some(Ok(Frame::data(text))))
            }
            Kind::Upstream(body, client) => match Pin::new(body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(Ok(frame))),
                Poll::Ready(Some(Err(error))) => {
                    if let Some(suppressed) = client.warnings().pass("failed in the middle") {
                        let (upstream, suppressed) = (client.upstream(), limiter::told(suppressed));
                        tracing::warn!(%upstream, %error, suppressed, "the upstream failed in the middle of a response");
                    }
                    this.kind = Kind::Failed(Some(error.into()), Box::pin(sleep(LAST_BYTES)));
                    self.poll_frame(cx)
                }
                Poll::Ready(None) => {
                    this.kind = Kind::Empty;
                    Poll::Ready(None)
                }
                Poll::Pending => Poll::Pending,
            },
            Kind::Failed(error, time) => {
                ready!(time.as_mut().poll(cx));
                Poll::Ready(error.take().map(Err))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Empty => true,
            Kind::Text(_) | Kind::Failed(..) => false,
            Kind::Upstream(body, _) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Empty => SizeHint::with_exact(0),
            Kind::Text(text) => SizeHint::with_exact(text.len() as u64),
            Kind::Upstream(body, _) => body.size_hint(),
            Kind::Failed(..) => SizeHint::default(),
        }
    }
}
