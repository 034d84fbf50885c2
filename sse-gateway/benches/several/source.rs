//! The upstream. Each event has its number as id and as data; a request that names one goes on behind it.
//!
//! | path | what it gives |
//! |---|---|
//! | `/paced/RATE` | that many a second, each written by itself when it is due |
//! | `/bursts/RATE` | that many a second, 64 at a time in one write |
//! | `/history/N` | N at once, and then nothing |
//! | `/idle/…` | one, and then nothing |

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    thread,
    time::Duration,
};

use crate::parts::{
    Error,
    event::{HEAD, Stamp, now, write_chunk},
    process::end_with_the_conductor,
};

/// Of thousands of threads.
const STACK: usize = 64 * 1024;
const AT_ONCE: u64 = 64;

pub(crate) fn serve() -> Result<(), Error> {
    end_with_the_conductor();
    let epoch = now();
    let listener = TcpListener::bind("127.0.0.1:0")?;
    eprintln!("listening on http://{}", listener.local_addr()?);
    for stream in listener.incoming() {
        let stream = stream?;
        // It ends when the one who reads has gone.
        let answer = move || drop(answer(&stream, epoch));
        thread::Builder::new().stack_size(STACK).spawn(answer)?;
    }
    Ok(())
}

fn answer(mut stream: &TcpStream, epoch: u64) -> Result<(), Error> {
    stream.set_nodelay(true)?;
    let (path, last) = request(stream)?;
    stream.write_all(HEAD)?;
    match path.split('/').collect::<Vec<_>>()[..] {
        ["", "paced", rate] => paced(stream, epoch, rate.parse()?, 1, last),
        ["", "bursts", rate] => paced(stream, epoch, rate.parse()?, AT_ONCE, last),
        ["", "history", count] => {
            let count = count.parse()?;
            write(stream, last.unwrap_or(0) + 1..=count, |_| now())?;
            until_it_goes(stream)
        }
        _ => {
            write(stream, 1..=1, |_| now())?;
            until_it_goes(stream)
        }
    }
}

/// What is late is made up for at once, and stamped with the moment when it was due.
fn paced(
    stream: &TcpStream,
    epoch: u64,
    rate: u64,
    at_once: u64,
    last: Option<u64>,
) -> Result<(), Error> {
    let due = |number: u64| epoch + number / at_once * at_once * 1_000_000_000 / rate;
    let mut next = last.unwrap_or((now() - epoch) / 1_000 * rate / 1_000_000) + 1;
    loop {
        thread::sleep(Duration::from_nanos(due(next).saturating_sub(now())));
        let end = (next / at_once + 1) * at_once;
        write(stream, next..end, due)?;
        next = end;
    }
}

fn write(
    mut stream: &TcpStream,
    numbers: impl Iterator<Item = u64>,
    due: impl Fn(u64) -> u64,
) -> Result<(), Error> {
    let mut chunks = Vec::new();
    for sequence in numbers {
        let written = due(sequence);
        let stamp = Stamp { written, sequence };
        write_chunk(&mut chunks, format_args!("id: {sequence}\n"), stamp);
    }
    Ok(stream.write_all(&chunks)?)
}

fn until_it_goes(mut stream: &TcpStream) -> Result<(), Error> {
    while stream.read(&mut [0; 64])? > 0 {}
    Ok(())
}

/// Path, and last event ID.
fn request(stream: &TcpStream) -> Result<(String, Option<u64>), Error> {
    let mut lines = BufReader::with_capacity(2_048, stream).lines();
    let first = lines.next().ok_or("closed before a request")??;
    let path = first.split(' ').nth(1).ok_or("not a request line")?;
    let mut last = None;
    for line in lines {
        let line = line?.to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(id) = line.strip_prefix("last-event-id:") {
            last = id.trim().parse().ok();
        }
    }
    Ok((path.to_owned(), last))
}
