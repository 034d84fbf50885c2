//! Reading again what may change while the gateway runs: its file.

use std::path::PathBuf;

use super::given::Layers;
use super::listen_entry::ListenEntry;
use super::setting::{Scope, Setting};
use super::{Config, Error, File, Sources, known};

/// What the gateway was started with.
#[derive(Clone, Debug)]
pub(crate) struct Reread {
    sources: Sources,
    file: PathBuf,
}

/// What the file leads to now.
pub(crate) struct Changed {
    pub(crate) config: Config,
    /// Why what was set has no effect where it stands.
    pub(crate) warnings: Vec<String>,
    /// Settings that have changed and cannot do so before a restart.
    pub(crate) stay: Vec<String>,
}

/// What holds for the whole gateway and may change with it running. What holds for a route may anyway.
const MAY_CHANGE: [&str; 9] = [
    "max_rate_per_client",
    "max_connection_rate_per_client",
    "access_log",
    "ready_upstream",
    "trusted_proxy",
    "drain_window",
    "drain_deadline",
    "max_streams",
    "max_streams_per_client",
];

impl Reread {
    /// `sources` are what holds now, and `file` where a part of it was read.
    pub(crate) fn new(sources: Sources, file: PathBuf) -> Self {
        Reread { sources, file }
    }

    /// Flags and variables hold as they did at the start.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or would be refused at a start.
    pub(crate) fn read(&self) -> Result<Changed, Error> {
        let sources = Sources {
            file: File::read(&self.file)?,
            ..self.sources.clone()
        };
        let config = Config::resolve(&sources)?;
        let (before, now) = (self.sources.top(), sources.top());
        let text =
            |layers: &[_], setting: &Setting| Layers(layers).given(setting).map(|given| given.text);
        let stay = known::ALL.iter().filter(|setting| {
            setting.scope == Scope::Gateway
                && !MAY_CHANGE.contains(&setting.name)
                && text(&before, setting) != text(&now, setting)
        });
        let mut stay: Vec<_> = stay.map(Setting::path).collect();
        let own = |sources: &Sources| -> Vec<_> {
            sources
                .file
                .listeners
                .iter()
                .map(ListenEntry::own)
                .collect()
        };
        let listen = Setting::listen().path();
        let has_listen_entries = sources.has_listen_entries() || self.sources.has_listen_entries();
        if has_listen_entries && own(&self.sources) != own(&sources) && !stay.contains(&listen) {
            stay.push(listen);
        }
        Ok(Changed {
            warnings: super::needless::warnings(&sources, &config),
            stay,
            config,
        })
    }
}
