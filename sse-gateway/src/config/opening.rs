//! What is told when the gateway starts: what it was told otherwise than by default, and what of that has no effect.

use super::given::Layers;
use super::known::{self, Known as _};
use super::needless;
use super::{Config, Place, Sources};

/// The first lines of the log.
#[derive(Clone, Debug, Default)]
pub(crate) struct Opening {
    /// The upstreams, each once.
    pub(crate) upstream: String,
    /// `key value`, with commas between them.
    pub(crate) settings: String,
    pub(crate) routes: usize,
    pub(crate) warnings: Vec<String>,
}

impl Opening {
    pub(crate) fn of(sources: &Sources, config: &Config) -> Self {
        let top = sources.top();
        let mut settings = Vec::new();
        for setting in known::ALL {
            let given = Layers(&top).given(setting);
            let told = given.filter(|given| {
                setting.key() != known::UPSTREAM.key()
                    && given.place != Place::Default
                    && Some(given.text.as_str()) != setting.default()
            });
            settings.extend(told.map(|given| format!("{} {}", setting.key(), given.text)));
        }
        let mut upstreams = Vec::new();
        for route in config.routes.iter().chain(&config.fallback) {
            if !upstreams.contains(&route.upstream.as_str()) {
                upstreams.push(route.upstream.as_str());
            }
        }
        Opening {
            upstream: upstreams.join(", "),
            settings: settings.join(", "),
            routes: config.routes.len(),
            warnings: needless::warnings(sources, config),
        }
    }

    /// Writes them.
    pub(crate) fn log(&self) {
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            upstream = self.upstream,
            routes = self.routes,
            settings = self.settings,
            "sse-gateway starts"
        );
        for warning in &self.warnings {
            tracing::warn!("{warning}");
        }
    }
}
