//! The answer where whoever decides does not answer.

use std::time::Duration;

use http::header::RETRY_AFTER;
use http::{HeaderValue, Response, StatusCode};
use tokio::time::sleep;

use crate::answer::{TEXT, answer};
use crate::body::{StackBody, boxed};
use crate::proxy::no_answer::Leave;

/// Who is left without an answer would come back at once.
const LEFT_AFTER: Duration = Duration::from_secs(1);
const COME_BACK: HeaderValue = HeaderValue::from_static("5");

/// Nobody is let in. A client that comes back by itself is left without an answer, and others are told to come later.
pub(super) async fn undecided(text: &'static str, is_left: bool) -> Response<StackBody> {
    let mut answer = answer(StatusCode::SERVICE_UNAVAILABLE, TEXT, text).map(boxed);
    answer.headers_mut().insert(RETRY_AFTER, COME_BACK);
    if is_left {
        answer.extensions_mut().insert(Leave);
        sleep(LEFT_AFTER).await;
    }
    answer
}
