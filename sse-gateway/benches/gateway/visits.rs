//! Clients that connect, ask for an event stream, read its first event, and leave; then come again. It answers each
//! line of its standard input with the number of visits so far.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicU64, Ordering},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

use crate::{
    Error,
    parts::{
        process::obey,
        response::{Item, Response},
    },
    upstream::FIRST,
};

/// Visits under way at once.
pub(crate) const AT_ONCE: usize = 64;

static VISITS: AtomicU64 = AtomicU64::new(0);

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn run(address: &str) -> Result<(), Error> {
    obey(|_| println!("{}", VISITS.load(Ordering::Relaxed)));
    let address: SocketAddr = address.parse()?;
    let mut visitors = JoinSet::new();
    for _ in 0..AT_ONCE {
        visitors.spawn(visit_again_and_again(address));
    }
    // None ends but by an error.
    while let Some(ended) = visitors.join_next().await {
        ended??;
    }
    Ok(())
}

async fn visit_again_and_again(address: SocketAddr) -> Result<(), Error> {
    let request =
        format!("GET {FIRST} HTTP/1.1\r\nhost: {address}\r\naccept: text/event-stream\r\n\r\n");
    loop {
        visit(address, &request).await?;
        VISITS.fetch_add(1, Ordering::Relaxed);
    }
}

async fn visit(address: SocketAddr, request: &str) -> Result<(), Error> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    stream.write_all(request.as_bytes()).await?;
    until_event(&mut stream).await
}

/// # Errors
///
/// When the stream ends before.
pub(crate) async fn until_event(stream: &mut TcpStream) -> Result<(), Error> {
    let mut response = Response::new();
    let mut has_event = false;
    let mut buffer = [0; 1_024];
    while !has_event {
        let len = stream.read(&mut buffer).await?;
        if len == 0 {
            return Err("closed before the first event".into());
        }
        response.feed(&buffer[..len], |item| {
            has_event |= matches!(item, Item::Event(_));
        })?;
    }
    Ok(())
}
