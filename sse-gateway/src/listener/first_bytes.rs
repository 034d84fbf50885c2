//! The first bytes of a connection, by which HTTP/2 is told from HTTP/1.1.

use std::io::{self, ErrorKind};

use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

/// No method of HTTP/1.1 is called `PRI`.
const PREFACE: &[u8; 5] = b"PRI *";

/// What was read of a connection, to be read again by whoever serves it.
#[derive(Debug, Default)]
pub(crate) struct FirstBytes {
    bytes: [u8; PREFACE.len()],
    /// Of the bytes, those from here
    start: u8,
    /// to here are still to be given.
    end: u8,
}

impl FirstBytes {
    /// Reads until it is clear what is spoken.
    ///
    /// # Errors
    ///
    /// When reading fails, or the connection ends before.
    pub(crate) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Self> {
        let mut first = FirstBytes::default();
        while PREFACE.starts_with(first.rest()) && !first.is_http2() {
            match stream
                .read(&mut first.bytes[usize::from(first.end)..])
                .await?
            {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                // There was room for five.
                read => first.end += read as u8,
            }
        }
        Ok(first)
    }

    pub(crate) fn is_http2(&self) -> bool {
        self.rest() == PREFACE
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Gives as much as there is room for.
    pub(crate) fn give(&mut self, buf: &mut ReadBuf<'_>) {
        let rest = self.rest();
        let given = rest.len().min(buf.remaining());
        buf.put_slice(&rest[..given]);
        self.start += given as u8;
    }

    fn rest(&self) -> &[u8] {
        &self.bytes[usize::from(self.start)..usize::from(self.end)]
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll};
    use std::time::Duration;

    use tokio::io::{AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    async fn read(pieces: &[&str]) -> (bool, String) {
        let (mut client, mut server) = duplex(64);
        let reading = FirstBytes::read(&mut server);
        let writing = async {
            for piece in pieces {
                client.write_all(piece.as_bytes()).await.expect("room");
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let (first, ()) = tokio::join!(reading, writing);
        let first = first.expect("it is clear");
        (
            first.is_http2(),
            String::from_utf8_lossy(first.rest()).into_owned(),
        )
    }

    #[tokio::test(start_paused = true)]
    async fn it_reads_no_more_than_it_needs() {
        let http2 = |is_http2: bool, rest: &str| (is_http2, rest.to_owned());
        assert_eq!(read(&["PRI * HTTP/2.0\r\n"]).await, http2(true, "PRI *"));
        assert_eq!(
            read(&["P", "R", "I", " ", "*", " "]).await,
            http2(true, "PRI *")
        );
        assert_eq!(read(&["GET / HTTP/1.1\r\n"]).await, http2(false, "GET /"));
        assert_eq!(read(&["G", "ET /"]).await, http2(false, "G"));
        assert_eq!(read(&["P", "OST /"]).await, http2(false, "POST "));
        assert_eq!(read(&["PR", "OPFIND /"]).await, http2(false, "PROPF"));
        assert_eq!(read(&["PRI", " /x"]).await, http2(false, "PRI /"));
    }

    #[tokio::test]
    async fn a_connection_that_ends_before_is_an_error() {
        let (client, mut server) = duplex(64);
        drop(client);
        let error = FirstBytes::read(&mut server).await.expect_err("the end");
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
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
            Pin::new(&mut self.0).poll_read(cx, buf)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_stops_after_a_byte_costs_nothing_while_it_is_waited_for() {
        let (mut client, server) = duplex(64);
        client.write_all(b"P").await.expect("room");
        let mut server = Counted(server, 0);
        let minute = Duration::from_secs(60);
        let first = tokio::time::timeout(minute, FirstBytes::read(&mut server)).await;
        assert!(first.is_err());
        assert!(server.1 <= 3, "{} looks", server.1);
    }
}
