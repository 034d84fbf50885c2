//! Another service decides who may read: it is asked about each request, before the upstream is.
//!
//! It is told what a request asks for, and who asks, in the fields that other proxies use for that. It is told nothing else: whatever
//! its answer may rest on is in the key by which the answer is kept.

mod answers;
mod layer;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_TYPE, COOKIE, HOST,
    LOCATION, ORIGIN, RETRY_AFTER, SET_COOKIE, WWW_AUTHENTICATE,
};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, request};
use http_body_util::{BodyExt, Limited};
use ring::digest;
use tokio::time::timeout;

use crate::client::address::ClientAddress;
use crate::client::claims::{X_FORWARDED_FOR, X_FORWARDED_PROTO};
use crate::config::upstream_tls::UpstreamTls;
use crate::config::{Error, RouteSettings};
use crate::fields::remove_all;
use crate::log::limiter;
use crate::proxy::request_body::RequestBody;
use crate::proxy::upstream::{Timeouts, UpstreamBody, UpstreamClient};
use crate::proxy::via;

use answers::{Answers, Key};
pub(crate) use layer::ForwardAuth;

const X_FORWARDED_METHOD: HeaderName = HeaderName::from_static("x-forwarded-method");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_URI: HeaderName = HeaderName::from_static("x-forwarded-uri");

/// So much of a refusal is passed on.
const MOST_BODY: usize = 64 * 1024;

/// What of a refusal is passed on beside its status and body.
const PASSED: [HeaderName; 7] = [
    CONTENT_TYPE,
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
    WWW_AUTHENTICATE,
    LOCATION,
    RETRY_AFTER,
    SET_COOKIE,
];

/// A service that decides who may read.
pub(super) struct Decider {
    client: UpstreamClient,
    target: PathAndQuery,
    /// Fields of its answer that go upstream.
    gives: Vec<HeaderName>,
    /// Fields of a request that it is sent beside credentials.
    asks: Vec<HeaderName>,
    timeout: Duration,
    answers: Answers,
}

impl fmt::Debug for Decider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decider").finish_non_exhaustive()
    }
}

/// What it has decided.
#[derive(Debug)]
pub(super) enum Verdict {
    /// The request goes upstream, with these fields.
    In(HeaderMap),
    Out(StatusCode, HeaderMap, Bytes),
    /// It did not decide.
    None,
}

impl Verdict {
    /// Whether nobody else is to have it: whoever is given the same cookie is in the same session.
    fn is_for_one(&self) -> bool {
        matches!(self, Verdict::Out(_, fields, _) if fields.contains_key(SET_COOKIE))
    }
}

impl Decider {
    /// None where nobody is asked.
    ///
    /// # Errors
    ///
    /// When the platform trusts nobody, and it is to be spoken to over TLS.
    pub(super) fn of(settings: &RouteSettings) -> Result<Option<Arc<Self>>, Error> {
        let Some(url) = &settings.forward_auth_url else {
            return Ok(None);
        };
        let timeouts = Timeouts {
            connect: settings.forward_auth_timeout,
        };
        let client = UpstreamClient::new(url.server.clone(), &UpstreamTls::default(), timeouts)
            .map_err(|error| Error::at("forward_auth.url", error))?;
        Ok(Some(Arc::new(Decider {
            client,
            target: url.target.clone(),
            gives: settings.forward_auth_fields.clone(),
            asks: settings.forward_auth_asks.clone(),
            timeout: settings.forward_auth_timeout,
            answers: Answers::kept_for(settings.forward_auth_cache),
        })))
    }

    /// Decides on a request, and takes out what its client says in the fields that are the service's.
    pub(super) async fn decide(&self, parts: &mut request::Parts) -> Arc<Verdict> {
        let asked = self.question(parts);
        remove_all(&mut parts.headers, self.gives.iter());
        let key = key(&asked);
        let ask = || self.ask(asked.clone());
        self.answers.get(key, ask).await
    }

