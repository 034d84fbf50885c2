//! Requests as the proxies and loads here write them: a body has a length.

use std::io;

use tokio::{io::AsyncReadExt, net::TcpStream};

const MAX_BYTES: usize = 16 * 1024;

pub(super) struct Request {
    pub(super) path: String,
}

/// Reads a request to the end of its body; `read` has what came behind the one before. `None` when the connection has
/// ended.
pub(super) async fn read_request(
    stream: &mut TcpStream,
    read: &mut Vec<u8>,
) -> io::Result<Option<Request>> {
    let body = loop {
        if let Some(end) = memchr::memmem::find(read, b"\r\n\r\n") {
            break end + 4;
        }
        if !read_on(stream, read).await? {
            return Ok(None);
        }
    };
    let head = String::from_utf8_lossy(&read[..body]).into_owned();
    let end = body + content_length(&head)?;
    while read.len() < end {
        if !read_on(stream, read).await? {
            return Ok(None);
        }
    }
    read.drain(..end);
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    Ok(Some(Request { path }))
}

/// Whether something came.
async fn read_on(stream: &mut TcpStream, read: &mut Vec<u8>) -> io::Result<bool> {
    Ok(read.len() <= MAX_BYTES && stream.read_buf(read).await? > 0)
}

/// # Errors
///
/// When the request has a body of another kind.
fn content_length(head: &str) -> io::Result<usize> {
    let head = head.to_ascii_lowercase();
    let value = |name| head.lines().find_map(|line| line.strip_prefix(name));
    match value("content-length:") {
        Some(length) => length.trim().parse().map_err(io::Error::other),
        None if value("transfer-encoding:").is_some() => {
            Err(io::Error::other("a request body without a length"))
        }
        None => Ok(0),
    }
}
