//! The body of a request, from the client to the upstream.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::BoxError;
use bytes::Bytes;
use http::HeaderName;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Either, Full};
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout};

use crate::client::claims;
use crate::listener::{ClientBody, WholeBody};
use crate::proxy::expect::Waiting;

/// What a client sends as it comes, or what a relay has of it. It is never buffered.
pub(crate) struct RequestBody {
    body: Either<ClientBody, Full<Bytes>>,
    /// None when the proxy has not got it yet, and when there is nothing more.
    sending: Option<Box<Sending>>,
    /// Told when all is read.
    whole: Option<WholeBody>,
    /// Fields that no client sets, in trailers neither.
    own_fields: Arc<[HeaderName]>,
}

struct Sending {
    waiting: Option<Waiting>,
    upload: Arc<Upload>,
}

impl From<Bytes> for RequestBody {
    fn from(all: Bytes) -> Self {
        RequestBody {
            body: Either::Right(Full::new(all)),
            sending: None,
            whole: None,
            own_fields: Arc::default(),
        }
    }
}

impl RequestBody {
    /// That of a client. `whole` is told when all is read.
    pub(crate) fn coming(
        body: ClientBody,
        whole: Option<WholeBody>,
        own_fields: Arc<[HeaderName]>,
    ) -> Self {
        RequestBody {
            body: Either::Left(body),
            sending: None,
            whole,
            own_fields,
        }
    }

    pub(crate) fn empty() -> Self {
        Bytes::new().into()
    }

    /// Makes it ready to be sent. With `waiting` it is not read before its gate opens. None when nothing has to come from the
    /// client any more.
    pub(crate) fn send(&mut self, waiting: Option<Waiting>) -> Option<Arc<Upload>> {
        let is_there = matches!(self.body, Either::Left(Either::Right(_))) && waiting.is_none();
        if is_there || self.body.is_end_stream() {
            return None;
        }
        let upload = Arc::new(Upload::new());
        self.sending = Some(Box::new(Sending {
            waiting,
            upload: Arc::clone(&upload),
        }));
        Some(upload)
    }

    /// Takes what there is, and leaves nothing.
    fn take(&mut self) -> Either<ClientBody, Full<Bytes>> {
        self.sending = None;
        std::mem::replace(&mut self.body, Either::Right(Full::default()))
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        if let Some(waiting) = this
            .sending
            .as_mut()
            .and_then(|sending| sending.waiting.as_mut())
        {
            if let Err(closed) = ready!(Pin::new(waiting).poll(cx)) {
                this.take();
                return Poll::Ready(Some(Err(closed.into())));
            }
        }
        let polled = Pin::new(&mut this.body).poll_frame(cx);
        if let Some(sending) = &mut this.sending {
            sending.waiting = None;
            sending.upload.saw(polled.is_pending());
        }
        let is_read = match &polled {
            Poll::Ready(None) => true,
            Poll::Ready(Some(Ok(_))) => this.body.is_end_stream(),
            _ => false,
        };
        if let Some(whole) = this.whole.take_if(|_| is_read) {
            whole.set();
        }
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            this.take();
        }
        polled.map_ok(|frame| match frame.into_trailers() {
            Ok(mut trailers) => {
                claims::judge_trailers(&mut trailers, &this.own_fields);
                Frame::trailers(trailers)
            }
            Err(frame) => frame,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Who is answered before it has sent all may write on, and would lose the answer if its connection was closed at that.
impl Drop for RequestBody {
    fn drop(&mut self) {
        let Some(sending) = self.sending.take() else {
            return;
        };
        // Reading would ask for what the client keeps back.
        if sending.waiting.is_some() || self.body.is_end_stream() {
            return;
        }
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(timeout(LINGER, discard(self.take())));
        }
    }
}

async fn discard(mut body: Either<ClientBody, Full<Bytes>>) {
    while let Some(Ok(_)) = body.frame().await {}
}

/// For so long what comes behind the answer is read.
const LINGER: Duration = Duration::from_secs(2);

/// What is known of an upload while its response is awaited: the upstream cannot be late with an answer to what it
/// has not been told yet.
pub(crate) struct Upload {
    began: Instant,
    /// Milliseconds from `began` to the last progress.
    progress: AtomicU64,
    starved: AtomicBool,
}

impl Upload {
    fn new() -> Self {
        Self {
            began: Instant::now(),
            progress: AtomicU64::new(0),
            starved: AtomicBool::new(false),
        }
    }

    fn saw(&self, pending: bool) {
        self.starved.store(pending, Ordering::Relaxed);
        if !pending {
            let since = self.began.elapsed().as_millis();
            let since = u64::try_from(since).unwrap_or(u64::MAX);
            self.progress.store(since, Ordering::Relaxed);
        }
    }

    /// When the upload last moved.
    pub(crate) fn moved(&self) -> Instant {
        self.began + Duration::from_millis(self.progress.load(Ordering::Relaxed))
    }

    /// Whether it is the client who is waited for.
    pub(crate) fn is_starved(&self) -> bool {
        self.starved.load(Ordering::Relaxed)
    }
}
