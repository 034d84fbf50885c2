//! New settings while the gateway runs: read as a whole, then put in the place of what held before.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metrics::{counter, describe_counter};

use crate::config::{Changed, Config, ListenAddress, Reread};
use crate::proxy::upstreams::Upstreams;
use crate::stack::plan::{self, Plan};
use crate::stack::router::Router;
use crate::state::State;
use crate::supervisor;

const RELOADS: &str = "sse_reloads_total";

/// Clones are the same.
#[derive(Clone)]
pub(crate) struct Reload(Arc<Shared>);

struct Shared {
    /// None where no file was read at the start.
    reread: Option<Reread>,
    router: Router,
    state: State,
    /// Where the gateway listens.
    addresses: Vec<ListenAddress>,
    now: Mutex<Now>,
}

/// What holds now.
struct Now {
    config: Config,
    /// Why the last file does not.
    failed: Option<String>,
}

impl Reload {
    pub(crate) fn new(
        reread: Option<Reread>,
        router: Router,
        state: State,
        addresses: Vec<ListenAddress>,
        config: Config,
    ) -> Self {
        describe_counter!(
            RELOADS,
            "Times at which settings were read again, by result: ok or failed."
        );
        for result in ["ok", "failed"] {
            counter!(RELOADS, "result" => result).increment(0);
        }
        let failed = None;
        Reload(Arc::new(Shared {
            reread,
            router,
            state,
            addresses,
            now: Mutex::new(Now { config, failed }),
        }))
    }

    /// Reads the file again. Streams, relays and histories stay; routes, and what is asked of requests, are as it says from the next
    /// request on.
    ///
    /// # Errors
    ///
    /// When there is no file, or it would be refused at a start. Then all stays as it is.
    pub(crate) fn reload(&self) -> Result<String, String> {
        let Some(reread) = &self.0.reread else {
            tracing::warn!("{NO_FILE}");
            return Err(NO_FILE.to_owned());
        };
        // Held, so that of two reloads the last wins as a whole.
        let mut now = self.now();
        let reloaded = self.replace(reread, &mut now);
        let result = if reloaded.is_ok() { "ok" } else { "failed" };
        counter!(RELOADS, "result" => result).increment(1);
        now.failed = reloaded.as_ref().err().cloned();
        match &reloaded {
            Ok(told) => {
                tracing::info!("{told}");
                supervisor::reloaded(told);
            }
            Err(error) => {
                tracing::error!(%error, "settings stay as they are");
                let told = format!("settings stay as they are: {}", error.replace('\n', " "));
                supervisor::reloaded(&told);
            }
        }
        reloaded
    }

    fn replace(&self, reread: &Reread, now: &mut Now) -> Result<String, String> {
        let Shared { state, router, .. } = &*self.0;
        let Changed {
            config,
            warnings,
            stay,
        } = reread.read().map_err(|error| error.to_string())?;
        let plan = Plan::new(&config, state).map_err(|error| error.to_string())?;
        plan::refuse_circles(&config, &self.0.addresses).map_err(|error| error.to_string())?;
        state.relays.use_these(plan.relays.clone());
        router.replace(plan);
        let mut told = format!("settings were read again; {} routes", config.routes.len());
        let presets = config.presets();
        if !presets.is_empty() {
            told += &format!("; presets: {}", presets.join(", "));
        }
        if !stay.is_empty() {
            let stay = stay.join(", ");
            told += &format!("; what has changed in {stay} holds from a restart on");
        }
        for warning in warnings {
            tracing::warn!("{warning}");
        }
        now.config = config;
        Ok(told)
    }

    /// The window and the deadline of a drain.
    pub(crate) fn drain_times(&self) -> (Duration, Duration) {
        let settings = &self.now().config.gateway;
        (settings.drain_window, settings.drain_deadline)
    }

    /// The upstreams of the routes, each once, if `/readyz` is to ask for them.
    pub(crate) fn upstreams(&self) -> Vec<Upstreams> {
        let now = self.now();
        let config = &now.config;
        if !config.gateway.ready_upstream {
            return Vec::new();
        }
        let routes = config.routes.iter().chain(&config.fallback);
        // All of them were built when the plan was.
        let of_routes = routes.filter_map(|route| self.0.state.upstreams(&route.settings).ok());
        let mut all: Vec<Upstreams> = Vec::new();
        for upstreams in of_routes {
            if !all.iter().any(|known| known.are(&upstreams)) {
                all.push(upstreams);
            }
        }
        all
    }

    /// Why the last file does not hold, if it does not.
    pub(crate) fn failed(&self) -> Option<String> {
        self.now().failed.clone()
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.0.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const NO_FILE: &str = "there is no file to read again: flags and variables hold until a restart; start with --config FILE";
