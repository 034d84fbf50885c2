//! An upstream in the hands of the test: each request waits to be answered, each body for what is to be sent.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response, response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full};
use tokio::sync::{mpsc, oneshot};
use tower::Service;
use tower_sse::relay::NoUpstream;

/// Makes requests wait for the test. Clones are the same upstream.
#[derive(Clone)]
pub(crate) struct Fake {
    calls: mpsc::Sender<Call>,
}

/// A request that waits for its answer.
pub(crate) struct Call {
    pub(crate) request: Request<()>,
    pub(crate) body: Bytes,
    answer: oneshot::Sender<Response<FakeBody>>,
}

/// Of the length that the head says, if it does.
pub(crate) struct FakeBody(mpsc::Receiver<Result<Bytes, Broken>>, SizeHint);

/// The sending side of a body; dropped, the body ends cleanly.
pub(crate) struct Stream(mpsc::Sender<Result<Bytes, Broken>>);

#[derive(Debug)]
pub(crate) struct Broken;

pub(crate) fn upstream() -> (Fake, mpsc::Receiver<Call>) {
    let (calls, receiver) = mpsc::channel(10_000);
    (Fake { calls }, receiver)
}

impl Service<Request<Full<Bytes>>> for Fake {
    type Response = Response<FakeBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        let calls = self.calls.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let (answer, response) = oneshot::channel();
            let call = Call {
                request: Request::from_parts(parts, ()),
                body,
                answer,
            };
            // A test that does not answer any more leaves it unanswered.
            let _ = calls.send(call).await;
            match response.await {
                Ok(response) => Ok(response),
                Err(_) => std::future::pending().await,
            }
        })
    }
}

impl Call {
    /// Opens an event stream.
    pub(crate) fn open(self) -> Stream {
        self.open_with(&[("set-cookie", "a=b"), ("x-upstream", "1")])
    }

    pub(crate) fn open_with(self, fields: &[(&str, &str)]) -> Stream {
        let mut all = vec![("content-type", "text/event-stream")];
        all.extend(fields);
        self.answer(200, &all)
    }

    pub(crate) fn answer(self, status: u16, fields: &[(&str, &str)]) -> Stream {
        self.answer_as(Response::builder().status(status), fields)
    }

    /// With something in its extensions.
    pub(crate) fn answer_marked(
        self,
        status: u16,
        fields: &[(&str, &str)],
        mark: impl Clone + Send + Sync + 'static,
    ) -> Stream {
        self.answer_as(Response::builder().status(status).extension(mark), fields)
    }

    fn answer_as(self, mut response: response::Builder, fields: &[(&str, &str)]) -> Stream {
        for (name, value) in fields {
            response = response.header(*name, *value);
        }
        let (sender, receiver) = mpsc::channel(10_000);
        let len = fields.iter().find(|(name, _)| *name == "content-length");
        let hint = len.map(|(_, len)| SizeHint::with_exact(len.parse().unwrap()));
        let body = FakeBody(receiver, hint.unwrap_or_default());
        // Whoever asked may have gone.
        let _ = self.answer.send(response.body(body).unwrap());
        Stream(sender)
    }

    /// Says that there is no answer to be had.
    pub(crate) fn leave_unanswered(self) {
        let (_, receiver) = mpsc::channel(1);
        let body = FakeBody(receiver, SizeHint::with_exact(0));
        let mut response = Response::builder().status(502).body(body).unwrap();
        response.extensions_mut().insert(NoUpstream);
        let _ = self.answer.send(response);
    }

    pub(crate) fn last_event_id(&self) -> Option<&str> {
        let id = self.request.headers().get("last-event-id")?;
        Some(id.to_str().unwrap())
    }

    /// Waits until nobody waits for the answer.
    pub(crate) async fn cancelled(&mut self) {
        self.answer.closed().await;
    }
}

impl Stream {
    pub(crate) async fn send(&self, chunk: impl Into<Bytes>) {
        self.0
            .send(Ok(chunk.into()))
            .await
            .expect("the body is read");
    }

    /// Events with these numbers as data, and as ids if there are to be some.
    pub(crate) async fn events(&self, numbers: impl IntoIterator<Item = u64>, ids: bool) {
        for number in numbers {
            let id = if ids {
                format!("id: {number}\n")
            } else {
                String::new()
            };
            self.send(format!("{id}data: {number}\n\n")).await;
        }
    }

    /// The same, when it may not be read any more.
    pub(crate) async fn try_send(&self, chunk: impl Into<Bytes>) {
        let _ = self.0.send(Ok(chunk.into())).await;
    }

    pub(crate) async fn try_fail(self) {
        let _ = self.0.send(Err(Broken)).await;
    }

    pub(crate) async fn fail(self) {
        self.0.send(Err(Broken)).await.expect("the body is read");
    }

    /// How many chunks were sent and are not read yet.
    pub(crate) fn untaken(&self) -> usize {
        self.0.max_capacity() - self.0.capacity()
    }

    /// Waits until nobody reads it any more.
    pub(crate) async fn cancelled(&self) {
        self.0.closed().await;
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.0.is_closed()
    }
}

impl Body for FakeBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        self.0
            .poll_recv(cx)
            .map(|chunk| chunk.map(|chunk| chunk.map(Frame::data)))
    }

    fn size_hint(&self) -> SizeHint {
        self.1
    }
}
