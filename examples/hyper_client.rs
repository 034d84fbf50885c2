//! Reads an event stream: the layer around a client of hyper, and a decoder behind it.
//!
//! The client gives up on a server that is silent for a minute, and its body then ends as if the server had
//! ended it. Start the example `axum` first, then
//!
//!     cargo run --example hyper_client -- http://127.0.0.1:3000/notices

use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tower::{Layer, ServiceExt};
use tower_sse::EventLayer;
use tower_sse::stage::IdleTimeout;
use tower_sse::wire::{Decoded, Decoder, Event};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1);
    let url = url.unwrap_or("http://127.0.0.1:3000/notices".into());

    let layer = EventLayer::new(IdleTimeout::after(Duration::from_secs(60)));
    let client = layer.layer(Client::builder(TokioExecutor::new()).build_http());
    let request = Request::get(&url)
        .header("accept", "text/event-stream")
        .body(Empty::<Bytes>::new())?;
    let response = client.oneshot(request).await?;
    println!("{} from {url}", response.status());

    let mut body = response.into_body();
    let mut decoder = Decoder::new();
    while let Some(frame) = body.frame().await {
        let Ok(chunk) = frame?.into_data() else {
            continue;
        };
        decoder.push(chunk);
        while let Some(decoded) = decoder.next() {
            match decoded {
                Decoded::Event(event) => print(&event),
                _ => println!("(a part of an event that is too large)"),
            }
        }
    }
    println!("the stream has ended");
    Ok(())
}

fn print(event: &Event) {
    if let Some(time) = event.retry() {
        println!("reconnect after {time:?}");
    }
    for comment in event.comments() {
        println!("comment: {}", String::from_utf8_lossy(comment));
    }
    if let Some(data) = event.data() {
        let event_type = String::from_utf8_lossy(event.event_type());
        let id = String::from_utf8_lossy(event.id().unwrap_or(b"none"));
        println!("{event_type}, id {id}: {}", String::from_utf8_lossy(&data));
    }
}
