//! What is no event stream, for clients that were promised one.

use std::future::poll_fn;
use std::pin::pin;
use std::time::Duration;

use bytes::Buf;
use http::{HeaderMap, header};
use http_body::Body;
use tokio::time::timeout;

use super::config::Config;
use crate::history::Draft;
use crate::wire::EventBuilder;

/// Whether an answer is JSON, which is of use to who waits for events, as a page is not.
pub(super) fn is_one(head: &HeaderMap) -> bool {
    let media_type = head
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let essence = media_type.and_then(|value| value.split(';').next());
    let essence = essence.unwrap_or("").trim().to_ascii_lowercase();
    essence == "application/json" || essence.ends_with("+json")
}

/// So long the next piece of it is waited for.
const SILENCE: Duration = Duration::from_secs(60);

/// The text of a body as one event. None where there is none, or it is no text, too long for an event, or not whole.
pub(super) async fn draft<R: Body>(body: R, config: &Config) -> Option<Draft> {
    let mut body = pin!(body);
    let mut all = Vec::new();
    loop {
        let frame = timeout(SILENCE, poll_fn(|cx| body.as_mut().poll_frame(cx)));
        let Some(frame) = frame.await.ok()? else {
            break;
        };
        if let Ok(mut data) = frame.ok()?.into_data() {
            all.extend_from_slice(&data.copy_to_bytes(data.remaining()));
        }
        if all.len() > config.max_event_bytes {
            return None;
        }
    }
    let text = std::str::from_utf8(&all)
        .ok()?
        .trim_end_matches(['\r', '\n']);
    (!text.is_empty()).then(|| Draft {
        event: EventBuilder::new().data(text).build(),
        upstream: None,
        sets_id: false,
        keep_id: false,
        is_gap: false,
    })
}
