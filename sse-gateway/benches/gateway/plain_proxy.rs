//! A plain reverse proxy: hyper's server, hyper-util's client, and nothing else. It is what `sse-gateway` is measured
//! against, so it is written the way one would write it.
//!
//! What it does: pooled connections to one upstream, no Nagle on either side, hop-by-hop fields taken off, 502 when the
//! upstream fails before its head. What it leaves out: everything a gateway needs beyond that, such as timeouts,
//! `X-Forwarded-For`, upgrades, logs, metrics and a way to end.

use std::convert::Infallible;

use bytes::Bytes;
use http::{
    HeaderMap, Request, Response, StatusCode, Uri,
    header::{self, HeaderName},
    uri::{Authority, PathAndQuery, Scheme},
};
use http_body_util::{Either, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use tokio::net::{TcpListener, TcpStream};

use crate::{Error, parts::process::end_with_the_conductor};

#[derive(Clone)]
struct Upstream {
    authority: Authority,
    client: Client<HttpConnector, Incoming>,
}

#[tokio::main]
pub(crate) async fn run(authority: &str) -> Result<(), Error> {
    end_with_the_conductor();
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client = Client::builder(TokioExecutor::new()).build(connector);
    let upstream = Upstream {
        authority: authority.parse()?,
        client,
    };

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    eprintln!("listening on http://{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(serve(stream, upstream.clone()));
    }
}

async fn serve(stream: TcpStream, upstream: Upstream) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let service = service_fn(|request| upstream.forward(request));
    // An error here is a client that left, or one that does not speak HTTP.
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

impl Upstream {
    async fn forward(
        &self,
        mut request: Request<Incoming>,
    ) -> Result<Response<Either<Incoming, Full<Bytes>>>, Infallible> {
        *request.uri_mut() = self.uri_of(request.uri());
        remove_hop_by_hop(request.headers_mut());
        match self.client.request(request).await {
            Ok(mut response) => {
                remove_hop_by_hop(response.headers_mut());
                Ok(response.map(Either::Left))
            }
            Err(error) => {
                eprintln!("upstream: {error}");
                let mut response = Response::new(Either::Right(Full::from("bad gateway\n")));
                *response.status_mut() = StatusCode::BAD_GATEWAY;
                Ok(response)
            }
        }
    }

    fn uri_of(&self, requested: &Uri) -> Uri {
        let root = PathAndQuery::from_static("/");
        let path = requested.path_and_query().cloned().unwrap_or(root);
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(Scheme::HTTP);
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(path);
        Uri::from_parts(parts).expect("all three parts are set")
    }
}

/// RFC 9110, section 7.6.1: what `Connection` names, and the fields that were never meant to travel further.
fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in [
        header::CONNECTION,
        header::TE,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
    ] {
        headers.remove(name);
    }
    headers.remove("keep-alive");
    headers.remove("proxy-connection");
}