    fn question(&self, parts: &request::Parts) -> HeaderMap {
        let mut asked = HeaderMap::new();
        let own = [AUTHORIZATION, COOKIE, ORIGIN, X_FORWARDED_PROTO];
        for name in own.iter().chain(&self.asks) {
            if asked.contains_key(name) {
                continue;
            }
            for value in parts.headers.get_all(name) {
                asked.append(name, value.clone());
            }
        }
        let mut say = |name: HeaderName, text: &str| {
            // A method and a target are fit for a field.
            if let Ok(value) = HeaderValue::from_str(text) {
                asked.insert(name, value);
            }
        };
        say(X_FORWARDED_METHOD, parts.method.as_str());
        let target = parts.uri.path_and_query().map_or("/", PathAndQuery::as_str);
        say(X_FORWARDED_URI, target);
        if let Some(address) = parts.extensions.get::<ClientAddress>() {
            say(X_FORWARDED_FOR, &address.client.to_string());
        }
        let host = parts.headers.get(X_FORWARDED_HOST);
        if let Some(host) = host.or_else(|| parts.headers.get(HOST)) {
            asked.insert(X_FORWARDED_HOST, host.clone());
        }
        asked
            .entry(X_FORWARDED_PROTO)
            .or_insert(HeaderValue::from_static("http"));
        // One that leads back here is found out.
        for value in parts.headers.get_all(http::header::VIA) {
            asked.append(http::header::VIA, value.clone());
        }
        asked
    }

    async fn ask(&self, mut fields: HeaderMap) -> Verdict {
        via::add(&mut fields, http::Version::HTTP_11);
        fields.insert(HOST, self.client.host().clone());
        let mut request = Request::new(RequestBody::empty());
        *request.method_mut() = Method::GET;
        *request.uri_mut() = self.target.clone().into();
        *request.headers_mut() = fields;
        let answered = async {
            let answer = self.client.send(request, None).await;
            let answer = answer.map_err(|none| none.failure.to_string())?;
            self.read(answer).await
        };
        let why = match timeout(self.timeout, answered).await {
            Ok(Ok(verdict)) => return verdict,
            Ok(Err(why)) => why,
            Err(_) => format!("no answer within {:?}", self.timeout),
        };
        if let Some(suppressed) = self.client.warnings().pass("forward_auth") {
            let (service, suppressed) = (self.client.upstream(), limiter::told(suppressed));
            tracing::warn!(%service, error = why, suppressed, "nobody decides who may read");
        }
        Verdict::None
    }

    async fn read(&self, answer: http::Response<UpstreamBody>) -> Result<Verdict, String> {
        let (head, body) = answer.into_parts();
        let status = head.status;
        if status.is_server_error() || status.is_informational() {
            return Err(format!("the answer is {status}"));
        }
        // Read also where it is of no use, so that the connection is.
        let body = Limited::new(body, MOST_BODY).collect().await;
        let mut fields = HeaderMap::new();
        let names = match status.is_success() {
            true => &self.gives[..],
            false => &PASSED,
        };
        for name in names {
            for value in head.headers.get_all(name) {
                fields.append(name, value.clone());
            }
        }
        if status.is_success() {
            return Ok(Verdict::In(fields));
        }
        fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        let body = body.map_err(|error| format!("its {status} cannot be passed on: {error}"))?;
        Ok(Verdict::Out(status, fields, body.to_bytes()))
    }
}

/// All of a question.
fn key(fields: &HeaderMap) -> Key {
    let mut hash = digest::Context::new(&digest::SHA256);
    let mut lines: Vec<_> = fields
        .iter()
        .map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()))
        .collect();
    // Stable: values of one name stay in their order.
    lines.sort_by_key(|(name, _)| *name);
    for part in lines.iter().flat_map(|(name, value)| [name, value]) {
        hash.update(&(part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finish().as_ref().to_vec()
}
