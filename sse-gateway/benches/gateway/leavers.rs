//! Clients that connect, ask for an event stream and leave, in all ways in which clients do. It answers each line of its
//! standard input, a number, when it has made so many visits.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{io::AsyncWriteExt, net::TcpStream, sync::mpsc, task::JoinSet, time::sleep};

use crate::{
    Error,
    parts::process::obey,
    upstream::{FIRST, SILENT},
    visits::{AT_ONCE, until_event},
};

/// How long who is not answered waits.
const PATIENCE: Duration = Duration::from_millis(2);

/// Visits that ask for the same where streams are shared.
const SHARING: u64 = 20;

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn run(address: &str) -> Result<(), Error> {
    let (order, mut orders) = mpsc::channel(1);
    obey(move |line| {
        // Its other end goes with this process.
        let _ = order.blocking_send(line.to_owned());
    });
    let address: SocketAddr = address.parse()?;
    while let Some(count) = orders.recv().await {
        let left = Arc::new(AtomicU64::new(count.parse()?));
        let mut visitors = JoinSet::new();
        for _ in 0..AT_ONCE {
            visitors.spawn(visit_until_none_is_left(address, left.clone()));
        }
        while let Some(ended) = visitors.join_next().await {
            ended??;
        }
        println!("{count}");
    }
    Ok(())
}

async fn visit_until_none_is_left(address: SocketAddr, left: Arc<AtomicU64>) -> Result<(), Error> {
    let next = || {
        left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
            left.checked_sub(1)
        })
    };
    while let Ok(number) = next() {
        visit(address, number).await?;
    }
    Ok(())
}

async fn visit(address: SocketAddr, number: u64) -> Result<(), Error> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    // Of ten visits two are not answered, two post, and each other one ends as who has crashed does.
    let (method, path, body) = match number % 10 {
        0 | 1 => ("GET", SILENT, "\r\n"),
        2 | 3 => ("POST", FIRST, "content-length: 4\r\n\r\nbody"),
        _ => ("GET", FIRST, "\r\n"),
    };
    let group = number / SHARING;
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\naccept: text/event-stream\r\nx-group: {group}\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await?;
    match path {
        SILENT => sleep(PATIENCE).await,
        _ => until_event(&mut stream).await?,
    }
    if number % 2 == 0 {
        stream.set_zero_linger()?;
    }
    Ok(())
}
