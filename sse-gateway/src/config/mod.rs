//! What the gateway is told, from all the places it can be told: flags, environment variables and a TOML file.
//!
//! A setting is described once, in `known`: its name, default, sentence for the help, and the function that reads its
//! text. Each place gives `Values` (text by setting, and where it stands, for errors), which are laid over each other in
//! `resolve` to the plain data below. Nothing here knows clap, and nothing outside knows where a value came from.

mod error;
mod file;
mod free_ports;
mod given;
pub(crate) mod host;
pub(crate) mod known;
mod known_no_answer;
mod known_relay;
mod log_filter;
pub(crate) mod needless;
mod opening;
mod pattern;
mod relay;
pub(crate) mod report;
mod resolve;
mod route;
mod route_entry;
mod setting;
mod suggest;
pub(crate) mod trusted_proxies;
pub(crate) mod upstream;
mod value;
mod value_relay;
pub(crate) mod variables;

use std::net::SocketAddr;
use std::time::Duration;

use http::StatusCode;
use tower_sse::relay::Secret;

pub(crate) use error::Error;
pub(crate) use file::File;
pub(crate) use free_ports::FreePorts;
pub(crate) use given::{Place, Values};
pub(crate) use log_filter::LogFilter;
pub(crate) use opening::Opening;
pub(crate) use relay::{GapEvent, RelaySettings, Relayed};
pub(crate) use resolve::Sources;
pub(crate) use route::{Matcher, Route};

use crate::config::trusted_proxies::TrustedProxies;

/// All that the gateway runs by.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Config {
    pub(crate) listen: SocketAddr,
    pub(crate) admin_listen: Option<SocketAddr>,
    /// In lower case, without a dot at the end.
    pub(crate) admin_hosts: Vec<String>,
    pub(crate) trusted_proxy: TrustedProxies,
    /// None when each process has its own.
    pub(crate) secret: Option<Secret>,
    pub(crate) log_format: LogFormat,
    pub(crate) log_filter: LogFilter,
    pub(crate) drain_window: Duration,
    /// Never shorter than the window.
    pub(crate) drain_deadline: Duration,
    pub(crate) connect_timeout: Duration,
    /// Of all routes together.
    pub(crate) history_budget: usize,
    /// In the order of the file; the first that matches wins.
    pub(crate) routes: Vec<Route>,
    /// For what no route matches; none when there is no top-level upstream, and then the answer is 404.
    pub(crate) fallback: Option<Route>,
}

/// What is done to the event streams of one route.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StreamSettings {
    pub(crate) heartbeat: Option<Duration>,
    pub(crate) heartbeat_frame: HeartbeatFrame,
    pub(crate) opening_comment: bool,
    pub(crate) ids: Ids,
    pub(crate) retry: Option<Duration>,
    /// From 0 to 1.
    pub(crate) retry_jitter: f64,
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) idle_counts: IdleCounts,
    pub(crate) lifetime: Option<Duration>,
    /// An event type: one line, not empty.
    pub(crate) pause_event: Option<String>,
    /// From 1 KiB to 1 GiB.
    pub(crate) max_event_bytes: usize,
    pub(crate) no_answer: NoAnswer,
    /// Answers of the upstream with one of these count as none.
    pub(crate) retry_statuses: Vec<StatusCode>,
    pub(crate) relay: RelaySettings,
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

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    Text,
    Json,
}
