//! One request and its response over HTTP/1.1, without a task, a channel or a buffer of its own.
//!
//! For what may be answered by an event stream: hyper's connection holds two buffers and a task for as long as a stream is open,
//! and hands on each chunk by itself. What is sent here has no body, or one of a known length; uploads in chunks, expectations
//! and upgrades are hyper's. Heads are read by hyper's own parser, within the same bounds, and framing by RFC 9112, section 6.3.

use std::io::Write as _;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::header::{CONTENT_LENGTH, EXPECT, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderName, Method, Request, Response};
use http_body::Body;
use hyper::rt::Write as _;

use super::connect::Io;
use super::raw_body::RawBody;
use super::response_head::{self, Head, MAX_HEAD, content_length};
use crate::proxy::failure::Failure;
use crate::proxy::request_body::RequestBody;

/// Of a request body that is sent here.
const MAX_BODY: u64 = 64 * 1024;
/// When the head and what there is of the body are so long, they are sent.
const ENOUGH: usize = 16 * 1024;

/// Whether a request can be sent here.
pub(super) fn takes(request: &Request<RequestBody>) -> bool {
    let headers = request.headers();
    let is_plain = ![EXPECT, TRANSFER_ENCODING, UPGRADE]
        .iter()
        .any(|name| headers.contains_key(name));
    let is_other = [Method::HEAD, Method::CONNECT].contains(request.method());
    crate::lean::is_on()
        && is_plain
        && !is_other
        && length(request).is_some_and(|length| length <= MAX_BODY)
}

/// How long the body is, where that is known and the head says the same.
fn length(request: &Request<RequestBody>) -> Option<u64> {
    let there = request.body().size_hint().exact()?;
    match content_length(request.headers()) {
        Ok(said) => (said.unwrap_or(there) == there).then_some(there),
        Err(_) => None,
    }
}

/// What is yet to be sent of a request.
pub(super) struct Upload {
    unsent: Bytes,
    body: RequestBody,
    /// Whether anything was sent.
    has_begun: bool,
    is_flushed: bool,
}

impl Upload {
    /// All of it, from its first byte on.
    pub(super) fn of(request: Request<RequestBody>) -> Self {
        let length = request.body().size_hint().exact().unwrap_or_default();
        let (parts, body) = request.into_parts();
        let mut head = Vec::with_capacity(512);
        // Writing to memory does not fail.
        let _ = write!(head, "{} {} HTTP/1.1\r\n", parts.method, parts.uri);
        for (name, value) in &parts.headers {
            line(&mut head, name, value.as_bytes());
        }
        if length > 0 && !parts.headers.contains_key(CONTENT_LENGTH) {
            line(&mut head, &CONTENT_LENGTH, length.to_string().as_bytes());
        }
        head.extend_from_slice(b"\r\n");
        Upload {
            unsent: head.into(),
            body,
            has_begun: false,
            is_flushed: false,
        }
    }

    /// Sends on, until all is sent.
    pub(super) fn poll(&mut self, io: &mut Io, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        if !self.has_begun {
            self.has_begun = true;
            self.join_body(cx)?;
        }
        loop {
            while !self.unsent.is_empty() {
                match ready!(Pin::new(&mut *io).poll_write(cx, &self.unsent)) {
                    Ok(0) => return Poll::Ready(Err(Failure::reset("the upstream takes nothing"))),
                    Ok(written) => self.unsent.advance(written),
                    Err(error) => return Poll::Ready(Err(Failure::broken(&error))),
                }
            }
            if !self.body.is_end_stream() {
                self.unsent = ready!(self.poll_body(cx))?;
            } else if self.is_flushed {
                return Poll::Ready(Ok(()));
            } else {
                let flushed = ready!(Pin::new(&mut *io).poll_flush(cx));
                flushed.map_err(|error| Failure::broken(&error))?;
                self.is_flushed = true;
            }
        }
    }

