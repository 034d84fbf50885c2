//! Two nodes that share a stream by a Redis server: one upstream request for both, one history, and clients that may come
//! back to either.
//!
//!     redis-server --port 6379
//!     cargo run --example several_nodes --features redis -- 3001
//!     cargo run --example several_nodes --features redis -- 3002
//!
//! Read `/notices` of both as an `EventSource` does, `curl -N -H 'Accept: text/event-stream'`: the ids are the same. Stop the
//! node that counts, and the other goes on.

use std::convert::Infallible;
use std::time::Duration;

use axum::http::HeaderMap;
use axum::response::sse::{Event, Sse};
use axum::{Router, routing::get};
use futures_util::{Stream, stream};
use tower_sse::relay::{Key, RelayLayer};
use tower_sse::store::RedisStore;

/// Counts, from behind the last id that it is asked for, or from 1.
async fn notices(headers: HeaderMap) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let last = headers
        .get("last-event-id")
        .and_then(|id| id.to_str().ok()?.parse().ok());
    let last: u64 = last.unwrap_or(0);
    println!("the upstream is asked for what is behind {last}");
    Sse::new(stream::unfold(last + 1, async |number| {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let event = Event::default().id(number.to_string());
        Some((Ok(event.data(format!("notice {number}"))), number + 1))
    }))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port = std::env::args().nth(1).unwrap_or("3001".into());
    let redis = std::env::var("REDIS").unwrap_or("redis://127.0.0.1".into());
    // As `openssl rand -hex 32` writes it, from a file that all nodes have.
    let secret = std::env::var("SECRET").unwrap_or("not a secret: for this example alone".into());

    let store = RedisStore::connect(&redis, secret).await?;
    let key: Key = "path, query".parse()?;
    let app = Router::new()
        .route("/notices", get(notices))
        .layer(RelayLayer::shared(key).with_store(store));

    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    let address = listener.local_addr()?;
    println!("curl -N -H 'Accept: text/event-stream' http://{address}/notices");
    axum::serve(listener, app).await?;
    Ok(())
}
