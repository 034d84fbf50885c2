//! Clients that post, each on a connection that it keeps, and read the event stream that is the answer to its end. Posts
//! are spread evenly over time.
//!
//! It answers `begin`, from which on answers are counted, and `end` with what was counted.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::{Instant, sleep_until},
};

use crate::{
    Error,
    parts::{
        event::now,
        histogram::Histogram,
        process::obey,
        response::{Item, Response},
    },
    upstream::{ANSWER, ANSWER_EVENTS},
};

pub(crate) const CONNECTIONS: u32 = 50;

/// On each connection.
pub(crate) const POSTS_PER_SECOND: u32 = 10;

pub(crate) const BODY_BYTES: usize = 200;

const INTERVAL: Duration = Duration::from_millis(1_000 / POSTS_PER_SECOND as u64);

/// What was counted since `begin`.
struct Tally {
    /// From the request's first byte to the first event.
    first_event: Histogram,
    /// Connections that were closed behind an answer.
    closed: u64,
}

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn run(address: &str) -> Result<(), Error> {
    let tally = Arc::new(Mutex::new(Tally {
        first_event: Histogram::new(),
        closed: 0,
    }));
    let asked = tally.clone();
    obey(move |order| {
        let mut tally = asked.lock().unwrap_or_else(PoisonError::into_inner);
        println!("{}", tally.answer(order));
    });
    let address: SocketAddr = address.parse()?;
    let start = Instant::now();
    let mut clients = JoinSet::new();
    for n in 0..CONNECTIONS {
        let first = start + INTERVAL * n / CONNECTIONS;
        clients.spawn(post_again_and_again(address, first, tally.clone()));
    }
    // None ends but by an error.
    while let Some(ended) = clients.join_next().await {
        ended??;
    }
    Ok(())
}

impl Tally {
    fn answer(&mut self, order: &str) -> String {
        match order {
            "begin" => {
                self.first_event.clear();
                self.closed = 0;
                "begun".to_owned()
            }
            _ => {
                let times = &self.first_event;
                let [p50, p99] = [0.5, 0.99].map(|share| times.quantile(share));
                let (count, max, closed) = (times.count(), times.max(), self.closed);
                format!("{count} {p50} {p99} {max} {closed}")
            }
        }
    }
}

async fn post_again_and_again(
    address: SocketAddr,
    first: Instant,
    tally: Arc<Mutex<Tally>>,
) -> Result<(), Error> {
    let request = request(address);
    let mut next = first;
    let mut stream = connect(address).await?;
    let mut closes = false;
    loop {
        sleep_until(next).await;
        let closed = closes || is_closed(&stream)?;
        if closed {
            stream = connect(address).await?;
        }
        let nanoseconds;
        (nanoseconds, closes) = post(&mut stream, &request).await?;
        let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
        tally.first_event.record(nanoseconds);
        tally.closed += u64::from(closed);
        drop(tally);
        // Moments that have passed meanwhile are left out: what is late would keep all of them together.
        let now = Instant::now();
        while next <= now {
            next += INTERVAL;
        }
    }
}

async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// # Errors
///
/// When something came that nobody asked for.
fn is_closed(stream: &TcpStream) -> Result<bool, Error> {
    match stream.try_read(&mut [0; 64]) {
        Ok(0) => Ok(true),
        Ok(_) => Err("bytes behind an answer".into()),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn request(address: SocketAddr) -> String {
    let before = r#"{"model":"bench","stream":true,"prompt":""#;
    let after = r#""}"#;
    let prompt = ".".repeat(BODY_BYTES - before.len() - after.len());
    format!(
        "POST {ANSWER} HTTP/1.1\r\n\
        host: {address}\r\n\
        accept: text/event-stream\r\n\
        content-type: application/json\r\n\
        content-length: {BODY_BYTES}\r\n\r\n\
        {before}{prompt}{after}"
    )
}

/// Gives back how long it took to the first event, and whether that was the last answer of its connection.
async fn post(stream: &mut TcpStream, request: &str) -> Result<(u64, bool), Error> {
    let begun = now();
    stream.write_all(request.as_bytes()).await?;
    let mut first = None;
    let mut events = 0;
    let mut response = Response::new();
    let mut buffer = [0; 4_096];
    while !response.is_finished() {
        let len = stream.read(&mut buffer).await?;
        if len == 0 {
            return Err("closed before the end of an answer".into());
        }
        response.feed(&buffer[..len], |item| {
            if matches!(item, Item::Event(_)) {
                events += 1;
                first.get_or_insert_with(now);
            }
        })?;
    }
    match first {
        Some(first) if events == ANSWER_EVENTS => Ok((first - begun, response.closes())),
        _ => Err(format!("an answer of {events} events instead of {ANSWER_EVENTS}").into()),
    }
}
