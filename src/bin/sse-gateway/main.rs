//! The gateway in front of an upstream event stream service.

mod expect;
mod failure;
mod headers;
mod proxy;
mod request_body;
mod response_body;
mod server;
mod shutdown;
mod upgrade;
mod upstream;

use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::proxy::Proxy;
use crate::shutdown::Shutdown;
use crate::upstream::{Timeouts, Upstream, UpstreamClient};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    let mut listen = "127.0.0.1:8080".to_owned();
    let mut upstream = None;
    let mut head_timeout = Duration::from_secs(60);
    let mut connect = Duration::from_secs(5);
    let mut arguments = std::env::args().skip(1);
    while let (Some(flag), Some(value)) = (arguments.next(), arguments.next()) {
        match flag.as_str() {
            "--listen" => listen = value,
            "--upstream" => upstream = Some(Upstream::parse(&value)?),
            "--head-timeout" => head_timeout = humantime::parse_duration(&value)?,
            "--connect-timeout" => connect = humantime::parse_duration(&value)?,
            "--admin-listen" => {}
            _ => return Err(format!("unknown flag {flag}").into()),
        }
    }
    let client = UpstreamClient::new(upstream.ok_or("--upstream")?, Timeouts { connect })?;
    let shutdown = Shutdown::new();
    let proxy = Proxy::new(client, head_timeout, shutdown.clone());
    let listener = TcpListener::bind(&listen).await?;
    eprintln!("listening on http://{}", listener.local_addr()?);
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::spawn({
        let shutdown = shutdown.clone();
        async move {
            terminate.recv().await;
            shutdown.graceful();
            terminate.recv().await;
            shutdown.now();
        }
    });
    server::run(listener, move || proxy.clone(), shutdown).await;
    Ok(())
}
