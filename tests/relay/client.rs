//! A client that reads as the standard says, and comes back with its last event ID.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tower::{Layer, Service, ServiceExt};
use tower_sse::relay::{RelayBody, RelayLayer, RelayService};
use tower_sse::wire::{Decoded, Decoder, Event};

use crate::upstream::{Fake, FakeBody};

pub(crate) type App = RelayService<Fake>;
pub(crate) type Answer = Response<RelayBody<FakeBody>>;

/// Longer than anything takes that is waited for, by a clock that stands still otherwise.
const LONG: Duration = Duration::from_secs(3600);

pub(crate) fn app(layer: &RelayLayer, upstream: &Fake) -> App {
    layer.layer(upstream.clone())
}

/// As an `EventSource` asks.
pub(crate) fn get(uri: &str) -> http::request::Builder {
    Request::get(uri).header("accept", "text/event-stream")
}

/// Sends it, without waiting for the answer.
pub(crate) fn send(app: &App, request: http::request::Builder, body: &'static str) -> Pending {
    let mut app = app.clone();
    let request = request.body(Full::from(body)).unwrap();
    Pending(tokio::spawn(async move {
        app.ready().await.unwrap().call(request).await
    }))
}

/// An answer to come; dropped, the client leaves.
pub(crate) struct Pending(JoinHandle<Result<Answer, Infallible>>);

impl Pending {
    pub(crate) async fn answer(mut self) -> Answer {
        timeout(LONG, &mut self.0)
            .await
            .expect("an answer")
            .unwrap()
            .unwrap()
    }

    pub(crate) async fn client(self) -> Client {
        let answer = self.answer().await;
        assert_eq!(answer.status(), StatusCode::OK);
        Client::of(answer)
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.0.abort();
    }
}

pub(crate) struct Client {
    body: RelayBody<FakeBody>,
    decoder: Decoder,
    pub(crate) last_id: String,
}

impl Client {
    pub(crate) fn of(answer: Answer) -> Self {
        Client {
            body: answer.into_body(),
            decoder: Decoder::new(),
            last_id: String::new(),
        }
    }

    /// The next event that is dispatched; `None` when the stream has ended.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        loop {
            while let Some(decoded) = self.decoder.next() {
                let Decoded::Event(event) = decoded else {
                    panic!("it is not that large");
                };
                if let Some(id) = event.id() {
                    self.last_id = String::from_utf8(id.to_vec()).unwrap();
                }
                if event.has_data() {
                    return Some(event);
                }
            }
            let chunk = self.chunk().await?;
            self.decoder.push(chunk);
        }
    }

    /// What a client dispatches of these bytes.
    pub(crate) fn dispatched(&mut self, chunk: Bytes) -> Vec<Event> {
        self.decoder.push(chunk);
        let mut events = Vec::new();
        while let Some(Decoded::Event(event)) = self.decoder.next() {
            // A line that is not followed by a blank one sets nothing yet.
            if let Some(id) = event.id() {
                self.last_id = String::from_utf8(id.to_vec()).unwrap();
            }
            events.extend(event.has_data().then_some(event));
        }
        events
    }

    pub(crate) async fn chunk(&mut self) -> Option<Bytes> {
        let frame = timeout(LONG, self.body.frame())
            .await
            .expect("something to come")?;
        let Ok(frame) = frame else {
            panic!("it ends cleanly only");
        };
        let chunk = frame.into_data().unwrap();
        assert!(!chunk.is_empty(), "an empty chunk came");
        Some(chunk)
    }

    /// The data of the next event, with its type if it has one; `(end)` at the end.
    pub(crate) async fn text(&mut self) -> String {
        let Some(event) = self.next().await else {
            return "(end)".into();
        };
        let data = String::from_utf8(event.data().unwrap().to_vec()).unwrap();
        match event.event_type() {
            b"message" => data,
            name => format!("{}:{data}", String::from_utf8_lossy(name)),
        }
    }

    pub(crate) async fn texts(&mut self, events: usize) -> Vec<String> {
        let mut all = Vec::new();
        for _ in 0..events {
            all.push(self.text().await);
        }
        all
    }

    /// Whether nothing comes though it is waited for.
    pub(crate) async fn is_silent(&mut self) -> bool {
        timeout(Duration::from_millis(20), self.next())
            .await
            .is_err()
    }
}

pub(crate) fn numbers(range: std::ops::RangeInclusive<u64>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}
