//! The clients as a process: opens streams, reads every event, and counts. What it is told is in [`load`](super::load).

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    os::fd::OwnedFd,
    sync::mpsc,
    time::{Duration, Instant},
};

use rustix::{event::epoll, time::Timespec};

use super::{
    Error,
    event::now,
    histogram::Histogram,
    load::Counts,
    measure::IN_TIME,
    process::obey,
    response::{Event, Item, Response},
};

/// Requests under way at once: fewer than any backlog.
const OPENING: usize = 64;

/// How long all may wait for the head of a response.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

const BUFFER: usize = 256 * 1024;

struct Client {
    stream: TcpStream,
    response: Response,
    last: Option<u64>,
}

struct Load {
    address: SocketAddr,
    epoll: OwnedFd,
    clients: Vec<Client>,
    waiting_for_head: usize,
    tally: Tally,
    buffer: Vec<u8>,
}

struct Tally {
    from: u64,
    until: u64,
    /// Read between `from` and `until`, whenever written.
    read: u64,
    /// Of those written between them.
    latency: Histogram,
    in_time: u64,
    missing: u64,
    comments: u64,
    bytes: u64,
    ended: u64,
}

pub(crate) fn run(address: &str) -> Result<(), Error> {
    let (send, orders) = mpsc::channel();
    obey(move |line| {
        // Fails only when this process ends.
        let _ = send.send(line.to_owned());
    });
    let mut load = Load {
        address: address.parse()?,
        epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
        clients: Vec::new(),
        waiting_for_head: 0,
        tally: Tally {
            from: u64::MAX,
            until: u64::MAX,
            read: 0,
            latency: Histogram::new(),
            in_time: 0,
            missing: 0,
            comments: 0,
            bytes: 0,
            ended: 0,
        },
        buffer: vec![0; BUFFER],
    };
    loop {
        match orders.try_recv() {
            Ok(line) => load.obey(&line)?,
            Err(mpsc::TryRecvError::Empty) => load.turn()?,
            Err(mpsc::TryRecvError::Disconnected) => return Ok(()),
        }
    }
}

impl Load {
    fn obey(&mut self, line: &str) -> Result<(), Error> {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["open", count, path] => match self.open(count.parse()?, path) {
                Ok(()) => println!("opened"),
                Err(error) => println!("failed {error}"),
            },
            ["begin"] => {
                self.tally.begin();
                println!("begun");
            }
            ["stop"] => {
                self.tally.until = now();
                println!("stopped");
            }
            ["end"] => println!("{}", self.tally.counts()),
            _ => return Err(format!("what does {line:?} mean?").into()),
        }
        Ok(())
    }

    /// Returns when all streams have their heads.
    fn open(&mut self, count: usize, path: &str) -> Result<(), Error> {
        let host = self.address;
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: {host}\r\naccept: text/event-stream\r\n\r\n");
        for _ in 0..count {
            let stream = TcpStream::connect(self.address)?;
            stream.set_nodelay(true)?;
            (&stream).write_all(request.as_bytes())?;
            stream.set_nonblocking(true)?;
            let place = epoll::EventData::new_u64(self.clients.len() as u64);
            epoll::add(&self.epoll, &stream, place, epoll::EventFlags::IN)?;
            self.clients.push(Client {
                stream,
                response: Response::new(),
                last: None,
            });
            self.waiting_for_head += 1;
            self.wait_for_heads(OPENING - 1)?;
        }
        self.wait_for_heads(0)
    }

    /// Returns when no more than so many streams have no head yet.
    fn wait_for_heads(&mut self, most: usize) -> Result<(), Error> {
        let start = Instant::now();
        while self.waiting_for_head > most {
            if start.elapsed() > HEAD_TIMEOUT {
                return Err("no response head in time".into());
            }
            self.turn()?;
        }
        Ok(())
    }

    /// Reads what has come, or waits for a moment.
    fn turn(&mut self) -> Result<(), Error> {
        const MOMENT: Timespec = Timespec {
            tv_sec: 0,
            tv_nsec: 5_000_000,
        };
        let mut ready = Vec::with_capacity(1_024);
        let room = rustix::buffer::spare_capacity(&mut ready);
        match epoll::wait(&self.epoll, room, Some(&MOMENT)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in ready {
            let client = &mut self.clients[event.data.u64() as usize];
            let had_head = client.response.has_head();
            if !client.read(&mut self.buffer, &mut self.tally)? {
                if !client.response.has_head() {
                    return Err("closed before the end of the response head".into());
                }
                self.tally.ended += 1;
                epoll::delete(&self.epoll, &client.stream)?;
            }
            if !had_head && client.response.has_head() {
                self.waiting_for_head -= 1;
            }
        }
        Ok(())
    }
}

impl Client {
    /// Whether the stream goes on.
    fn read(&mut self, buffer: &mut [u8], tally: &mut Tally) -> Result<bool, Error> {
        let bytes = match (&self.stream).read(buffer) {
            Ok(0) => return Ok(false),
            Ok(len) => &buffer[..len],
            Err(error) => return Ok(error.kind() == io::ErrorKind::WouldBlock),
        };
        tally.count(&mut self.response, &mut self.last, bytes)?;
        Ok(!self.response.is_finished())
    }
}

impl Tally {
    fn begin(&mut self) {
        self.from = now();
        self.until = u64::MAX;
        self.read = 0;
        self.latency.clear();
        self.in_time = 0;
        self.missing = 0;
    }

    fn count(
        &mut self,
        response: &mut Response,
        last: &mut Option<u64>,
        bytes: &[u8],
    ) -> Result<(), Error> {
        let read = now();
        let measured = self.from..self.until;
        let is_read_now = measured.contains(&read);
        response.feed(bytes, |item| {
            let Item::Event(Event { stamp, bytes }) = item else {
                self.comments += 1;
                return;
            };
            self.bytes += bytes as u64;
            self.read += u64::from(is_read_now);
            if measured.contains(&stamp.written) {
                let late = read.saturating_sub(stamp.written);
                self.latency.record(late);
                self.in_time += u64::from(late <= IN_TIME);
            }
            let expected = last.map_or(stamp.sequence, |last| last + 1);
            self.missing += stamp.sequence.abs_diff(expected);
            *last = Some(stamp.sequence);
        })?;
        Ok(())
    }

    fn counts(&self) -> Counts {
        Counts {
            nanoseconds: self.until - self.from,
            read: self.read,
            in_time: self.in_time,
            missing: self.missing,
            comments: self.comments,
            bytes: self.bytes,
            ended: self.ended,
            p50: self.latency.quantile(0.5),
            p99: self.latency.quantile(0.99),
            max: self.latency.max(),
        }
    }
}
