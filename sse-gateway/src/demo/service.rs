//! Stands in front of the gateway: the demo's own paths, and clients that can be cut.

use std::{
    error::Error,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use axum::{Router, body};
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Either;
use tower_service::Service;

use super::{
    Demo, control,
    cut::{CutBody, Cuts},
    query::parameter,
};

/// The gateway's service with the demo around it.
#[derive(Clone)]
pub(crate) struct DemoService<S> {
    control: Router,
    cuts: Cuts,
    inner: S,
}

impl Demo {
    /// Puts the demo around a service.
    pub(crate) fn around<S>(self, inner: S) -> DemoService<S> {
        let cuts = self.inner.cuts.clone();
        self.around_with(cuts, inner)
    }

    /// The same, with cuts of its own.
    pub(super) fn around_with<S>(self, cuts: Cuts, inner: S) -> DemoService<S> {
        DemoService {
            cuts,
            control: control::router(self),
            inner,
        }
    }
}

impl<S, A, B> Service<Request<A>> for DemoService<S>
where
    S: Service<Request<A>, Response = Response<B>>,
    S::Future: Send + 'static,
    A: Body<Data = Bytes> + Send + 'static,
    A::Error: Into<Box<dyn Error + Send + Sync>>,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Response = Response<Either<CutBody<B>, body::Body>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        if control::is_ours(request.uri().path()) {
            let answer = self.control.call(request);
            return Box::pin(async {
                let Ok(response) = answer.await;
                Ok(response.map(Either::Right))
            });
        }
        let client = parameter(request.uri().query(), "client");
        let is_cut = client.map(|client| self.cuts.enter(client));
        let response = self.inner.call(request);
        Box::pin(async {
            let response = response.await?;
            Ok(response.map(|body| Either::Left(CutBody::new(body, is_cut))))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::net::SocketAddr;
    use std::time::Duration;

    use http_body_util::Channel;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
    };

    use super::*;
    use crate::descriptors::For;
    use crate::listener::{self, ClientBody, Tcp, Terms};
    use crate::shutdown::Shutdown;
    use crate::workers::Workers;

    /// Answers with one event and then nothing, for ever.
    #[derive(Clone)]
    struct Endless;

    impl Service<Request<ClientBody>> for Endless {
        type Response = Response<Channel<Bytes, Infallible>>;
        type Error = Infallible;
        type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Request<ClientBody>) -> Self::Future {
            let (mut sender, body) = Channel::new(1);
            tokio::spawn(async move {
                let _ = sender.send_data(Bytes::from("data: 1\n\n")).await;
                std::future::pending::<()>().await;
            });
            Box::pin(async { Ok(Response::new(body)) })
        }
    }

    #[tokio::test]
    async fn a_cut_closes_the_connection_in_the_middle_of_its_response() {
        let demo = Demo::start().await.expect("a free port");
        let service = demo.clone().around(Endless);
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        let minute = Duration::from_secs(60);
        let (listener, addr) = Tcp::bind(free, minute, "--listen").expect("a free port");
        let server = listener::start(
            Terms::new(For::Clients, minute),
            listener,
            move || service.clone(),
            Workers::here(),
            Shutdown::new(),
        );
        tokio::spawn(server.await);

        let mut socket = TcpStream::connect(addr).await.expect("it listens");
        let request = b"GET /news?client=a HTTP/1.1\r\nhost: demo\r\n\r\n";
        socket.write_all(request).await.expect("it is read");
        let mut got = Vec::new();
        while !got.ends_with(b"data: 1\n\n\r\n") {
            assert_ne!(socket.read_buf(&mut got).await.expect("bytes"), 0);
        }
        assert_eq!(demo.inner.cuts.cut("a"), 1);
        let mut rest = Vec::new();
        socket.read_to_end(&mut rest).await.expect("the end");
        assert_eq!(rest, b"", "no last chunk: the response has not ended");
    }
}
