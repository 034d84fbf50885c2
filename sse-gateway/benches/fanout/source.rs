//! Where events come from: an upstream that the gateway asks, or a publisher that tells nchan.

use std::{
    io::{self, BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    thread,
};

use crate::{
    Error,
    pace::{Pace, await_go},
    parts::event::{HEAD, data, write_chunk},
};

/// Answers each request for `/RATE` with that many events a second.
pub(crate) fn serve() -> Result<(), Error> {
    await_go();
    let listener = TcpListener::bind("127.0.0.1:0")?;
    eprintln!("listening on http://{}", listener.local_addr()?);
    for stream in listener.incoming() {
        let stream = stream?;
        // Ends when the one who reads has gone.
        thread::spawn(move || answer(&stream));
    }
    Ok(())
}

fn answer(mut stream: &TcpStream) -> Result<(), Error> {
    stream.set_nodelay(true)?;
    let path = requested_path(stream)?;
    let mut pace = Pace::new(path.trim_start_matches('/').parse()?);
    stream.write_all(HEAD)?;
    let mut chunk = Vec::new();
    loop {
        chunk.clear();
        write_chunk(&mut chunk, "", pace.wait());
        stream.write_all(&chunk)?;
    }
}

/// Reads the head of a request.
pub(crate) fn requested_path(stream: &TcpStream) -> Result<String, Error> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next().ok_or("closed before a request")??;
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let path = first.split(' ').nth(1).ok_or("not a request line")?;
    Ok(path.to_owned())
}

/// Publishes by HTTP at the pace, on one connection. Answers are not waited for: that would slow the pace down where
/// the server is slow, and hide how late events are.
pub(crate) fn publish(address: &str, rate: &str) -> Result<(), Error> {
    await_go();
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let mut answers = stream.try_clone()?;
    thread::spawn(move || io::copy(&mut answers, &mut io::sink()));
    let mut pace = Pace::new(rate.parse()?);
    loop {
        let data = data(pace.wait());
        let mut request = format!(
            "POST /publish HTTP/1.1\r\nhost: {address}\r\ncontent-length: {}\r\n\r\n",
            data.len()
        )
        .into_bytes();
        request.extend_from_slice(&data);
        stream.write_all(&request)?;
    }
}