    /// Puts what is there of the body behind the head, to be sent with it.
    fn join_body(&mut self, cx: &mut Context<'_>) -> Result<(), Failure> {
        if self.body.is_end_stream() {
            return Ok(());
        }
        let mut all = Vec::from(std::mem::take(&mut self.unsent));
        while all.len() < ENOUGH && !self.body.is_end_stream() {
            let Poll::Ready(data) = self.poll_body(cx) else {
                break;
            };
            all.extend_from_slice(&data?);
        }
        self.unsent = all.into();
        Ok(())
    }

    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, Failure>> {
        Poll::Ready(match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
            Some(Ok(frame)) => Ok(frame.into_data().unwrap_or_default()),
            Some(Err(error)) => Err(Failure::client(&error.to_string())),
            None => {
                // hyper has seen to it that it is as long as was said.
                self.body = RequestBody::empty();
                Ok(Bytes::new())
            }
        })
    }
}

fn line(head: &mut Vec<u8>, name: &HeaderName, value: &[u8]) {
    head.extend_from_slice(name.as_str().as_bytes());
    head.extend_from_slice(b": ");
    head.extend_from_slice(value);
    head.extend_from_slice(b"\r\n");
}

/// Sends a request and waits for the head of its response.
///
/// # Errors
///
/// When the connection ends first, the client does not send its body, or what comes is not HTTP.
pub(super) async fn send(mut io: Io, mut upload: Upload) -> Result<Response<RawBody>, Failure> {
    let mut bytes = Vec::new();
    let mut is_sent = false;
    let head = std::future::poll_fn(|cx| {
        if !is_sent {
            is_sent = match upload.poll(&mut io, cx) {
                Poll::Ready(sent) => {
                    sent?;
                    true
                }
                Poll::Pending => false,
            };
        }
        loop {
            let read = ready!(io.poll_read_with(cx, |read| bytes.extend_from_slice(read)));
            if read.map_err(|error| Failure::broken(&error))?.is_none() {
                let why = "the connection ended before a response";
                return Poll::Ready(Err(Failure::reset(why)));
            }
            match response_head::head(&bytes).map_err(invalid)? {
                Some((head, length)) => {
                    bytes.drain(..length);
                    return Poll::Ready(Ok(head));
                }
                None if bytes.len() >= MAX_HEAD => return Poll::Ready(Err(Failure::large_head())),
                None => {}
            }
        }
    })
    .await?;
    let upload = (!is_sent).then(|| Box::new(upload));
    let Head {
        response,
        framing,
        keeps,
    } = head;
    let body = RawBody::new(io, framing, bytes.into(), upload, keeps);
    Ok(response.map(|()| body))
}

fn invalid(head: response_head::Invalid) -> Failure {
    match head {
        response_head::Invalid::TooLarge => Failure::large_head(),
        response_head::Invalid::Because(_) => Failure::other(head),
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};
    use std::task::Waker;

    use hyper::rt::{Read, ReadBufCursor, Write};

    use super::*;

    /// An upstream that says nothing, and what is written to it, a text for each time.
    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<String>>>);

    impl Read for Written {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: ReadBufCursor<'_>,
        ) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    impl Write for Written {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            let text = String::from_utf8_lossy(bytes).into_owned();
            self.0.lock().expect("no panic").push(text);
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn a_body_that_is_there_is_sent_with_the_head() {
        for body in ["", "small", &"x".repeat(MAX_BODY as usize)] {
            let request = Request::post("/a").body(RequestBody::from(Bytes::from(body.to_owned())));
            let mut upload = Upload::of(request.expect("a request"));
            let written = Written::default();
            let mut io = Io::over(written.clone());
            let polled = upload.poll(&mut io, &mut Context::from_waker(Waker::noop()));
            assert!(matches!(polled, Poll::Ready(Ok(()))));
            let length = match body.len() {
                0 => String::new(),
                length => format!("content-length: {length}\r\n"),
            };
            let expected = format!("POST /a HTTP/1.1\r\n{length}\r\n{body}");
            assert!(*written.0.lock().expect("no panic") == [expected]);
        }
    }
}
