//! The body of a request that is a part of its key.

use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::pin;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::StatusCode;
use http_body::Body;
use tokio::time::timeout;

use super::metrics::Refused;
use super::service::Relaying;
use crate::history::{History, Reserved};

/// The body of a request, if it comes whole and in time, and there is room for it.
pub(super) async fn collect<B: Body, H: History>(
    body: B,
    with: &Relaying<H>,
    address: Option<IpAddr>,
) -> Result<(Bytes, Reserved), StatusCode> {
    let config = &with.config;
    let mut body = pin!(body);
    let mut all = BytesMut::new();
    let mut held = Reserved::nothing();
    loop {
        let frame = timeout(
            config.request_timeout,
            poll_fn(|cx| body.as_mut().poll_frame(cx)),
        );
        let Some(frame) = frame.await.map_err(|_| StatusCode::REQUEST_TIMEOUT)? else {
            return Ok((all.freeze(), held));
        };
        let frame = frame.map_err(|_| StatusCode::BAD_REQUEST)?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        let len = data.remaining();
        if (all.len() + len) as u64 > config.max_request_bytes {
            return Err(StatusCode::PAYLOAD_TOO_LARGE);
        }
        let Some(more) = with.registry.reserve(len, address) else {
            with.registry.refuse(config, Refused::Budget);
            return Err(StatusCode::SERVICE_UNAVAILABLE);
        };
        held.join(more);
        all.put(data);
    }
}
