//! Waits for the answer to a request that was read without hyper.

use std::future::poll_fn;
use std::task::Poll;

use http::Response;
use tokio::io::AsyncRead;
use tower_sse::relay::Hangup;

use crate::listener::client_io::ClientIo;
use crate::listener::connected::Coming;
use crate::shutdown::{Phase, Shutdown};

/// The answer. None when the connection is to be closed: because the client has left, or there is no answer for it.
///
/// `read` bytes of the connection are those of the request. Of what comes behind them as little is read as hyper reads: who
/// has asked for more is seen to leave only when it is written to.
pub(in crate::listener) async fn answer<I, B>(
    io: &mut ClientIo<I>,
    read: usize,
    mut coming: Coming<B>,
    hangup: &Hangup,
    shutdown: &Shutdown,
) -> Option<Response<B>>
where
    I: AsyncRead + Unpin,
{
    let mut woken = None;
    poll_fn(|cx| {
        woken.get_or_insert_with(|| shutdown.wake_at_end(cx.waker().clone()));
        if shutdown.phase() == Phase::Now {
            return Poll::Ready(None);
        }
        if hangup.poll_asked(cx).is_ready() {
            tracing::debug!("closed the connection of a client that does not read");
            return Poll::Ready(None);
        }
        match coming.as_mut().poll(cx) {
            Poll::Ready(Ok(response)) => Poll::Ready(Some(response)),
            Poll::Ready(Err(error)) => {
                tracing::debug!(%error, "client connection closed");
                Poll::Ready(None)
            }
            Poll::Pending => io.poll_read_ahead(read + 1, cx).map(|()| None),
        }
    })
    .await
}
