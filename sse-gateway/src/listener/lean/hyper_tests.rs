//! What of hyper the taking over of a stream rests on. It is not promised in words: a new version of hyper is held to it here.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use crate::descriptors::Descriptor;
use crate::listener::client_io::ClientIo;

const TWO: &[u8] = b"GET /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n";

#[tokio::test]
async fn a_service_that_fails_has_nothing_written_and_leaves_what_was_read_ahead() {
    let (mut client, server) = duplex(1 << 16);
    client.write_all(TWO).await.expect("room");
    let service = service_fn(async |_: Request<Incoming>| Err::<Response<Full<Bytes>>, _>("taken"));
    let mut connection = http1::Builder::new()
        .serve_connection(TokioIo::new(server), service)
        .with_upgrades();
    (&mut connection).await.expect_err("it was taken");
    let parts = connection.into_parts().expect("no upgrade");
    assert_eq!(&parts.read_buf[..], &TWO[TWO.len() / 2..]);
    let mut io = parts.io.into_inner();
    io.write_all(b"ours").await.expect("it is open");
    drop(io);
    let mut all = Vec::new();
    client.read_to_end(&mut all).await.expect("the end");
    assert_eq!(all, b"ours");
}

#[tokio::test]
async fn a_request_is_not_read_before_the_response_in_front_of_it_is_written() {
    const PAGE: usize = 1 << 20;
    let (mut client, server) = duplex(1024);
    client.write_all(TWO).await.expect("room");
    let calls = AtomicUsize::new(0);
    let service = service_fn(|_: Request<Incoming>| {
        let call = calls.fetch_add(1, Ordering::Relaxed);
        async move {
            match call {
                0 => Ok(Response::new(Full::new(Bytes::from(vec![b'x'; PAGE])))),
                _ => Err("taken"),
            }
        }
    });
    let mut connection = http1::Builder::new().serve_connection(TokioIo::new(server), service);
    let reading = async {
        let mut read_so_far = 0;
        let mut some = [0; 1000];
        while read_so_far < PAGE {
            assert_eq!(calls.load(Ordering::Relaxed), 1);
            let read = client.read(&mut some).await.expect("reads");
            read_so_far += some[..read].iter().filter(|byte| **byte == b'x').count();
        }
    };
    let (served, ()) = tokio::join!(&mut connection, reading);
    served.expect_err("the second was taken");
    assert_eq!(calls.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_body_that_hyper_says_has_ended_has_left_nothing_behind() {
    for request in [
        &b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbodyGET /2"[..],
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\nx: 1\r\n\r\nGET /2",
    ] {
        for piece in 1..request.len() {
            let (mut client, server) = duplex(1 << 16);
            let service = service_fn(async |request: Request<Incoming>| {
                let mut body = pin!(request.into_body());
                while let Some(frame) = http_body_util::BodyExt::frame(&mut body).await {
                    frame.expect("it is whole");
                }
                Err::<Response<Full<Bytes>>, _>("taken")
            });
            let mut connection = http1::Builder::new()
                .serve_connection(TokioIo::new(server), service)
                .with_upgrades();
            let sending = async {
                for piece in request.chunks(piece) {
                    client.write_all(piece).await.expect("room");
                    tokio::task::yield_now().await;
                }
            };
            let (served, ()) = tokio::join!(&mut connection, sending);
            served.expect_err("it was taken");
            let parts = connection.into_parts().expect("no upgrade");
            let mut rest = parts.read_buf.to_vec();
            drop(client);
            let mut io = parts.io.into_inner();
            io.read_to_end(&mut rest).await.expect("the end");
            assert_eq!(rest, b"GET /2", "in pieces of {piece}");
        }
    }
}

#[tokio::test]
async fn what_hyper_could_not_write_is_known() {
    let (mut client, server) = duplex(16);
    let mut io = ClientIo::new(server, (Descriptor::new(), None));
    let is_blocked: Arc<AtomicBool> = io.is_blocked();
    let mut io = pin!(io);
    let mut cx = Context::from_waker(std::task::Waker::noop());
    let mut write =
        |bytes: &[u8]| tokio::io::AsyncWrite::poll_write(Pin::new(&mut *io), &mut cx, bytes);
    assert!(matches!(write(&[0; 16]), Poll::Ready(Ok(16))));
    assert!(!is_blocked.load(Ordering::Relaxed));
    assert!(write(&[0; 16]).is_pending());
    assert!(is_blocked.load(Ordering::Relaxed));
    client.read_exact(&mut [0; 16]).await.expect("reads");
    assert!(write(&[0; 16]).is_ready());
    assert!(!is_blocked.load(Ordering::Relaxed));
}
