//! Every setting there is, in the order of the help.

use std::net::SocketAddr;
use std::time::Duration;

pub(crate) use super::known_no_answer::*;
pub(crate) use super::known_relay::*;
pub(crate) use super::setting::{Bare, Known, Scope, Setting};
use super::{HeartbeatFrame, IdleCounts, Ids, LogFormat, value};
use crate::config::trusted_proxies::TrustedProxies;

/// All settings.
pub(crate) static ALL: [&dyn Known; 47] = [
    &UPSTREAM,
    &LISTEN,
    &ADMIN_LISTEN,
    &ADMIN_HOSTS,
    &TRUSTED_PROXY,
    &HEARTBEAT,
    &HEARTBEAT_FRAME,
    &OPENING_COMMENT,
    &IDS,
    &RETRY,
    &RETRY_JITTER,
    &PAUSE_EVENT,
    &MAX_EVENT_BYTES,
    &SHARE,
    &IGNORE,
    &SHARE_PRIVATE,
    &RESUME,
    &SECRET_FILE,
    &MAX_RELAYS,
    &MAX_IDLE_RELAYS,
    &MAX_IDLE_RELAYS_PER_CLIENT,
    &HISTORY_EVENTS,
    &HISTORY_BYTES,
    &HISTORY_AGE,
    &HISTORY_BUDGET,
    &START,
    &GAP_EVENT,
    &GAP_DATA,
    &SLOW_CLIENT,
    &CLIENT_STALL_TIMEOUT,
    &ON_FULL,
    &ON_LEAVE,
    &NO_ANSWER,
    &RETRY_STATUSES,
    &HOLD,
    &OPEN_AFTER,
    &GIVE_UP,
    &AFTER_END,
    &KEEP_FINISHED,
    &IDLE_TIMEOUT,
    &IDLE_COUNTS,
    &LIFETIME,
    &CONNECT_TIMEOUT,
    &HEAD_TIMEOUT,
    &DRAIN_WINDOW,
    &DRAIN_DEADLINE,
    &LOG_FORMAT,
];

/// The setting with this key.
pub(crate) fn find(key: &str) -> Option<&'static dyn Known> {
    ALL.into_iter().find(|setting| setting.key() == key)
}

pub(crate) static UPSTREAM: Setting<String> = Setting {
    key: "upstream",
    flag: "--upstream",
    heading: "Addresses",
    form: "URL",
    default: None,
    about: "Where requests go: http://host:port, https://host, h2c://host:port or unix:/path.",
    scope: Scope::Route,
    bare: Bare::Nothing,
    parse: value::upstream,
};

pub(crate) static LISTEN: Setting<SocketAddr> = Setting {
    key: "listen",
    flag: "--listen",
    heading: "Addresses",
    form: "ADDRESS",
    default: Some("127.0.0.1:8080"),
    about: "The address and port that clients connect to.",
    scope: Scope::Gateway,
    bare: Bare::Nothing,
    parse: value::address,
};

pub(crate) static ADMIN_LISTEN: Setting<Option<SocketAddr>> = Setting {
    key: "admin_listen",
    flag: "--admin-listen",
    heading: "Addresses",
    form: "ADDRESS|off",
    default: Some("127.0.0.1:9078"),
    about: "The address and port of metrics, health and drain; not for the public.",
    scope: Scope::Gateway,
    bare: Bare::Nothing,
    parse: value::address_or_off,
};

pub(crate) static ADMIN_HOSTS: Setting<Vec<String>> = Setting {
    key: "admin_hosts",
    flag: "--admin-hosts",
    heading: "Addresses",
    form: "NAMES|off",
    default: Some("off"),
    about: "The host names, in a comma list, by which the admin listener may be asked beside its addresses.",
    scope: Scope::Gateway,
    bare: Bare::Nothing,
    parse: value::host_names_or_off,
};

pub(crate) static TRUSTED_PROXY: Setting<TrustedProxies> = Setting {
    key: "trusted_proxy",
    flag: "--trusted-proxy",
    heading: "Addresses",
    form: "CIDR,…|off",
    default: Some("off"),
    about: "Whom to believe in X-Forwarded-For, -Proto, -Host and the like: networks, addresses.",
    scope: Scope::Gateway,
    bare: Bare::Lists,
    parse: value::trusted_proxy,
};

pub(crate) static HEARTBEAT: Setting<Option<Duration>> = Setting {
    key: "heartbeat",
    flag: "--heartbeat",
    heading: "Streams",
    form: "TIME|off",
    default: Some("15s"),
    about: "Write a heartbeat when nothing was sent to the client for this long.",
    scope: Scope::Route,
    bare: Bare::Nothing,
    parse: value::time_or_off,
};

pub(crate) static HEARTBEAT_FRAME: Setting<HeartbeatFrame> = Setting {
    key: "heartbeat_frame",
    flag: "--heartbeat-frame",
    heading: "Streams",
    form: "line|block|event:NAME",
    default: Some("line"),
    about: "What a heartbeat is: a comment line, a comment and a blank line, or an event of that type.",
    scope: Scope::Route,
    bare: Bare::Nothing,
    parse: value::heartbeat_frame,
};

pub(crate) static OPENING_COMMENT: Setting<bool> = Setting {
    key: "opening_comment",
    flag: "--opening-comment",
    heading: "Streams",
    form: "on|off",
    default: Some("off"),
    about: "Write a comment as soon as a stream opens, so that hops between let its head go.",
    scope: Scope::Route,
    bare: Bare::Booleans,
    parse: value::switch,
};

