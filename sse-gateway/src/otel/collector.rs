//! What takes the spans, by the client that upstreams are asked with.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::HOST;
use http::uri::PathAndQuery;
use http::{Request, Response, Version};
use http_body_util::{BodyExt, Limited};
use opentelemetry_http::{HttpClient, HttpError};
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::counted::Counted;
use super::variables::Variables;
use crate::proxy::request_body::RequestBody;
use crate::proxy::upstream::{Timeouts, UpstreamClient};

const CONNECT: Duration = Duration::from_secs(5);
/// Of an answer. It says at most why some spans are not taken.
const MOST_BYTES: usize = 64 * 1024;

/// Clones share the connections.
#[derive(Clone)]
pub(super) struct Collector {
    client: UpstreamClient,
    target: PathAndQuery,
    timeout: Duration,
    /// Where the connections are. The thread that exports has none.
    runtime: Handle,
    counted: Arc<Counted>,
}

impl Collector {
    /// # Errors
    ///
    /// When it is to be spoken to over TLS, and a file cannot be read or the platform trusts nobody.
    pub(super) fn new(variables: &Variables, counted: Arc<Counted>) -> Result<Self, String> {
        let timeouts = Timeouts {
            connect: CONNECT.min(variables.timeout),
        };
        let server = variables.url.server.clone();
        Ok(Collector {
            client: UpstreamClient::new(server, &variables.tls, timeouts)?,
            target: variables.url.target.clone(),
            timeout: variables.timeout,
            runtime: Handle::current(),
            counted,
        })
    }

    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, String> {
        let mut request = request.map(RequestBody::from);
        *request.uri_mut() = self.target.clone().into();
        *request.version_mut() = Version::HTTP_11;
        let host = self.client.host().clone();
        request.headers_mut().insert(HOST, host);
        let answer = self.client.send(request, None).await;
        let answer = answer.map_err(|none| none.failure.to_string())?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, MOST_BYTES).collect().await;
        let body = body.map_err(|error| format!("the answer cannot be read: {error}"))?;
        Ok(Response::from_parts(head, body.to_bytes()))
    }
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let collector = self.clone();
        let sent = self.runtime.spawn(async move {
            let sent = timeout(collector.timeout, collector.send(request)).await;
            sent.unwrap_or_else(|_| Err(format!("no answer within {:?}", collector.timeout)))
        });
        let answer = sent.await.unwrap_or_else(|error| Err(error.to_string()));
        self.counted.note(match &answer {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(format!("the answer is {}", answer.status())),
            Err(error) => Some(error.clone()),
        });
        answer.map_err(Into::into)
    }
}

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let server = self.client.upstream();
        f.debug_tuple("Collector").field(server).finish()
    }
}
