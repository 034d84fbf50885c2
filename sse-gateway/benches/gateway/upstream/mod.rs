//! The upstream: writes event streams with as little work as tokio allows, so that the CPU is left to the proxies.
//!
//! The path of a request says which stream is wanted. What ends by itself leaves its connection open for the next
//! request.

mod burst;
mod paced;
mod request;

use std::{
    io,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::sleep,
};

use crate::{
    Error,
    parts::{
        event::{HEAD, Stamp, now, write_chunk},
        process::obey,
    },
};

pub(crate) use paced::EVENTS_PER_SECOND;
use request::{Request, read_request};

/// A stream of [`EVENTS_PER_SECOND`].
pub(crate) const PACED: &str = "/paced";

/// A stream that stays silent after its head.
pub(crate) const IDLE: &str = "/idle";

/// A stream that stays silent after its first event.
pub(crate) const FIRST: &str = "/first";

/// No answer.
pub(crate) const SILENT: &str = "/silent";

/// A stream of [`ANSWER_EVENTS`], which ends.
pub(crate) const ANSWER: &str = "/answer";

/// With the size of an event behind it: a stream as fast as it is read.
pub(crate) const BURST: &str = "/burst/";

/// Ends all bursts.
pub(crate) const STOP: &str = "stop";

/// Asks how many bytes of events were written to bursts.
pub(crate) const WRITTEN: &str = "written";

/// Asks how many requests for [`FIRST`] and [`SILENT`] are open.
pub(crate) const OPEN: &str = "open";

pub(crate) const ANSWER_EVENTS: u64 = 5;

/// Between two events of an answer.
pub(crate) const ANSWER_INTERVAL: Duration = Duration::from_millis(5);

const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

static OPEN_COUNT: AtomicU64 = AtomicU64::new(0);

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn run() -> Result<(), Error> {
    obey(|order| match order {
        STOP => {
            burst::stop();
            println!("stopped");
        }
        WRITTEN => println!("{}", burst::written()),
        OPEN => println!("{}", OPEN_COUNT.load(Ordering::Relaxed)),
        _ => println!("what does {order:?} mean?"),
    });
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    eprintln!("listening on http://{}", listener.local_addr()?);
    let (opened, streams) = mpsc::channel(1_024);
    tokio::spawn(paced::pace(streams));
    loop {
        let (stream, _) = listener.accept().await?;
        let opened = opened.clone();
        tokio::spawn(async move {
            // A client that fails or leaves ends its stream; the load counts those.
            let _ = answer_all(stream, opened).await;
        });
    }
}

async fn answer_all(mut stream: TcpStream, paced: mpsc::Sender<TcpStream>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut read = Vec::new();
    while let Some(Request { path }) = read_request(&mut stream, &mut read).await? {
        if let Some(size) = path.strip_prefix(BURST) {
            stream.write_all(HEAD).await?;
            let size = size.parse().map_err(io::Error::other)?;
            burst::write(&mut stream, size).await?;
            continue;
        }
        match path.as_str() {
            PACED => {
                stream.write_all(HEAD).await?;
                // Fails only when the upstream ends.
                let _ = paced.send(stream).await;
                return Ok(());
            }
            IDLE => {
                stream.write_all(HEAD).await?;
                drop((read, path));
                return until_closed(stream).await;
            }
            FIRST => return counted(first(stream)).await,
            SILENT => return counted(until_closed(stream)).await,
            ANSWER => answer(&mut stream).await?,
            _ => return Ok(()),
        }
    }
    Ok(())
}

async fn counted(answering: impl Future<Output = io::Result<()>>) -> io::Result<()> {
    OPEN_COUNT.fetch_add(1, Ordering::Relaxed);
    let ended = answering.await;
    OPEN_COUNT.fetch_sub(1, Ordering::Relaxed);
    ended
}

async fn first(mut stream: TcpStream) -> io::Result<()> {
    stream.write_all(&first_event()).await?;
    until_closed(stream).await
}

async fn until_closed(mut stream: TcpStream) -> io::Result<()> {
    while stream.read(&mut [0; 64]).await? > 0 {}
    Ok(())
}

/// A head, and what comes at once behind it.
fn first_event() -> Vec<u8> {
    let mut bytes = HEAD.to_vec();
    write_event(&mut bytes, 1);
    bytes
}

async fn answer(stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(&first_event()).await?;
    let mut chunk = Vec::new();
    for sequence in 2..=ANSWER_EVENTS {
        sleep(ANSWER_INTERVAL).await;
        chunk.clear();
        write_event(&mut chunk, sequence);
        stream.write_all(&chunk).await?;
    }
    stream.write_all(LAST_CHUNK).await
}

fn write_event(buffer: &mut Vec<u8>, sequence: u64) {
    let written = now();
    write_chunk(buffer, "", Stamp { written, sequence });
}