pub(crate) static IDS: Setting<Ids> = Setting {
    key: "ids",
    flag: "--ids",
    heading: "Streams",
    form: "fill|replace|keep|off",
    default: Some("fill"),
    about: "Give ids to events of GETs that have none, to all, or trust a shared upstream's (keep).",
    scope: Scope::Route,
    bare: Bare::Nothing,
    parse: value::ids,
};

pub(crate) static RETRY: Setting<Option<Duration>> = Setting {
    key: "retry",
    flag: "--retry",
    heading: "Streams",
    form: "TIME|off",
    default: Some("3s"),
    about: "The reconnection time that clients are told in front of the first event with data.",
    scope: Scope::Route,
    bare: Bare::Nothing,
    parse: value::time_or_off,
};

pub(crate) static RETRY_JITTER: Setting<f64> = Setting {
    key: "retry_jitter",
    flag: "--retry-jitter",
    heading: "Streams",
    form: "SHARE",
    default: Some("0.5"),
    about: "How much of the reconnection time is random, from 0 to 1, to spread reconnections.",
    scope: Scope::Route,
    bare: Bare::Numbers,
    parse: value::jitter,
};

pub(crate) static PAUSE_EVENT: Setting<Option<String>> = Setting {
    key: "pause_event",
    flag: "--pause-event",
    heading: "Streams",
    form: "NAME|off",
    default: Some("off"),
    about: "End streams with an event of this type; its data is when to reconnect, Unix time in ms.",
    scope: Scope::Route,
    bare: Bare::Nothing,
    parse: value::event_type_or_off,
};

pub(crate) static MAX_EVENT_BYTES: Setting<usize> = Setting {
    key: "max_event_bytes",
    flag: "--max-event-bytes",
    heading: "Streams",
    form: "SIZE",
    default: Some("1MiB"),
    about: "The largest event that is looked at; a larger one passes through as it is.",
    scope: Scope::Route,
    bare: Bare::Numbers,
    parse: value::size,
};

pub(crate) static IDLE_TIMEOUT: Setting<Option<Duration>> = Setting {
    key: "idle_timeout",
    flag: "--idle-timeout",
    heading: "Timeouts",
    form: "TIME|off",
    default: Some("15m"),
    about: "End a stream whose upstream has been silent for this long.",
    scope: Scope::Route,
    bare: Bare::Nothing,
    parse: value::time_or_off,
};

pub(crate) static IDLE_COUNTS: Setting<IdleCounts> = Setting {
    key: "idle_counts",
    flag: "--idle-counts",
    heading: "Timeouts",
    form: "bytes|events",
    default: Some("bytes"),
    about: "What ends that silence: any bytes, also comments, or only events with data.",
    scope: Scope::Route,
    bare: Bare::Nothing,
    parse: value::idle_counts,
};

pub(crate) static LIFETIME: Setting<Option<Duration>> = Setting {
    key: "lifetime",
    flag: "--lifetime",
    heading: "Timeouts",
    form: "TIME|off",
    default: Some("off"),
    about: "End a stream that has been open for this long, give or take a tenth.",
    scope: Scope::Route,
    bare: Bare::Nothing,
    parse: value::time_or_off,
};

pub(crate) static CONNECT_TIMEOUT: Setting<Duration> = Setting {
    key: "connect_timeout",
    flag: "--connect-timeout",
    heading: "Timeouts",
    form: "TIME",
    default: Some("5s"),
    about: "How long a connection to the upstream may take to be made.",
    scope: Scope::Gateway,
    bare: Bare::Nothing,
    parse: value::time,
};

pub(crate) static HEAD_TIMEOUT: Setting<Duration> = Setting {
    key: "head_timeout",
    flag: "--head-timeout",
    heading: "Timeouts",
    form: "TIME",
    default: Some("60s"),
    about: "How long the upstream may take to the head of its response.",
    scope: Scope::Route,
    bare: Bare::Nothing,
    parse: value::time,
};

pub(crate) static DRAIN_WINDOW: Setting<Duration> = Setting {
    key: "drain_window",
    flag: "--drain-window",
    heading: "Drain",
    form: "TIME",
    default: Some("10s"),
    about: "The time over which open streams are ended when the gateway stops.",
    scope: Scope::Gateway,
    bare: Bare::Nothing,
    parse: value::time,
};

pub(crate) static DRAIN_DEADLINE: Setting<Duration> = Setting {
    key: "drain_deadline",
    flag: "--drain-deadline",
    heading: "Drain",
    form: "TIME",
    default: Some("30s"),
    about: "When the gateway stops, all that is still open after this long is closed.",
    scope: Scope::Gateway,
    bare: Bare::Nothing,
    parse: value::time,
};

pub(crate) static LOG_FORMAT: Setting<LogFormat> = Setting {
    key: "log_format",
    flag: "--log-format",
    heading: "Configuration",
    form: "text|json",
    default: Some("text"),
    about: "How log lines are written: for people or for machines.",
    scope: Scope::Gateway,
    bare: Bare::Nothing,
    parse: value::log_format,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_a_value() {
        for setting in ALL {
            if let Some(default) = setting.default() {
                assert_eq!(setting.check(default), Ok(()), "{}", setting.key());
            }
        }
    }

    #[test]
    fn keys_are_unique_and_flags_are_made_from_them() {
        for (at, setting) in ALL.into_iter().enumerate() {
            let key = setting.key();
            assert!(
                key.chars().all(|c| c.is_ascii_lowercase() || c == '_'),
                "{key}"
            );
            assert_eq!(setting.flag(), format!("--{}", key.replace('_', "-")));
            assert!(ALL[..at].iter().all(|other| other.key() != key), "{key}");
        }
    }
}
