//! One `.layer(…)` on a route of axum: heartbeats, ids and a reconnection time for its event stream.
//!
//!     cargo run --example axum

use std::convert::Infallible;
use std::time::Duration;

use axum::response::sse::{Event, Sse};
use axum::{Router, routing::get};
use futures_util::{Stream, stream};
use tower_sse::EventLayer;
use tower_sse::stage::{EventIds, Heartbeat, Retry};

/// Three notices, one a second, and then nothing new for a long time.
async fn notices() -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    Sse::new(stream::unfold(1, async |number| {
        let wait = if number > 3 { 3600 } else { 1 };
        tokio::time::sleep(Duration::from_secs(wait)).await;
        Some((
            Ok(Event::default().data(format!("notice {number}"))),
            number + 1,
        ))
    }))
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let app = Router::new()
        .route("/notices", get(notices))
        .layer(EventLayer::new((
            Retry::after(Duration::from_secs(3)),
            EventIds::sequential(),
            Heartbeat::every(Duration::from_secs(15)),
        )));

    let port = std::env::var("PORT").unwrap_or("3000".into());
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    println!("curl -N http://{}/notices", listener.local_addr()?);
    axum::serve(listener, app).await
}
