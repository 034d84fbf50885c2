//! Upstreams and clients made with hyper.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::rt::{Read, Write};
use hyper::service::service_fn;
use hyper::{Request, Response, client, server};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};

pub(crate) type Body = BoxBody<Bytes, Infallible>;

pub(crate) fn full(text: impl Into<Bytes>) -> Body {
    Full::new(text.into()).boxed()
}

pub(crate) async fn bind() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = listener.local_addr().expect("bound");
    (listener, address)
}

/// Serves HTTP/1.1 on one connection.
pub(crate) async fn serve_http1<I, F, R>(io: I, handler: F)
where
    I: Read + Write + Unpin + Send + 'static,
    F: Fn(Request<Incoming>) -> R + Send + Clone + 'static,
    R: Future<Output = Response<Body>> + Send + 'static,
{
    let service = service_fn(move |request| {
        let response = handler(request);
        async move { Ok::<_, Infallible>(response.await) }
    });
    let _ = server::conn::http1::Builder::new()
        .serve_connection(io, service)
        .await;
}

/// An HTTP/1.1 upstream; gives its URL.
pub(crate) async fn http1<F, R>(handler: F) -> String
where
    F: Fn(Request<Incoming>) -> R + Send + Clone + 'static,
    R: Future<Output = Response<Body>> + Send + 'static,
{
    let (listener, address) = bind().await;
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.expect("accepts");
            tokio::spawn(serve_http1(TokioIo::new(stream), handler.clone()));
        }
    });
    format!("http://{address}")
}

/// An HTTP/2 upstream with prior knowledge that allows so many streams a connection.
pub(crate) async fn h2c<F, R>(max_streams: u32, handler: F) -> String
where
    F: Fn(Request<Incoming>) -> R + Send + Clone + 'static,
    R: Future<Output = Response<Body>> + Send + 'static,
{
    let (listener, address) = bind().await;
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.expect("accepts");
            let handler = handler.clone();
            let service = service_fn(move |request| {
                let response = handler(request);
                async move { Ok::<_, Infallible>(response.await) }
            });
            let connection = server::conn::http2::Builder::new(TokioExecutor::new())
                .max_concurrent_streams(max_streams)
                .serve_connection(TokioIo::new(stream), service);
            tokio::spawn(async move {
                let _ = connection.await;
            });
        }
    });
    format!("h2c://{address}")
}

/// A client on an HTTP/1.1 connection of its own.
pub(crate) async fn client1<B>(address: SocketAddr) -> client::conn::http1::SendRequest<B>
where
    B: hyper::body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let stream = TcpStream::connect(address).await.expect("connects");
    let (sender, connection) = client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .expect("shakes hands");
    tokio::spawn(async move {
        let _ = connection.await;
    });
    sender
}
