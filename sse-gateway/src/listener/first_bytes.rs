//! What a connection begins with, and what comes behind a stream: by that it is told who serves it.

use std::io::{self, ErrorKind};

use tokio::io::AsyncRead;

use super::client_io::ClientIo;
use super::lean::{self, Plain};

/// No method of HTTP/1.1 is called `PRI`.
const PREFACE: &[u8] = b"PRI *";

/// Who serves what comes next.
#[expect(
    clippy::large_enum_variant,
    reason = "most are large, and none lives long"
)]
pub(super) enum Next {
    Http2,
    /// hyper, from the first byte on.
    Http1,
    /// A request for an event stream that needs no hyper, and is still to be taken.
    Stream(Plain),
}

/// Reads until it is clear. What is read stays in front.
///
/// # Errors
///
/// When reading fails, or the connection ends before.
pub(super) async fn read<I>(io: &mut ClientIo<I>, may_be_http2: bool) -> io::Result<Next>
where
    I: AsyncRead + Unpin,
{
    loop {
        match told(io.early(), may_be_http2) {
            Some(Next::Stream(plain)) => {
                return Ok(match plain.body == 0 || is_alone(io, &plain).await {
                    true => Next::Stream(plain),
                    false => Next::Http1,
                });
            }
            Some(next) => return Ok(next),
            None => {}
        }
        if io.read_early().await? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
    }
}

/// Whether its body is there, and nothing behind that. Else it is for hyper to wait for it, or to end the connection behind it.
async fn is_alone<I: AsyncRead + Unpin>(io: &mut ClientIo<I>, plain: &Plain) -> bool {
    io.read_what_is_there(plain.length()).await;
    io.early().len() == plain.length()
}

/// A head that is not whole at once is for hyper to wait for.
fn told(bytes: &[u8], may_be_http2: bool) -> Option<Next> {
    if may_be_http2 && bytes.starts_with(PREFACE) {
        return Some(Next::Http2);
    }
    if bytes.is_empty() || may_be_http2 && PREFACE.starts_with(bytes) {
        return None;
    }
    Some(match lean::request_for_stream(bytes) {
        Some(plain) => Next::Stream(plain),
        None => Next::Http1,
    })
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll};
    use std::time::Duration;

    use tokio::io::{AsyncWriteExt, DuplexStream, ReadBuf, duplex};

    use super::*;
    use crate::descriptors::Descriptor;

    fn over<I>(stream: I) -> ClientIo<I> {
        ClientIo::new(stream, (Descriptor::new(), None))
    }

    async fn told_of(pieces: &[&str]) -> (&'static str, String) {
        let (mut client, server) = duplex(256);
        let mut server = over(server);
        let reading = read(&mut server, true);
        let writing = async {
            for piece in pieces {
                client.write_all(piece.as_bytes()).await.expect("room");
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let (next, ()) = tokio::join!(reading, writing);
        let who = match next.expect("it is clear") {
            Next::Http2 => "HTTP/2",
            Next::Http1 => "HTTP/1.1",
            Next::Stream(..) => "a stream",
        };
        (who, String::from_utf8_lossy(server.early()).into_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_told_by_as_little_as_is_needed() {
        let http2 = |rest: &str| ("HTTP/2", rest.to_owned());
        let http1 = |rest: &str| ("HTTP/1.1", rest.to_owned());
        assert_eq!(
            told_of(&["PRI * HTTP/2.0\r\n"]).await,
            http2("PRI * HTTP/2.0\r\n")
        );
        assert_eq!(
            told_of(&["P", "R", "I", " ", "*", " "]).await,
            http2("PRI *")
        );
        assert_eq!(told_of(&["GET / HTT"]).await, http1("GET / HTT"));
        assert_eq!(told_of(&["G", "ET /"]).await, http1("G"));
        assert_eq!(told_of(&["P", "OST /"]).await, http1("POST /"));
        assert_eq!(told_of(&["PR", "OPFIND /"]).await, http1("PROPFIND /"));
        assert_eq!(told_of(&["PRI", " /x"]).await, http1("PRI /x"));
        let stream = "GET / HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n\r\n";
        let page = stream.replace("text/event-stream", "*/*");
        assert_eq!(told_of(&[stream]).await, ("a stream", stream.to_owned()));
        assert_eq!(told_of(&[&page]).await, http1(&page));
    }

    #[tokio::test]
    async fn a_connection_that_ends_before_is_an_error() {
        let (client, server) = duplex(64);
        drop(client);
        let told = read(&mut over(server), true).await;
        assert!(told.is_err_and(|error| error.kind() == ErrorKind::UnexpectedEof));
    }

    /// Counts how often it is looked at.
    struct Counted(DuplexStream, usize);

    impl AsyncRead for Counted {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            self.1 += 1;
            assert!(self.1 <= 3, "looked at again and again");
            Pin::new(&mut self.0).poll_read(cx, buf)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_stops_after_a_byte_costs_nothing_while_it_is_waited_for() {
        let (mut client, server) = duplex(64);
        client.write_all(b"P").await.expect("room");
        let mut server = over(Counted(server, 0));
        let minute = Duration::from_secs(60);
        let next = tokio::time::timeout(minute, read(&mut server, true)).await;
        assert!(next.is_err());
    }
}
