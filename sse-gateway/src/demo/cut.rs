//! Cuts the connections of clients that gave themselves a name, `?client=NAME`, while their response is under way.

use std::{
    error::Error,
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use http_body::{Body, Frame, SizeHint};
use tokio::sync::oneshot;

/// Who can be cut. Clones are one and the same.
#[derive(Clone, Default)]
pub(super) struct Cuts {
    open: Arc<Mutex<Vec<Entered>>>,
}

/// A client's name, and what cuts it.
type Entered = (String, oneshot::Sender<()>);

impl Cuts {
    /// Enters a response of this client.
    pub(super) fn enter(&self, client: String) -> oneshot::Receiver<()> {
        let (cut, is_cut) = oneshot::channel();
        let mut open = self.lock();
        open.retain(|(_, cut)| !cut.is_closed());
        open.push((client, cut));
        is_cut
    }

    /// Cuts all that this client has open, and says how many these were.
    pub(super) fn cut(&self, client: &str) -> usize {
        let mut open = self.lock();
        let all = std::mem::take(&mut *open);
        let (ours, others): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|(name, _)| name == client);
        *open = others;
        let cut = ours.into_iter().filter_map(|(_, cut)| cut.send(()).ok());
        cut.count()
    }

    /// Those that have something open.
    pub(super) fn clients(&self) -> Vec<String> {
        let open = self.lock();
        let open = open.iter().filter(|(_, cut)| !cut.is_closed());
        open.map(|(name, _)| name.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Entered>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A body that fails when it is cut: the server has no choice then but to close the connection in the middle.
pub(crate) struct CutBody<B> {
    inner: Pin<Box<B>>,
    is_cut: Option<oneshot::Receiver<()>>,
}

impl<B> CutBody<B> {
    pub(super) fn new(inner: B, is_cut: Option<oneshot::Receiver<()>>) -> Self {
        CutBody {
            inner: Box::pin(inner),
            is_cut,
        }
    }
}

impl<B> Body for CutBody<B>
where
    B: Body,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Data = B::Data;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, Self::Error>>> {
        if let Some(is_cut) = &mut self.is_cut {
            if let Poll::Ready(told) = Pin::new(is_cut).poll(cx) {
                self.is_cut = None;
                if told.is_ok() {
                    return Poll::Ready(Some(Err(Cut.into())));
                }
            }
        }
        let frame = self.inner.as_mut().poll_frame(cx);
        frame.map(|frame| frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[derive(Debug)]
struct Cut;

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cut by a button of the demo")
    }
}

impl Error for Cut {}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http_body_util::{BodyExt, Channel};

    use super::*;

    type Endless = Channel<Bytes, std::convert::Infallible>;

    #[tokio::test]
    async fn a_cut_fails_all_that_one_client_has_open_and_nothing_else() {
        let cuts = Cuts::default();
        let mut bodies = ["a", "b", "a"].map(|client| {
            let (sender, inner) = Endless::new(1);
            (
                sender,
                CutBody::new(inner, Some(cuts.enter(client.to_owned()))),
            )
        });
        for (sender, body) in &mut bodies {
            let sent = sender.send_data(Bytes::from("data: 1\n\n")).await;
            sent.expect("somebody reads");
            assert!(body.frame().await.expect("a frame").is_ok());
        }
        assert_eq!(cuts.cut("a"), 2);
        for (index, (sender, body)) in bodies.iter_mut().enumerate() {
            let sent = sender.send_data(Bytes::from("data: 2\n\n")).await;
            sent.expect("somebody reads");
            let frame = body.frame().await.expect("a frame");
            assert_eq!(frame.is_ok(), index == 1, "{index}");
        }
        assert_eq!(cuts.cut("a"), 0, "cut already");
    }

    #[tokio::test]
    async fn who_has_left_cannot_be_cut_and_is_forgotten() {
        let cuts = Cuts::default();
        drop(cuts.enter("a".to_owned()));
        assert_eq!(cuts.cut("a"), 0);
        drop(cuts.enter("b".to_owned()));
        let _open = cuts.enter("c".to_owned());
        assert_eq!(cuts.lock().len(), 1);
    }
}
