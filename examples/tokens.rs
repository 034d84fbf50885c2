//! Tokens of a language model: a finite stream in answer to a POST, with a long silence before the first.
//!
//! Heartbeats keep the hops on the way open while the model thinks. The idle timeout hears only tokens, so a
//! dead generator is noticed. At Ctrl-C the server stops, but a generation that runs may finish.
//!
//!     cargo run --example tokens

use std::convert::Infallible;
use std::time::Duration;

use axum::response::sse::{Event, Sse};
use axum::{Router, routing::post};
use futures_util::{Stream, stream};
use tower_sse::EventLayer;
use tower_sse::stage::{Drain, DrainHandle, Heartbeat, IdleTimeout, NoBuffering};

/// The answer to whatever the prompt is.
async fn complete(_prompt: String) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let tokens = ["Dependable", " streams", " need", " heartbeats", "."];
    Sse::new(stream::unfold(0, move |place| async move {
        let thinks = if place == 0 { 3000 } else { 100 };
        tokio::time::sleep(Duration::from_millis(thinks)).await;
        let data = match place.cmp(&tokens.len()) {
            std::cmp::Ordering::Less => format!("{{\"text\": {:?}}}", tokens[place]),
            std::cmp::Ordering::Equal => "[DONE]".to_owned(),
            std::cmp::Ordering::Greater => return None,
        };
        Some((Ok(Event::default().data(data)), place + 1))
    }))
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let drain = DrainHandle::new();
    let layer = EventLayer::new((
        Heartbeat::every(Duration::from_secs(1)).at_open(),
        IdleTimeout::after(Duration::from_secs(60)).events_only(),
        Drain::on(&drain).with_deadline(Duration::from_secs(120)),
        NoBuffering,
    ));
    let app = Router::new()
        .route("/complete", post(complete))
        .layer(layer);

    let port = std::env::var("PORT").unwrap_or("3000".into());
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    println!(
        "curl -N -d 'Why?' http://{}/complete",
        listener.local_addr()?
    );
    let stopped = async move {
        tokio::signal::ctrl_c()
            .await
            .expect("the signal can be heard");
        drain.start();
        println!("draining, {} streams are open", drain.open_streams());
    };
    axum::serve(listener, app)
        .with_graceful_shutdown(stopped)
        .await
}
