//! The floor: one loop that writes what is ready to each socket in turn. It parses nothing and keeps nothing for a client
//! but how far it has come; a client that is behind gets what it missed joined into one write.

use std::{
    io::{ErrorKind, Write},
    net::{TcpListener, TcpStream},
    thread,
    time::Duration,
};

use crate::{
    Error,
    pace::{Pace, await_go, is_going},
    parts::event::{HEAD, write_chunk},
    source::requested_path,
};

const JOIN_UP_TO: usize = 64 * 1024;

/// As many bytes are kept for those who are behind.
const KEEP: usize = 4 * 1024 * 1024;

struct Client {
    stream: TcpStream,
    position: usize,
}

pub(crate) fn run(rate: &str) -> Result<(), Error> {
    await_go();
    let listener = TcpListener::bind("127.0.0.1:0")?;
    // Thousands come within a moment.
    socket2::SockRef::from(&listener).listen(4096)?;
    listener.set_nonblocking(true)?;
    eprintln!("listening on http://{}", listener.local_addr()?);
    let mut pace = Pace::new(rate.parse()?);
    let mut clients: Vec<Client> = Vec::new();
    let (mut log, mut base) = (Vec::new(), 0);
    loop {
        while let Ok((stream, _)) = listener.accept() {
            let position = base + log.len();
            clients.push(enter(stream, position)?);
        }
        if !is_going() {
            thread::sleep(Duration::from_millis(1));
            continue;
        }
        write_chunk(&mut log, "", pace.wait());
        while pace.is_late() {
            write_chunk(&mut log, "", pace.wait());
        }
        if log.len() > 2 * KEEP {
            let dropped = log.len() - KEEP;
            log.drain(..dropped);
            base += dropped;
        }
        clients.retain_mut(|client| write(client, &log, base));
    }
}

fn enter(stream: TcpStream, position: usize) -> Result<Client, Error> {
    stream.set_nonblocking(false)?;
    requested_path(&stream)?;
    (&stream).write_all(HEAD)?;
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    Ok(Client { stream, position })
}

/// Whether the client is still there, and not too far behind.
fn write(client: &mut Client, log: &[u8], base: usize) -> bool {
    let Some(from) = client.position.checked_sub(base) else {
        return false;
    };
    let ready = &log[from..log.len().min(from + JOIN_UP_TO)];
    match client.stream.write(ready) {
        Ok(written) => {
            client.position += written;
            true
        }
        Err(error) => error.kind() == ErrorKind::WouldBlock,
    }
}
