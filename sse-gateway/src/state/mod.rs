//! What stays while the gateway lives, whatever its settings become.

pub(crate) mod relays;
pub(crate) mod store;
pub(crate) mod streams;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tower_sse::stage::DrainHandle;
use tower_sse::store::RedisStore;

use crate::config::upstream::Upstream;
use crate::config::upstream_tls::UpstreamTls;
use crate::config::{Config, Error, RouteSettings};
use crate::otel::Tracer;
use crate::policy::limits::Counts;
use crate::proxy::upstream::Timeouts;
use crate::proxy::upstreams::{Member, Upstreams};
use crate::shutdown::Shutdown;
use crate::state::relays::Relays;
use crate::state::streams::Streams;

/// Clones are handles of the same.
#[derive(Clone)]
pub(crate) struct State {
    pub(crate) shutdown: Shutdown,
    pub(crate) drain: DrainHandle,
    pub(crate) streams: Streams,
    pub(crate) relays: Relays,
    pub(crate) counts: Counts,
    /// None where requests have no spans.
    pub(crate) tracer: Option<Tracer>,
    timeouts: Timeouts,
    /// Those of one address share its connections, on whatever routes.
    upstreams: Arc<Mutex<HashMap<(Upstream, UpstreamTls), Member>>>,
}

impl State {
    pub(crate) fn new(config: &Config, store: Option<RedisStore>, tracer: Option<Tracer>) -> Self {
        State {
            shutdown: Shutdown::new(),
            drain: DrainHandle::new(),
            streams: Streams::default(),
            relays: Relays::new(
                config.gateway.history_budget,
                config.gateway.secret_file.clone(),
                store,
            ),
            counts: Counts::default(),
            tracer,
            timeouts: Timeouts {
                connect: config.gateway.connect_timeout,
            },
            upstreams: Arc::default(),
        }
    }

    /// The connections to the upstreams of a route.
    ///
    /// # Errors
    ///
    /// When one cannot be one.
    pub(crate) fn upstreams(&self, settings: &RouteSettings) -> Result<Upstreams, Error> {
        let tls = settings.upstream_tls();
        let members = settings.upstream.iter();
        let members = members.map(|upstream| self.upstream((upstream.clone(), tls.clone())));
        Ok(Upstreams::new(members.collect::<Result<_, _>>()?))
    }

    fn upstream(&self, key: (Upstream, UpstreamTls)) -> Result<Member, Error> {
        let mut all = self
            .upstreams
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(member) = all.get(&key) {
            return Ok(member.clone());
        }
        let (upstream, tls) = &key;
        let member = Member::to(upstream, tls, self.timeouts)
            .map_err(|error| Error::at("upstream", error))?;
        all.insert(key, member.clone());
        Ok(member)
    }
}
