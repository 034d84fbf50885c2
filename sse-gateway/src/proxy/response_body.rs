//! The body of a response that leaves the proxy.

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::log::limiter;
use crate::proxy::expect::Gate;
use crate::proxy::upstream::{UpstreamBody, UpstreamClient};

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
}

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
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
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
                    this.kind = Kind::Empty;
                    Poll::Ready(Some(Err(error.into())))
                }
                Poll::Ready(None) => {
                    this.kind = Kind::Empty;
                    Poll::Ready(None)
                }
                Poll::Pending => Poll::Pending,
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Empty => true,
            Kind::Text(_) => false,
            Kind::Upstream(body, _) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Empty => SizeHint::with_exact(0),
            Kind::Text(text) => SizeHint::with_exact(text.len() as u64),
            Kind::Upstream(body, _) => body.size_hint(),
        }
    }
}
