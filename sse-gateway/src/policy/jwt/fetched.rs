//! Keys that another service publishes as a key set (RFC 7517, section 5).

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use http::header::{ACCEPT, HOST};
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Request, StatusCode, Version};
use http_body_util::{BodyExt, Limited};
use tokio::time::{Instant, timeout};

use crate::config::jwt_keys::{Key, published};
use crate::config::upstream_tls::UpstreamTls;
use crate::config::{Error, ServiceUrl};
use crate::log::limiter;
use crate::proxy::request_body::RequestBody;
use crate::proxy::upstream::{Timeouts, UpstreamClient};
use crate::proxy::via;

/// How old keys may be before they are fetched again.
const FRESH: Duration = Duration::from_secs(5 * 60);
/// A token can name any key, so for one that is not known keys are fetched no more often than this.
const AGAIN: Duration = Duration::from_secs(10);
/// The same where there are none.
const AGAIN_WITHOUT: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_secs(5);
const MOST_BYTES: usize = 1024 * 1024;

/// Keys that another service publishes. They hold until there are others, also where the service does not answer.
pub(super) struct KeyUrl {
    client: UpstreamClient,
    target: PathAndQuery,
    now: Mutex<Now>,
    /// Held by who fetches.
    fetching: tokio::sync::Mutex<()>,
}

static ALL: LazyLock<Mutex<HashMap<ServiceUrl, Weak<KeyUrl>>>> = LazyLock::new(Mutex::default);

#[derive(Default)]
struct Now {
    keys: Option<Arc<[Key]>>,
    /// When these came.
    fetched: Option<Instant>,
    /// When they were asked for last.
    asked: Option<Instant>,
    /// When the answer to that came, or none.
    ended: Option<Instant>,
    /// When they were asked for last for a token whose key was not among them.
    looked: Option<Instant>,
}

impl KeyUrl {
    /// # Errors
    ///
    /// When the platform trusts nobody, and the service is to be spoken to over TLS.
    pub(super) fn new(url: &ServiceUrl) -> Result<Arc<Self>, Error> {
        let mut all = Self::known(url);
        if let Some(known) = all.get(url).and_then(Weak::upgrade) {
            return Ok(known);
        }
        let timeouts = Timeouts { connect: TIMEOUT };
        let client = UpstreamClient::new(url.server.clone(), &UpstreamTls::default(), timeouts)
            .map_err(|error| Error::at("jwt.keys", error))?;
        let keys = Arc::new(KeyUrl {
            client,
            target: url.target.clone(),
            now: Mutex::default(),
            fetching: tokio::sync::Mutex::default(),
        });
        all.insert(url.clone(), Arc::downgrade(&keys));
        Ok(keys)
    }

    pub(super) fn keys(&self) -> Arc<[Key]> {
        self.now().keys.clone().unwrap_or_default()
    }

    /// Whether there are keys; waits for the first. Old ones are fetched again, for which nobody waits.
    pub(super) async fn ready(self: &Arc<Self>) -> bool {
        let (is_there, is_old) = {
            let now = self.now();
            let is_old = now.fetched.is_none_or(|fetched| fetched.elapsed() >= FRESH);
            (now.keys.is_some(), is_old)
        };
        if !is_there {
            return self
                .fetch_again(|now| since(now.asked, AGAIN_WITHOUT))
                .await;
        }
        if is_old {
            let keys = self.clone();
            let again = |now: &mut Now| since(now.asked, AGAIN);
            tokio::spawn(async move { keys.fetch_again(again).await });
        }
        true
    }

    /// Fetches them for a token whose key is not among them, unless that was done a moment ago. Whether others may have come.
    pub(super) async fn newer(&self) -> bool {
        let again = |now: &mut Now| {
            let is_time = since(now.looked, AGAIN);
            if is_time {
                now.looked = Some(Instant::now());
            }
            is_time
        };
        self.fetch_again(again).await
    }

    async fn fetch_again(&self, is_time: impl FnOnce(&mut Now) -> bool) -> bool {
        let came = Instant::now();
        let _fetching = self.fetching.lock().await;
        {
            let mut now = self.now();
            // Who has waited here for another to fetch has what that has got.
            if now.ended.is_some_and(|ended| ended >= came) {
                return now.fetched.is_some_and(|fetched| fetched >= came);
            }
            if !is_time(&mut now) {
                return false;
            }
            now.asked = Some(Instant::now());
        }
        let fetched = timeout(TIMEOUT, self.fetch()).await;
        let fetched = fetched.unwrap_or_else(|_| Err(format!("no answer within {TIMEOUT:?}")));
        let mut now = self.now();
        now.ended = Some(Instant::now());
        match fetched {
            Ok(keys) => {
                now.keys = Some(keys.into());
                now.fetched = now.ended;
                true
            }
            Err(why) => {
                if let Some(suppressed) = self.client.warnings().pass("jwt.keys") {
                    let (service, suppressed) = (self.client.upstream(), limiter::told(suppressed));
                    tracing::warn!(%service, error = why, suppressed, "the keys of tokens stay as they are");
                }
                false
            }
        }
    }

    async fn fetch(&self) -> Result<Vec<Key>, String> {
        let mut request = Request::new(RequestBody::empty());
        *request.method_mut() = Method::GET;
        *request.uri_mut() = self.target.clone().into();
        let fields = request.headers_mut();
        fields.insert(HOST, self.client.host().clone());
        fields.insert(ACCEPT, HeaderValue::from_static("application/json"));
        via::add(fields, Version::HTTP_11);
        let answer = self.client.send(request, None).await;
        let (head, body) = answer
            .map_err(|none| none.failure.to_string())?
            .into_parts();
        if head.status != StatusCode::OK {
            return Err(format!("the answer is {}", head.status));
        }
        let body = Limited::new(body, MOST_BYTES).collect().await;
        let body = body.map_err(|error| format!("the answer cannot be read: {error}"))?;
        published(&body.to_bytes()).map_err(|why| format!("the answer {why}"))
    }

    /// The one of this URL, if a plan has it: what was fetched outlasts a reload.
    fn known(url: &ServiceUrl) -> MutexGuard<'static, HashMap<ServiceUrl, Weak<Self>>> {
        let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|known, keys| known == url || keys.strong_count() > 0);
        all
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn since(last: Option<Instant>, time: Duration) -> bool {
    last.is_none_or(|last| last.elapsed() >= time)
}
