//! An upstream that is the gateway itself, or leads back to it.

use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;

use crate::gateway::{Gateway, refusal};
use crate::support::admin::upstream_requests;
use crate::upstream;
use crate::wire::{Wire, get};

#[test]
fn an_upstream_that_is_the_gateway_itself_is_refused_at_the_start() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    let address = listener.local_addr().expect("bound");
    drop(listener);
    let upstream = format!("http://localhost:{}", address.port());
    let told = refusal(&address.to_string(), "exec", &upstream);
    assert!(told.contains("is the gateway itself"), "{told}");
}

/// A gateway whose upstream hands its connections on to the gateway.
async fn circle(flags: &[&str]) -> Gateway {
    let (listener, address) = upstream::bind().await;
    let gateway = Gateway::with_admin(&format!("http://{address}"), flags);
    let front = gateway.address;
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.expect("accepts");
            tokio::spawn(async move {
                let mut back = TcpStream::connect(front).await.expect("connects");
                let _ = copy_bidirectional(&mut stream, &mut back).await;
            });
        }
    });
    gateway
}

#[tokio::test]
async fn a_request_that_comes_back_is_508_at_once() {
    for flags in [&[][..], &["--share", "on"], &["--resume", "on"]] {
        let gateway = circle(flags).await;
        for accept in ["text/event-stream", "*/*"] {
            for _ in 0..5 {
                let mut client = Wire::connect(gateway.address).await;
                let request = format!("GET / HTTP/1.1\r\nHost: h\r\nAccept: {accept}\r\n\r\n");
                client.send(request).await;
                let head = client.head().await;
                assert!(head.starts_with("HTTP/1.1 508 "), "{flags:?}: {head}");
                client.until("leads back to it.\n").await;
            }
        }
        let log = gateway.log_with("correct --upstream");
        assert_eq!(log.matches("correct --upstream").count(), 1, "{log}");
        assert_eq!(upstream_requests(&gateway).await, 10);
    }
}

#[tokio::test]
async fn gateways_may_stand_behind_one_another() {
    let url = upstream::http1(|_| async { hyper::Response::new(upstream::full("hello")) }).await;
    let inner = Gateway::start(&url);
    let outer = Gateway::start(&format!("http://{}", inner.address));
    let got = get(outer.address, "/").await;
    assert!(got.ends_with("hello"), "{got}");
}
