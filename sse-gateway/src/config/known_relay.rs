//! The settings of sharing and resuming.

use std::time::Duration;

use http::HeaderName;
use tower_sse::relay::{AfterEnd, Key, OnFull, OnLeave, Secret, SlowClient, Start};

use super::relay::GapEvent;
use super::setting::{Bare, Scope, Setting};
use super::{value, value_relay};

pub(crate) static SHARE: Setting<Option<Key>> = Setting {
    key: "share",
    flag: "--share",
    heading: "Sharing and resuming",
    form: "off|on|KEY",
    default: Some("off"),
    about: "Give GET requests with one key one upstream stream; on: host, path, query, fields.",
    scope: Scope::Route,
    bare: Bare::Booleans,
    parse: value_relay::share,
};

pub(crate) static IGNORE: Setting<Vec<HeaderName>> = Setting {
    key: "ignore",
    flag: "--ignore",
    heading: "Sharing and resuming",
    form: "NAMES|off",
    default: Some("off"),
    about: "Request fields that are neutral to a shared stream, beside those that always are.",
    scope: Scope::Route,
    bare: Bare::Lists,
    parse: value_relay::field_names_or_off,
};

pub(crate) static SHARE_PRIVATE: Setting<bool> = Setting {
    key: "share_private",
    flag: "--share-private",
    heading: "Sharing and resuming",
    form: "on|off",
    default: Some("off"),
    about: "Share also what the upstream says not to, by Vary and Cache-Control: private.",
    scope: Scope::Route,
    bare: Bare::Booleans,
    parse: value::switch,
};

pub(crate) static RESUME: Setting<Option<Vec<String>>> = Setting {
    key: "resume",
    flag: "--resume",
    heading: "Sharing and resuming",
    form: "on|off|cookie:NAME",
    default: Some("off"),
    about: "Let a client go on with its own stream when it comes back with its last event id.",
    scope: Scope::Route,
    bare: Bare::Booleans,
    parse: value_relay::resume,
};

pub(crate) static SECRET_FILE: Setting<Option<Secret>> = Setting {
    key: "secret_file",
    flag: "--secret-file",
    heading: "Sharing and resuming",
    form: "FILE|off",
    default: Some("off"),
    about: "A file with 32 random bytes or more: ids are known again after a restart.",
    scope: Scope::Gateway,
    bare: Bare::Nothing,
    parse: value_relay::secret_file_or_off,
};

pub(crate) static MAX_RELAYS: Setting<usize> = Setting {
    key: "max_relays",
    flag: "--max-relays",
    heading: "Sharing and resuming",
    form: "NUMBER",
    default: Some("10000"),
    about: "How many streams of a route are shared or resumable at a time; others pass.",
    scope: Scope::Route,
    bare: Bare::Numbers,
    parse: value_relay::relays,
};

pub(crate) static MAX_IDLE_RELAYS: Setting<usize> = Setting {
    key: "max_idle_relays",
    flag: "--max-idle-relays",
    heading: "Sharing and resuming",
    form: "NUMBER",
    default: Some("2000"),
    about: "How many of these may be without a client; then the oldest ends.",
    scope: Scope::Route,
    bare: Bare::Numbers,
    parse: value_relay::relays,
};

pub(crate) static MAX_IDLE_RELAYS_PER_CLIENT: Setting<usize> = Setting {
    key: "max_idle_relays_per_client",
    flag: "--max-idle-relays-per-client",
    heading: "Sharing and resuming",
    form: "NUMBER",
    default: Some("200"),
    about: "How many of these one client address (IPv6: one /64) may leave behind.",
    scope: Scope::Route,
    bare: Bare::Numbers,
    parse: value_relay::relays,
};

pub(crate) static HISTORY_EVENTS: Setting<Option<usize>> = Setting {
    key: "history_events",
    flag: "--history-events",
    heading: "Sharing and resuming",
    form: "NUMBER|auto",
    default: Some("auto"),
    about: "How many events of a stream are kept; auto: 1000 if shared, any number if resumable.",
    scope: Scope::Route,
    bare: Bare::Numbers,
    parse: value_relay::events_or_auto,
};

pub(crate) static HISTORY_BYTES: Setting<Option<usize>> = Setting {
    key: "history_bytes",
    flag: "--history-bytes",
    heading: "Sharing and resuming",
    form: "SIZE|auto",
    default: Some("auto"),
    about: "How many bytes of a stream are kept, with overhead; auto: 1MiB if shared, 4MiB if resumable.",
    scope: Scope::Route,
    bare: Bare::Numbers,
    parse: value_relay::size_or_auto,
};

pub(crate) static HISTORY_AGE: Setting<Duration> = Setting {
    key: "history_age",
    flag: "--history-age",
    heading: "Sharing and resuming",
    form: "TIME",
    default: Some("5m"),
    about: "How long an event is kept.",
    scope: Scope::Route,
    bare: Bare::Nothing,
    parse: value::time,
};

