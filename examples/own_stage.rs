//! A stage of one's own: so many events for a client, then a word of farewell and the end.
//!
//!     cargo run --example own_stage

use std::convert::Infallible;
use std::time::Duration;

use axum::response::sse::{Event as AxumEvent, Sse};
use axum::{Router, routing::get};
use futures_util::{Stream, stream};
use http::request;
use tokio::time::Instant;
use tower_sse::EventLayer;
use tower_sse::stage::{Heartbeat, Outbox, Reason, Stage, Times};
use tower_sse::wire::Event;

/// Ends a stream after so many events with data, unless the request says who pays for it.
#[derive(Clone)]
struct Quota {
    left: u64,
    paid: bool,
}

impl Stage for Quota {
    fn on_request(&mut self, request: &request::Parts, _: &Times) {
        self.paid = request.headers.contains_key("authorization");
    }

    fn on_event(&mut self, event: Event, _: &Times) -> Option<Event> {
        if event.has_data() && !self.paid {
            // What comes in one chunk with the last event is dropped.
            self.left = self.left.checked_sub(1)?;
        }
        Some(event)
    }

    fn deadline(&self, times: &Times) -> Option<Instant> {
        (self.left == 0).then_some(times.now)
    }

    fn on_deadline(&mut self, _: &Times, out: &mut Outbox) {
        // It may be the heartbeat's deadline.
        if self.left == 0 {
            let event = Event::builder()
                .event_type("quota")
                .expect("it is one word");
            out.event(&event.data("that was all for today"));
            out.end(Reason::new("quota"));
        }
    }
}

async fn ticks() -> Sse<impl Stream<Item = Result<AxumEvent, Infallible>>> {
    Sse::new(stream::unfold(1, async |number| {
        tokio::time::sleep(Duration::from_millis(200)).await;
        Some((
            Ok(AxumEvent::default().data(format!("tick {number}"))),
            number + 1,
        ))
    }))
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let quota = Quota {
        left: 3,
        paid: false,
    };
    let heartbeat = Heartbeat::every(Duration::from_secs(15));
    let app = Router::new()
        .route("/", get(ticks))
        .layer(EventLayer::new((quota, heartbeat)));

    let port = std::env::var("PORT").unwrap_or("3000".into());
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    println!("curl -N http://{}/", listener.local_addr()?);
    axum::serve(listener, app).await
}
