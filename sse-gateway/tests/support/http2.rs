//! A client of HTTP/2, with prior knowledge.

use std::net::SocketAddr;

use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// On a connection of its own.
pub(crate) async fn connect<B>(address: SocketAddr) -> SendRequest<B>
where
    B: hyper::body::Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let stream = TcpStream::connect(address).await.expect("connects");
    over(stream).await
}

/// On this connection.
pub(crate) async fn over<B>(
    io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
) -> SendRequest<B>
where
    B: hyper::body::Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let shaken = handshake(TokioExecutor::new(), TokioIo::new(io)).await;
    let (sender, connection) = shaken.expect("shakes hands");
    tokio::spawn(async move {
        // A connection that fails fails its requests.
        let _ = connection.await;
    });
    sender
}
