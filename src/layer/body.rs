//! The body of a response: an event stream, or untouched.

use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::Instant;

use super::driver::Driver;
use crate::stage::{CleanEnds, End, Ends, Pipeline, Stage};

pin_project! {
    /// The body of a response that went through an [`EventService`](super::EventService).
    ///
    /// Its data is [`Bytes`], its error that of the body inside, unless [`BrokenEnds`](crate::stage::BrokenEnds) were asked
    /// for. It is fused, and no chunk of an event stream is ever empty.
    #[derive(Debug)]
    pub struct EventBody<B: Body, St: Stage, X = CleanEnds> {
        // None when it has ended.
        #[pin]
        inner: Option<B>,
        // None when the response is no event stream, or when it has ended.
        driver: Option<Box<Driver<St, B::Error>>>,
        ends: PhantomData<X>,
    }
}

impl<B: Body, St: Stage, X> EventBody<B, St, X> {
    /// A body through which everything passes as it is.
    pub(super) fn untouched(inner: B) -> Self {
        EventBody {
            inner: Some(inner),
            driver: None,
            ends: PhantomData,
        }
    }

    /// A body whose events go through a pipeline.
    pub(super) fn driven(inner: B, pipeline: Pipeline<St>) -> Self {
        EventBody {
            inner: Some(inner),
            driver: Some(Box::new(Driver::new(pipeline))),
            ends: PhantomData,
        }
    }
}

impl<B: Body, St: Stage, X> Default for EventBody<B, St, X> {
    /// A body that has ended, for layers outside of this one that answer by themselves.
    fn default() -> Self {
        EventBody {
            inner: None,
            driver: None,
            ends: PhantomData,
        }
    }
}

impl<B, St, X> Body for EventBody<B, St, X>
where
    B: Body,
    St: Stage,
    X: Ends,
{
    type Data = Bytes;
    type Error = X::Error<B::Error>;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let mut this = self.project();
        let Some(driver) = this.driver else {
            let Some(inner) = this.inner.as_mut().as_pin_mut() else {
                return Poll::Ready(None);
            };
            let frame = ready!(inner.poll_frame(cx));
            if !matches!(frame, Some(Ok(_))) {
                this.inner.set(None);
            }
            let frame = frame.map(|frame| frame.map(|frame| frame.map_data(whole)));
            return Poll::Ready(frame.map(|frame| frame.map_err(X::failed)));
        };
        #[cfg(feature = "relay")]
        driver.take_given();
        loop {
            if let Some(bytes) = driver.pipeline.next() {
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            if let Some(end) = driver.pipeline.end() {
                if driver.failed.is_some() || broken::<X, B::Error>(end).is_some() {
                    ready!(driver.poll_pause(cx));
                    let failed = driver.failed.take().map(|error| X::failed(*error));
                    this.inner.set(None);
                    *this.driver = None;
                    return Poll::Ready(failed.or_else(|| broken::<X, B::Error>(end)).map(Err));
                }
                let trailers = driver.trailers.take();
                this.inner.set(None);
                *this.driver = None;
                return Poll::Ready(trailers.map(|fields| Ok(Frame::trailers(*fields))));
            }
            if driver.tick_if_due() {
                continue;
            }
            if driver.has_had_its_share(cx) {
                return Poll::Pending;
            }
            let inner = this.inner.as_mut().as_pin_mut();
            let inner = inner.expect("a stream that has not ended has its body");
            #[cfg(feature = "relay")]
            crate::whole::ask();
            match inner.poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => {
                        let chunk = whole(data);
                        #[cfg(feature = "relay")]
                        if driver.passes(&chunk) {
                            return Poll::Ready(Some(Ok(Frame::data(chunk))));
                        }
                        driver.push(chunk);
                    }
                    Err(frame) => match frame.into_trailers() {
                        Ok(trailers) => {
                            driver.trailers = Some(Box::new(trailers));
                            driver.pipeline.finish(Instant::now());
                        }
                        // A kind of frame that is not known yet passes as it is.
                        Err(frame) => return Poll::Ready(Some(Ok(frame.map_data(whole)))),
                    },
                },
                Poll::Ready(Some(Err(error))) => driver.fail(error),
                Poll::Ready(None) => driver.pipeline.finish(Instant::now()),
                Poll::Pending => {
                    #[cfg(feature = "relay")]
                    driver.say_whether_it_passes();
                    ready!(driver.poll_deadline(cx));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match (&self.inner, &self.driver) {
            (Some(inner), None) => inner.is_end_stream(),
            (None, None) => true,
            (_, Some(_)) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.inner, &self.driver) {
            (Some(inner), None) => inner.size_hint(),
            (None, None) => SizeHint::with_exact(0),
            (_, Some(_)) => SizeHint::default(),
        }
    }
}

fn broken<X: Ends, E>(end: End) -> Option<X::Error<E>> {
    match end {
        End::Broken(reason) => X::broken(reason),
        _ => None,
    }
}

/// The bytes of one frame. Free of copies when it is `Bytes` already.
fn whole(mut data: impl Buf) -> Bytes {
    data.copy_to_bytes(data.remaining())
}
