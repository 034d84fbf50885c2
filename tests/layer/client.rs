//! A client that notes what comes, and when, and what the body claims meanwhile.

use std::convert::Infallible;
use std::future::ready;
use std::pin::{Pin, pin};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::Body;
use http_body_util::BodyExt;
use tokio::time::{Instant, timeout_at};
use tower::{Layer, ServiceExt, service_fn};
use tower_sse::stage::{Ends, Stage};
use tower_sse::{EventBody, EventLayer};

use crate::upstream::Upstream;

/// What a client saw: the second, and the text of a chunk, a trailer, `(failed)` or `(end)`.
pub(crate) type Seen = Vec<(u64, &'static str)>;

/// What a client sees of this upstream, with these stages, in so many seconds.
pub(crate) async fn seen<St: Stage + Clone>(stage: St, upstream: Upstream, seconds: u64) -> Seen {
    read(open(stage, upstream).await, seconds).await
}

/// The body of the response to a GET, with these stages.
pub(crate) async fn open<St: Stage + Clone>(
    stage: St,
    upstream: Upstream,
) -> EventBody<Upstream, St> {
    let layer = EventLayer::new(stage);
    answer(&layer, Method::GET, upstream.response())
        .await
        .into_body()
}

/// What becomes of this response to a request with this method.
pub(crate) async fn answer<St: Stage + Clone, X: Ends, B: Body>(
    layer: &EventLayer<St, X>,
    method: Method,
    response: Response<B>,
) -> Response<EventBody<B, St, X>> {
    let mut response = Some(response);
    let service = service_fn(move |_: Request<()>| {
        let response = response.take().expect("one request is sent");
        ready(Ok::<_, Infallible>(response))
    });
    let request = Request::builder().method(method).body(()).unwrap();
    layer.layer(service).oneshot(request).await.unwrap()
}

/// Reads a body for so many seconds, or to its end.
///
/// Whatever it says of itself on the way is checked: a chunk is never empty, a size hint never too small or
/// too large, nothing comes behind an end, and an end that was announced is one.
pub(crate) async fn read<B>(body: B, seconds: u64) -> Seen
where
    B: Body<Data = Bytes>,
{
    let mut body = pin!(body);
    let seen = read_foreign(body.as_mut(), seconds).await;
    if matches!(seen.last(), Some((_, "(end)" | "(failed)"))) {
        for _ in 0..3 {
            assert!(body.is_end_stream(), "it has ended");
            assert_eq!(body.size_hint().exact(), Some(0));
            assert!(body.frame().await.is_none(), "it is fused");
        }
    }
    seen
}

/// The same, for a body that may be anything once it has ended.
pub(crate) async fn read_foreign<B>(mut body: Pin<&mut B>, seconds: u64) -> Seen
where
    B: Body<Data = Bytes>,
{
    let start = Instant::now();
    let until = start + Duration::from_secs(seconds);
    let mut seen = Vec::new();
    let mut hints = Vec::new();
    let mut len = 0;
    loop {
        let announced_end = body.is_end_stream();
        hints.push((len, body.size_hint()));
        let Ok(frame) = timeout_at(until, body.frame()).await else {
            return seen;
        };
        let at = start.elapsed().as_secs();
        let text = match frame {
            Some(Ok(frame)) => {
                assert!(!announced_end, "a frame came behind the end: {frame:?}");
                match frame.into_data() {
                    Ok(data) => {
                        assert!(!data.is_empty(), "an empty chunk came");
                        len += data.len() as u64;
                        text(&data)
                    }
                    Err(frame) => {
                        let trailers = frame.into_trailers().expect("data or trailers");
                        let fields: Vec<String> = trailers
                            .iter()
                            .map(|(name, value)| format!("({name}: {})", value.to_str().unwrap()))
                            .collect();
                        fields.concat().leak()
                    }
                }
            }
            Some(Err(_)) => "(failed)",
            None => "(end)",
        };
        seen.push((at, text));
        if !matches!(text, "(end)" | "(failed)") {
            continue;
        }
        if text == "(end)" {
            for (before, hint) in hints {
                let rest = len - before;
                assert!(hint.lower() <= rest, "{hint:?}, but {rest} bytes came");
                assert!(
                    hint.upper().is_none_or(|upper| rest <= upper),
                    "{hint:?}, but {rest} bytes came"
                );
            }
        }
        return seen;
    }
}

/// The next chunk, as text.
pub(crate) async fn next<B>(body: &mut B) -> &'static str
where
    B: Body<Data = Bytes> + Unpin,
{
    let frame = body.frame().await.expect("there is a frame");
    let Ok(frame) = frame else {
        panic!("the body failed");
    };
    text(&frame.into_data().expect("it is a chunk"))
}

fn text(data: &[u8]) -> &'static str {
    String::from_utf8(data.to_vec()).unwrap().leak()
}
