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
use crate::policy::limits::Counts;
use crate::proxy::upstream::{Timeouts, UpstreamClient};
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
    timeouts: Timeouts,
    /// Those of one address share its connections, on whatever routes.
    upstreams: Arc<Mutex<HashMap<(Upstream, UpstreamTls), UpstreamClient>>>,
}

impl State {
    pub(crate) fn new(config: &Config, store: Option<RedisStore>) -> Self {
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
            timeouts: Timeouts {
                connect: config.gateway.connect_timeout,
            },
            upstreams: Arc::default(),
        }
    }

    /// The connections to an upstream.
    ///
    /// # Errors
    ///
    /// When it cannot be one.
    pub(crate) fn upstream(&self, settings: &RouteSettings) -> Result<UpstreamClient, Error> {
        let key = (settings.upstream.clone(), settings.upstream_tls());
        let mut all = self
            .upstreams
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = all.get(&key) {
            return Ok(client.clone());
        }
        let (upstream, tls) = &key;
        let client = UpstreamClient::new(upstream.clone(), tls, self.timeouts)
            .map_err(|error| Error::at("upstream", error))?;
        all.insert(key, client.clone());
        Ok(client)
    }
}
