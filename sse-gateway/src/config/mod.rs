//! What the gateway is told, from all the places it can be told: flags, environment variables and a TOML file.
//!
//! A setting is one entry of the table in `known`: its name, type, default, sentence for the help, and the function that
//! reads its text. The flag, the variable, the key of the file and the field of `GatewaySettings` or `RouteSettings` come of
//! it. Each place gives `Values` (text by setting, and where it stands, for errors), which are laid over each other in
//! `resolve`. Nothing here knows clap, and nothing outside knows where a value came from.

use http::HeaderValue;

#[cfg(test)]
mod cases;
mod error;
mod file;
mod free_ports;
mod given;
pub(crate) mod host;
pub(crate) mod jwt_keys;
pub(crate) mod known;
mod level;
mod listen;
mod listen_entry;
mod log_filter;
pub(crate) mod needless;
mod opening;
mod own;
mod pattern;
mod preset;
mod relay;
pub(crate) mod report;
mod reread;
mod resolve;
mod route;
mod route_entry;
pub(crate) mod setting;
mod suggest;
mod table;
pub(crate) mod tls;
pub(crate) mod trusted_proxies;
pub(crate) mod upstream;
pub(crate) mod upstream_tls;
pub(crate) mod upstreams;
mod value;
mod value_access;
mod value_relay;
pub(crate) mod value_store;
pub(crate) mod variables;

pub(crate) use error::Error;
pub(crate) use file::File;
pub(crate) use free_ports::FreePorts;
pub(crate) use given::{Place, Values};
pub(crate) use known::{GatewaySettings, RouteSettings};
pub(crate) use listen::{ListenAddress, ListenerSettings};
pub(crate) use log_filter::LogFilter;
pub(crate) use opening::Opening;
pub(crate) use relay::{Bound, GapEvent, Kept, Relayed};
pub(crate) use reread::{Changed, Reread};
pub(crate) use resolve::Sources;
pub(crate) use route::{Matcher, Route};
pub(crate) use value::{FieldLimit, Rate};
pub(crate) use value_access::{AdminToken, KeysAt, ServiceUrl};

/// All that the gateway runs by.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Config {
    /// The drain's deadline is never shorter than its window.
    pub(crate) gateway: GatewaySettings,
    /// Where clients connect to; never empty.
    pub(crate) listeners: Vec<ListenerSettings>,
    pub(crate) log_filter: LogFilter,
    /// In the order of the file; the first that matches wins.
    pub(crate) routes: Vec<Route>,
    /// For what no route matches; none when there is no top-level upstream, and then the answer is 404.
    pub(crate) fallback: Option<Route>,
}

impl Config {
    /// Each route that goes by a preset, and which.
    pub(crate) fn presets(&self) -> Vec<String> {
        let routes = self.routes.iter().chain(&self.fallback);
        let with = routes.filter_map(|route| Some((&route.name, route.settings.preset?)));
        with.map(|(name, preset)| format!("{name} {preset}"))
            .collect()
    }
}

/// What a heartbeat looks like on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HeartbeatFrame {
    /// A comment line alone.
    Line,
    /// A comment line and a blank line.
    Block,
    /// An event of this type; one line, not empty.
    Event(String),
}

/// Which events are given an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ids {
    /// Those that have none.
    Fill,
    /// All.
    Replace,
    /// Those that have none; those of a shared upstream are trusted, and stay as they are.
    Keep,
    /// None.
    Off,
}

/// What keeps a stream from being idle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IdleCounts {
    /// Any byte from the upstream, its comments too.
    Bytes,
    /// Events with data.
    Events,
}

/// What a GET that names `text/event-stream` gets when there is no answer from upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoAnswer {
    /// None: the connection is closed, or the stream of HTTP/2 reset.
    Close,
    /// One of ours.
    Answer,
    /// A stream, for which the upstream is asked again.
    Hold,
}

/// Pages of which origins may read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origins {
    Any,
    /// Each as a browser writes it: `https://app.example`.
    These(Vec<HeaderValue>),
}

/// What a certificate says of whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CertificatePart {
    CommonName,
    Dns,
    Uri,
    Email,
    /// Which one it is: its SHA-256.
    Fingerprint,
}

/// The versions of the PROXY protocol whose headers are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProxyProtocol {
    Any,
    V1,
    V2,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    Text,
    Json,
}
