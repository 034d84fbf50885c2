//! The body of a request on its way to the upstream.

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout};

use crate::proxy::expect::Waiting;

type BoxError = Box<dyn Error + Send + Sync>;

/// A request's body: nothing, or a stream that may have to wait for `100 Continue`. It is never buffered.
pub(crate) struct RequestBody {
    stream: Option<Box<Stream>>,
}

struct Stream {
    body: UnsyncBoxBody<Bytes, BoxError>,
    waiting: Option<Waiting>,
    upload: Arc<Upload>,
}

impl RequestBody {
    pub(crate) fn empty() -> Self {
        Self { stream: None }
    }

    /// Wraps what the client sends. With `waiting` the body is not read before its gate opens.
    pub(crate) fn new<B>(body: B, waiting: Option<Waiting>) -> (Self, Option<Arc<Upload>>)
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        if body.is_end_stream() {
            return (Self::empty(), None);
        }
        let upload = Arc::new(Upload::new());
        let stream = Stream {
            body: body.map_err(Into::into).boxed_unsync(),
            waiting,
            upload: Arc::clone(&upload),
        };
        let body = Self {
            stream: Some(Box::new(stream)),
        };
        (body, Some(upload))
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
        let Some(stream) = &mut this.stream else {
            return Poll::Ready(None);
        };
        if let Some(waiting) = &mut stream.waiting {
            if let Err(closed) = ready!(Pin::new(waiting).poll(cx)) {
                this.stream = None;
                return Poll::Ready(Some(Err(closed.into())));
            }
            stream.waiting = None;
        }
        let polled = Pin::new(&mut stream.body).poll_frame(cx);
        stream.upload.saw(polled.is_pending());
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            this.stream = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.stream {
            Some(stream) => stream.body.is_end_stream(),
            None => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.stream {
            Some(stream) => stream.body.size_hint(),
            None => SizeHint::with_exact(0),
        }
    }
}

/// Who is answered before it has sent all may write on, and would lose the answer if its connection was closed at that.
impl Drop for RequestBody {
    fn drop(&mut self) {
        let Some(stream) = self.stream.take() else {
            return;
        };
        // Reading would ask for what the client keeps back.
        if stream.waiting.is_some() || stream.body.is_end_stream() {
            return;
        }
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(timeout(LINGER, discard(stream.body)));
        }
    }
}

async fn discard(mut body: UnsyncBoxBody<Bytes, BoxError>) {
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
