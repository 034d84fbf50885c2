//! Upgrades of HTTP/1.1 connections: WebSocket, and any other protocol the two sides agree on.
//!
//! The request goes to the upstream with its `Upgrade`. When that answers 101, the gateway copies bytes both ways.

use std::time::Duration;

use http::header::{CONNECTION, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, Version, request};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::time::{Instant, timeout_at};

use crate::fields::has_token;
use crate::policy::expiry::ExpiresAt;
use crate::proxy::upstreams::Asked;
use crate::shutdown::{Open, Phase, Shutdown};

/// A client's wish to speak another protocol.
pub(crate) struct Wish {
    protocol: HeaderValue,
    client: OnUpgrade,
    /// When what allowed the request ends, and with it what was asked for.
    expires: Option<Instant>,
}

/// Takes the wish out of a request that has one.
///
/// `h2c` is not passed on: what is then spoken would pass the gateway unseen, and every server that offers it also
/// serves the request without it.
pub(crate) fn requested(parts: &mut request::Parts) -> Option<Wish> {
    let client = parts.extensions.remove::<OnUpgrade>()?;
    if parts.version != Version::HTTP_11 || !has_token(&parts.headers, &CONNECTION, "upgrade") {
        return None;
    }
    let protocol = parts.headers.get(UPGRADE)?.clone();
    if has_token(&parts.headers, &UPGRADE, "h2c") {
        parts.headers.remove(HTTP2_SETTINGS);
        return None;
    }
    let expires = parts.extensions.get().map(|ExpiresAt(end)| *end);
    Some(Wish {
        protocol,
        client,
        expires,
    })
}

const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

impl Wish {
    /// Puts the wish into the header for the upstream, after hop-by-hop fields were taken out.
    pub(crate) fn ask(&self, headers: &mut HeaderMap) {
        set(headers, self.protocol.clone());
    }

    /// Joins the two connections once both have been upgraded, in a task of its own.
    pub(crate) fn join(self, upstream: OnUpgrade, asked: Asked, shutdown: &Shutdown) {
        let open = (shutdown.upgrade(), asked);
        let tunnel = tunnel(self.client, upstream, open, shutdown.clone());
        tokio::spawn(async move {
            match self.expires {
                None => tunnel.await,
                Some(expires) => drop(timeout_at(expires, tunnel).await),
            }
        });
    }
}

/// Marks a header as one that upgrades its connection. `te` may be named in it already.
pub(crate) fn set(headers: &mut HeaderMap, protocol: HeaderValue) {
    headers.append(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, protocol);
}

async fn tunnel(client: OnUpgrade, upstream: OnUpgrade, open: (Open, Asked), shutdown: Shutdown) {
    let copied = async {
        let (client, upstream) = tokio::try_join!(client, upstream)?;
        copy(TokioIo::new(client), TokioIo::new(upstream)).await;
        Ok::<_, hyper::Error>(())
    };
    tokio::select! {
        result = copied => {
            if let Err(error) = result {
                tracing::debug!(%error, "upgrade not completed");
            }
        }
        () = shutdown.reached(Phase::Now) => {}
    }
    drop(open);
}

/// Copies both ways until one side ends; what the other is still saying has a moment to get through.
async fn copy(client: TokioIo<Upgraded>, upstream: TokioIo<Upgraded>) {
    let (client_read, client_write) = tokio::io::split(client);
    let (upstream_read, upstream_write) = tokio::io::split(upstream);
    let mut up = std::pin::pin!(one_way(client_read, upstream_write));
    let mut down = std::pin::pin!(one_way(upstream_read, client_write));
    let other_ended = tokio::select! {
        () = &mut up => tokio::time::timeout(LINGER, down).await,
        () = &mut down => tokio::time::timeout(LINGER, up).await,
    };
    if other_ended.is_err() {
        tracing::debug!("upgraded connection closed, one side had ended");
    }
}

async fn one_way<R, W>(mut from: ReadHalf<R>, mut to: WriteHalf<W>)
where
    R: AsyncRead,
    W: AsyncWrite,
{
    // Either side may vanish at any time; that is how these connections end.
    let _ = tokio::io::copy(&mut from, &mut to).await;
    let _ = to.shutdown().await;
}

const LINGER: Duration = Duration::from_secs(5);
