//! Any bytes of a client: a request that the gateway reads by itself, hyper reads as the same, and leaves the same behind it.

#![no_main]

use std::io;
use std::pin::{Pin, pin};
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use libfuzzer_sys::fuzz_target;

#[path = "../../sse-gateway/src/fields.rs"]
#[allow(dead_code)]
mod fields;
#[path = "../../sse-gateway/src/listener/lean/request.rs"]
mod request;

use request::Plain;

/// More than there are pieces of a body: hyper gives each when it is asked again.
const MOST_POLLS: usize = 64;

fuzz_target!(|sent: &[u8]| {
    let Some(plain) = request::read(sent).filter(|plain| plain.length() <= sent.len()) else {
        return;
    };
    let length = plain.length();
    let Plain {
        request: ours,
        head,
        ..
    } = plain;
    let Some((hypers, rest)) = hypers(sent) else {
        panic!("hyper has refused {ours:?}");
    };
    assert_eq!(&sent[head..length], hypers.body());
    assert_eq!(ours.method(), hypers.method());
    // Its parts are compared as they are written: to equal is not to be the same.
    assert_eq!(format!("{:?}", ours.uri()), format!("{:?}", hypers.uri()));
    assert_eq!(ours.version(), hypers.version());
    assert!(ours.headers().iter().eq(hypers.headers()));
    assert_eq!(&sent[length..], rest);
});

/// The first request as a server of hyper's reads it, and what it leaves.
fn hypers(sent: &[u8]) -> Option<(Request<Bytes>, Vec<u8>)> {
    let seen = Mutex::new(None);
    let service = service_fn(|request: Request<Incoming>| {
        let seen = &seen;
        async move {
            let (head, body) = request.into_parts();
            if let Ok(body) = body.collect().await {
                let request = Request::from_parts(head, body.to_bytes());
                *seen.lock().expect("no panic") = Some(request);
            }
            Err::<Response<Empty<Bytes>>, _>("seen")
        }
    });
    let mut connection = http1::Builder::new()
        .max_headers(320)
        // Else it ends at the end of these bytes, whatever is being read of them.
        .half_close(true)
        .serve_connection(Wire(Bytes::copy_from_slice(sent)), service)
        .with_upgrades();
    let mut cx = Context::from_waker(Waker::noop());
    let is_over = |_| pin!(&mut connection).poll(&mut cx).is_ready();
    if !(0..MOST_POLLS).any(is_over) {
        panic!("hyper waits for something");
    }
    let parts = connection.into_parts()?;
    let rest = [&parts.read_buf[..], &parts.io.0].concat();
    let seen = seen.lock().expect("no panic").take();
    Some((seen?, rest))
}

/// Gives bytes and then its end, and takes anything.
struct Wire(Bytes);

impl Read for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let there = self.0.len().min(buf.remaining());
        buf.put_slice(&self.0.split_to(there));
        Poll::Ready(Ok(()))
    }
}

impl Write for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
