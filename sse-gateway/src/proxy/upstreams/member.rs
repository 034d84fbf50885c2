//! One of the upstreams: its connections, what is open there, and whether it is there.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};
use tokio::time::Instant;

use crate::config::upstream::Upstream;
use crate::config::upstream_tls::UpstreamTls;
use crate::log::limiter;
use crate::proxy::aside::Aside;
use crate::proxy::failure::Failure;
use crate::proxy::upstream::{Timeouts, UpstreamClient};

const REQUESTS: &str = "sse_upstream_requests_total";
const OPEN: &str = "sse_upstream_open_requests";
const ASIDE: &str = "sse_upstream_set_aside";

/// An upstream, on whatever routes. Clones are the same.
#[derive(Clone)]
pub(crate) struct Member(Arc<Shared>);

struct Shared {
    name: Arc<str>,
    client: UpstreamClient,
    open: AtomicUsize,
    aside: Aside,
    answered: Counter,
    failed: Counter,
    open_now: Gauge,
    is_aside: Gauge,
}

impl Member {
    /// # Errors
    ///
    /// As for [`UpstreamClient::new`].
    pub(crate) fn to(
        upstream: &Upstream,
        tls: &UpstreamTls,
        timeouts: Timeouts,
    ) -> Result<Self, String> {
        describe_counter!(
            REQUESTS,
            "Requests that one upstream was asked, by whether a response head came."
        );
        describe_gauge!(OPEN, "Requests and streams that one upstream has open.");
        describe_gauge!(
            ASIDE,
            "1 while one of several upstreams is left alone, since it could not be reached."
        );
        let name: Arc<str> = upstream.to_string().into();
        let requests = |result: &'static str| counter!(REQUESTS, "upstream" => name.to_string(), "result" => result);
        let member = Member(Arc::new(Shared {
            client: UpstreamClient::new(upstream.clone(), tls, timeouts)?,
            open: AtomicUsize::new(0),
            aside: Aside::default(),
            answered: requests("ok"),
            failed: requests("failed"),
            open_now: gauge!(OPEN, "upstream" => name.to_string()),
            is_aside: gauge!(ASIDE, "upstream" => name.to_string()),
            name,
        }));
        // A rate needs a value from before the first time.
        member.0.answered.increment(0);
        member.0.failed.increment(0);
        member.0.open_now.set(0);
        member.0.is_aside.set(0);
        Ok(member)
    }

    pub(super) fn client(&self) -> &UpstreamClient {
        &self.0.client
    }

    pub(crate) fn name(&self) -> Arc<str> {
        Arc::clone(&self.0.name)
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    pub(super) fn aside(&self) -> &Aside {
        &self.0.aside
    }

    /// Requests and streams that are open there.
    pub(super) fn open(&self) -> usize {
        self.0.open.load(Ordering::Relaxed)
    }

    pub(super) fn ask(&self) -> Asked {
        self.0.open.fetch_add(1, Ordering::Relaxed);
        self.0.open_now.increment(1);
        Asked(self.clone())
    }
}

/// Which of several upstreams has answered: an extension of its response, for the log.
#[derive(Clone)]
pub(crate) struct AnsweredBy(pub(crate) Arc<str>);

/// An upstream that is asked, or whose response is read: counted there until this is dropped.
pub(crate) struct Asked(Member);

impl Asked {
    pub(crate) fn member(&self) -> &Member {
        &self.0
    }

    pub(crate) fn client(&self) -> &UpstreamClient {
        self.0.client()
    }

    #[cfg(test)]
    pub(super) fn name(&self) -> Arc<str> {
        self.0.name()
    }

    /// A response head has come.
    pub(crate) fn answered(&self) {
        let Shared {
            name,
            answered,
            aside,
            is_aside,
            ..
        } = &*self.0.0;
        answered.increment(1);
        if aside.unset() {
            is_aside.set(0);
            tracing::info!(upstream = &**name, "the upstream is there again");
        }
    }

    /// No response head has come.
    pub(crate) fn not_answered(&self) {
        self.0.0.failed.increment(1);
    }

    /// Leaves it alone for a while, since there are others.
    pub(crate) fn failed(&self, failure: &Failure) {
        let Shared {
            name,
            aside,
            is_aside,
            ..
        } = &*self.0.0;
        let Some(time) = aside.set(Instant::now()) else {
            return;
        };
        is_aside.set(1);
        let reason = failure.kind().label();
        if let Some(suppressed) = self.client().warnings().pass("set aside") {
            let (seconds, suppressed) = (time.as_secs(), limiter::told(suppressed));
            tracing::warn!(reason, upstream = &**name, seconds, error = %failure, suppressed, "the upstream is left alone for a while");
        }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.0.0.open.fetch_sub(1, Ordering::Relaxed);
        self.0.0.open_now.decrement(1);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use super::*;

    pub(crate) const TIMEOUTS: Timeouts = Timeouts {
        connect: Duration::from_secs(5),
    };
}
