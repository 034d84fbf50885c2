//! The load: opens event streams, reads every event, and counts.
//!
//! It is told what to do by lines on its standard input, and answers each with one line: `open N PATH` opens that many
//! streams more, `begin` sets the counts to zero, `end` gives them back.

use std::{cell::RefCell, fmt, io, rc::Rc, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    sync::{Semaphore, mpsc},
    task::{LocalSet, spawn_local},
    time::timeout,
};

use crate::{
    Error,
    parts::{
        event::now,
        histogram::Histogram,
        response::{Item, Response},
    },
};

/// Requests under way at once: enough to keep a proxy busy, fewer than any backlog.
const OPENING: usize = 64;

/// How long a request may wait for the head of its response.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

const MAX_HEAD_BYTES: usize = 16 * 1024;

/// What was read, by all streams, since `begin`.
struct Tally {
    latency: Histogram,
    /// Sequence numbers left out between two events of a stream, or given again.
    missing: u64,
    comments: u64,
    /// Streams that ended or broke; none should.
    ended: u64,
    buffer: Vec<u8>,
}

type Shared = Rc<RefCell<Tally>>;

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn run(address: &str) -> Result<(), Error> {
    LocalSet::new().run_until(obey(address.into())).await
}

async fn obey(address: Rc<str>) -> Result<(), Error> {
    let tally: Shared = Rc::new(RefCell::new(Tally {
        latency: Histogram::new(),
        missing: 0,
        comments: 0,
        ended: 0,
        buffer: vec![0; 64 * 1024],
    }));
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["open", count, path] => match open(&address, path, count.parse()?, &tally).await {
                Ok(()) => println!("opened"),
                Err(error) => println!("failed {error}"),
            },
            ["begin"] => {
                tally.borrow_mut().clear();
                println!("begun");
            }
            ["end"] => println!("{}", tally.borrow()),
            _ => return Err(format!("what does {line:?} mean?").into()),
        }
    }
    Ok(())
}

/// Returns when all streams have their heads.
async fn open(address: &Rc<str>, path: &str, count: usize, tally: &Shared) -> Result<(), String> {
    let path: Rc<str> = path.into();
    let permits = Rc::new(Semaphore::new(OPENING));
    let (opened, mut results) = mpsc::channel(OPENING);
    for _ in 0..count {
        let (address, path, permits) = (address.clone(), path.clone(), permits.clone());
        let (opened, tally) = (opened.clone(), tally.clone());
        spawn_local(async move {
            let permit = permits.acquire().await;
            let result = timeout(HEAD_TIMEOUT, request(&address, &path)).await;
            drop(permit);
            let (result, stream) = match result {
                Ok(Ok(stream)) => (Ok(()), Some(stream)),
                Ok(Err(error)) => (Err(error.to_string()), None),
                Err(_) => (Err("no response head in time".to_owned()), None),
            };
            // Nobody listens any more once one stream has failed.
            let _ = opened.send(result).await;
            drop(opened);
            if let Some((stream, first)) = stream {
                read(&stream, &first, &tally).await;
                tally.borrow_mut().ended += 1;
            }
        });
    }
    drop(opened);
    while let Some(result) = results.recv().await {
        result?;
    }
    Ok(())
}

/// Sends a request; gives the stream, and what of the body came with the head.
async fn request(address: &str, path: &str) -> io::Result<(TcpStream, Vec<u8>)> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let request =
        format!("GET {path} HTTP/1.1\r\nhost: {address}\r\naccept: text/event-stream\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut bytes = Vec::with_capacity(1_024);
    loop {
        if stream.read_buf(&mut bytes).await? == 0 || bytes.len() > MAX_HEAD_BYTES {
            return Err(io::Error::other(
                "closed before the end of the response head",
            ));
        }
        if let Some(end) = memchr::memmem::find(&bytes, b"\r\n\r\n") {
            let body = bytes.split_off(end + 4);
            let head = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
            let wanted = [
                "http/1.1 200 ",
                "content-type: text/event-stream",
                "transfer-encoding: chunked",
            ];
            if !wanted.iter().all(|wanted| head.contains(wanted)) {
                return Err(io::Error::other(format!(
                    "not a chunked event stream: {head:?}"
                )));
            }
            return Ok((stream, body));
        }
    }
}

/// Reads until the stream ends or breaks.
async fn read(stream: &TcpStream, first: &[u8], tally: &Shared) {
    let mut response = Response::new();
    let mut last = None;
    if !tally.borrow_mut().count(&mut response, &mut last, first) {
        return;
    }
    while stream.readable().await.is_ok() {
        let mut tally = tally.borrow_mut();
        // Taken out, since what is read from it is counted in the same tally.
        let mut buffer = std::mem::take(&mut tally.buffer);
        let going_on = match stream.try_read(&mut buffer) {
            Ok(0) => false,
            Ok(length) => tally.count(&mut response, &mut last, &buffer[..length]),
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        };
        tally.buffer = buffer;
        if !going_on {
            return;
        }
    }
}

impl Tally {
    /// Whether the stream is still sound.
    fn count(&mut self, response: &mut Response, last: &mut Option<u64>, bytes: &[u8]) -> bool {
        let read = now();
        let result = response.feed(bytes, |item| match item {
            Item::Event(stamp) => {
                self.latency.record(read.saturating_sub(stamp.written));
                let expected = last.map_or(stamp.sequence, |last| last + 1);
                self.missing += stamp.sequence.abs_diff(expected);
                *last = Some(stamp.sequence);
            }
            Item::Comment => self.comments += 1,
        });
        if let Err(error) = result {
            eprintln!("load: {error}");
        }
        result.is_ok()
    }

    fn clear(&mut self) {
        self.latency.clear();
        self.missing = 0;
        self.comments = 0;
    }
}

/// The answer to `end`, read again by [`Counts::parse`].
impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            latency,
            missing,
            comments,
            ended,
            ..
        } = self;
        let (total, max) = (latency.total(), latency.max());
        let (p50, p99) = (latency.quantile(0.5), latency.quantile(0.99));
        write!(f, "{total} {missing} {comments} {ended} {p50} {p99} {max}")
    }
}

/// What the load counted, as the conductor sees it. Latencies are in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counts {
    pub(crate) events: u64,
    pub(crate) missing: u64,
    pub(crate) comments: u64,
    pub(crate) ended: u64,
    pub(crate) p50: u64,
    pub(crate) p99: u64,
    pub(crate) max: u64,
}

impl Counts {
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let numbers: Vec<u64> = line
            .split(' ')
            .map_while(|number| number.parse().ok())
            .collect();
        let [events, missing, comments, ended, p50, p99, max] = numbers[..] else {
            return None;
        };
        Some(Self {
            events,
            missing,
            comments,
            ended,
            p50,
            p99,
            max,
        })
    }
}
