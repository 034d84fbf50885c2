//! What is told when the gateway starts: what it was told otherwise than by default, and what of that has no effect.

use super::given::Layers;
use super::setting::Setting;
use super::{Config, Place, Sources, known, needless, own, preset};

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
        let [flags, variables, file] = sources.top();
        let preset = preset::values(Layers(&sources.top()));
        let top = [flags, variables, file, &preset];
        let mut settings = Vec::new();
        for setting in known::ALL.iter() {
            let given = Layers(&top).given(setting);
            let told = given.filter(|given| {
                setting.name != Setting::upstream().name
                    && given.place != Place::Default
                    && Some(given.text.as_str()) != setting.default
            });
            settings.extend(told.map(|given| own::line(setting, &given.text, &given.place)));
        }
        for (route, entry) in config.routes.iter().zip(&sources.file.routes) {
            if route.settings.preset.is_some() && entry.values.get(&Setting::preset()).is_some() {
                let own = own::told(sources, entry).join(", ");
                settings.push(format!("of {}: {own}", route.name));
            }
        }
        let mut upstreams = Vec::new();
        for route in config.routes.iter().chain(&config.fallback) {
            for upstream in route.settings.upstream.iter().map(ToString::to_string) {
                if !upstreams.contains(&upstream) {
                    upstreams.push(upstream);
                }
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
