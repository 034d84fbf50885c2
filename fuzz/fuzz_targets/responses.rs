//! Any bytes of an upstream: what the gateway reads of a response, hyper reads as the same.
//!
//! The first bytes of the input cut, the rest is what the upstream sends before it closes. What we take hyper takes; what hyper
//! refuses we refuse. We may be stricter where lines end.

#![no_main]

use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper::ext::ReasonPhrase;
use hyper::rt::{Read, ReadBufCursor, Write};
use libfuzzer_sys::fuzz_target;

#[path = "../../sse-gateway/src/proxy/upstream/chunked.rs"]
mod chunked;
#[path = "../../sse-gateway/src/proxy/upstream/response_head.rs"]
mod response_head;

use response_head::{Framing, MAX_LINES};

fuzz_target!(|input: &[u8]| {
    let [cut, sent @ ..] = input else { return };
    let ours = ours(sent, usize::from(*cut % 16) + 1);
    let hypers = hypers(sent);
    match (ours, hypers) {
        (None, _) => {}
        (Some(ours), Some(hypers)) => {
            assert_eq!(ours.status, hypers.status);
            assert_eq!(ours.reason, hypers.reason);
            assert_eq!(ours.headers, hypers.headers);
            if let Ok(body) = ours.body {
                assert_eq!(Ok(body), hypers.body);
            }
        }
        (Some(ours), None) => panic!("hyper has refused {ours:?}"),
    }
});

#[derive(Debug, PartialEq)]
struct Response {
    status: StatusCode,
    reason: Option<Bytes>,
    headers: HeaderMap,
    body: Result<(Bytes, Option<HeaderMap>), ()>,
}

/// None when there is no head of a response.
fn ours(sent: &[u8], piece: usize) -> Option<Response> {
    let (head, length) = response_head::head(sent).ok()??;
    let rest = &sent[length..];
    let body = match head.framing {
        Framing::UntilClose => Ok((Bytes::copy_from_slice(rest), None)),
        Framing::Length(length) => match usize::try_from(length) {
            Ok(length) if length <= rest.len() => {
                Ok((Bytes::copy_from_slice(&rest[..length]), None))
            }
            _ => Err(()),
        },
        Framing::Chunked(mut chunked) => {
            let mut data = BytesMut::new();
            let mut result = Ok(());
            for piece in rest.chunks(piece) {
                match chunked.read(piece, &mut data) {
                    Ok(read) if read < piece.len() => break,
                    Ok(_) => {}
                    Err(_) => {
                        result = Err(());
                        break;
                    }
                }
            }
            let trailers = chunked.is_end().then(|| chunked.take_trailers());
            match (result, trailers) {
                (Ok(()), Some(Ok(trailers))) => Ok((data.freeze(), trailers)),
                _ => Err(()),
            }
        }
    };
    let reason = head.response.extensions().get::<ReasonPhrase>();
    Some(Response {
        status: head.response.status(),
        reason: reason.map(|reason| Bytes::copy_from_slice(reason.as_bytes())),
        headers: head.response.headers().clone(),
        body,
    })
}

/// The same, by a client of hyper's.
fn hypers(sent: &[u8]) -> Option<Response> {
    let wire = Wire {
        sent: Bytes::copy_from_slice(sent),
        is_asked: false,
    };
    let handshake = http1::Builder::new()
        .max_buf_size(response_head::MAX_HEAD)
        .max_headers(MAX_LINES)
        .handshake(wire);
    let (mut sender, connection) = now(pin!(handshake), &mut |_| ()).ok()?;
    let mut connection = Some(Box::pin(connection));
    let mut drive = move |cx: &mut Context<'_>| {
        if connection
            .as_mut()
            .is_some_and(|one| one.as_mut().poll(cx).is_ready())
        {
            connection = None;
        }
    };
    let request = Request::get("/").body(Empty::<Bytes>::new()).ok()?;
    let response = now(pin!(sender.send_request(request)), &mut drive).ok()?;
    let (head, body) = response.into_parts();
    let body = now(pin!(body.collect()), &mut drive);
    let reason = head.extensions.get::<ReasonPhrase>();
    Some(Response {
        status: head.status,
        reason: reason.map(|reason| Bytes::copy_from_slice(reason.as_bytes())),
        headers: head.headers,
        body: body.map_err(drop).map(|all| {
            let trailers = all.trailers().cloned();
            (all.to_bytes(), trailers)
        }),
    })
}

/// Polls until it is ready, and the connection beside it: nothing here waits for anything but itself.
fn now<F: Future>(mut future: Pin<&mut F>, drive: &mut dyn FnMut(&mut Context<'_>)) -> F::Output {
    let mut cx = Context::from_waker(Waker::noop());
    for _ in 0..100_000 {
        drive(&mut cx);
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return output;
        }
    }
    panic!("hyper waits for something");
}

/// Gives bytes and then its end, once it was asked, and takes anything.
struct Wire {
    sent: Bytes,
    is_asked: bool,
}

impl Read for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.is_asked {
            return Poll::Pending;
        }
        let there = self.sent.len().min(buf.remaining());
        buf.put_slice(&self.sent.split_to(there));
        Poll::Ready(Ok(()))
    }
}

impl Write for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.is_asked = true;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