pub(crate) static HISTORY_BUDGET: Setting<usize> = Setting {
    key: "history_budget",
    flag: "--history-budget",
    heading: "Sharing and resuming",
    form: "SIZE",
    default: Some("256MiB"),
    about: "How many bytes all streams keep together; the largest gives way first.",
    scope: Scope::Gateway,
    bare: Bare::Numbers,
    parse: value::budget,
};

pub(crate) static START: Setting<Start> = Setting {
    key: "start",
    flag: "--start",
    heading: "Sharing and resuming",
    form: "live|all|last:N",
    default: Some("live"),
    about: "What a client without a last event id gets: what comes, all that is kept, or N events.",
    scope: Scope::Route,
    bare: Bare::Nothing,
    parse: value_relay::start,
};

pub(crate) static GAP_EVENT: Setting<GapEvent> = Setting {
    key: "gap_event",
    flag: "--gap-event",
    heading: "Sharing and resuming",
    form: "auto|NAME|off",
    default: Some("auto"),
    about: "Tell of missed events by one of this type; auto: stream-gap, or for a POST by a cut.",
    scope: Scope::Route,
    bare: Bare::Nothing,
    parse: value_relay::gap_event,
};

pub(crate) static GAP_DATA: Setting<String> = Setting {
    key: "gap_data",
    flag: "--gap-data",
    heading: "Sharing and resuming",
    form: "TEXT",
    default: Some("{missed}"),
    about: "The data of that event; {missed} in it is the number of missed events, or null.",
    scope: Scope::Route,
    bare: Bare::Nothing,
    parse: value_relay::one_line,
};

pub(crate) static SLOW_CLIENT: Setting<SlowClient> = Setting {
    key: "slow_client",
    flag: "--slow-client",
    heading: "Sharing and resuming",
    form: "disconnect|skip|latest",
    default: Some("disconnect"),
    about: "What a client gets that fell behind what is kept: its end, the oldest, or the newest.",
    scope: Scope::Route,
    bare: Bare::Nothing,
    parse: value_relay::slow_client,
};

pub(crate) static CLIENT_STALL_TIMEOUT: Setting<Duration> = Setting {
    key: "client_stall_timeout",
    flag: "--client-stall-timeout",
    heading: "Sharing and resuming",
    form: "TIME",
    default: Some("30s"),
    about: "How long the upstream is held for a client that has stopped reading.",
    scope: Scope::Route,
    bare: Bare::Nothing,
    parse: value::time,
};

pub(crate) static ON_FULL: Setting<Option<OnFull>> = Setting {
    key: "on_full",
    flag: "--on-full",
    heading: "Sharing and resuming",
    form: "auto|wait|drop",
    default: Some("auto"),
    about: "With a full history and no client: hold the upstream, or drop; auto: wait if resumable.",
    scope: Scope::Route,
    bare: Bare::Nothing,
    parse: value_relay::on_full,
};

pub(crate) static ON_LEAVE: Setting<OnLeave> = Setting {
    key: "on_leave",
    flag: "--on-leave",
    heading: "Sharing and resuming",
    form: "cancel|linger:TIME|finish",
    default: Some("linger:10s"),
    about: "What an upstream stream without clients does: end at once, later, or by itself.",
    scope: Scope::Route,
    bare: Bare::Nothing,
    parse: value_relay::on_leave,
};

pub(crate) static HOLD: Setting<bool> = Setting {
    key: "hold",
    flag: "--hold",
    heading: "No answer from upstream",
    form: "on|off",
    default: Some("off"),
    about: "Open event streams at once and hide the upstream's failures from the first on.",
    scope: Scope::Route,
    bare: Bare::Booleans,
    parse: value::switch,
};

pub(crate) static OPEN_AFTER: Setting<Option<Duration>> = Setting {
    key: "open_after",
    flag: "--open-after",
    heading: "No answer from upstream",
    form: "TIME|off",
    default: Some("off"),
    about: "Do the same when the head of the upstream's response has not come after this long.",
    scope: Scope::Route,
    bare: Bare::Nothing,
    parse: value::time_or_off,
};

pub(crate) static GIVE_UP: Setting<Duration> = Setting {
    key: "give_up",
    flag: "--give-up",
    heading: "No answer from upstream",
    form: "TIME",
    default: Some("5m"),
    about: "How long a lost upstream is tried again, and one held whose client is away.",
    scope: Scope::Route,
    bare: Bare::Nothing,
    parse: value::time,
};

pub(crate) static AFTER_END: Setting<AfterEnd> = Setting {
    key: "after_end",
    flag: "--after-end",
    heading: "Sharing and resuming",
    form: "again|204",
    default: Some("again"),
    about: "What a client gets that comes back for a GET it had whole: the upstream's answer or 204.",
    scope: Scope::Route,
    bare: Bare::Numbers,
    parse: value_relay::after_end,
};

pub(crate) static KEEP_FINISHED: Setting<Duration> = Setting {
    key: "keep_finished",
    flag: "--keep-finished",
    heading: "Sharing and resuming",
    form: "TIME",
    default: Some("60s"),
    about: "How long a stream that has finished can be replayed.",
    scope: Scope::Route,
    bare: Bare::Nothing,
    parse: value::time,
};
