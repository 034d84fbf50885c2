//! Lays what was given over each other: a route's own values, then flags, variables, the file and the defaults.

use super::file::File;
use super::given::{Layers, Place, Values};
use super::known::{self, Known as _, Setting};
use super::{
    Config, Error, Ids, LogFilter, Matcher, RelaySettings, Relayed, Route, StreamSettings,
};

/// What each place gives.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sources {
    pub(crate) flags: Values,
    pub(crate) variables: Values,
    pub(crate) file: File,
    pub(crate) log_filter: LogFilter,
}

impl Sources {
    /// What holds outside of routes, the strongest first.
    pub(super) fn top(&self) -> [&Values; 3] {
        [&self.flags, &self.variables, &self.file.values]
    }
}

impl Config {
    /// # Errors
    ///
    /// When there is no upstream at all, a route has none, or values contradict each other.
    pub(crate) fn resolve(sources: &Sources) -> Result<Self, Error> {
        let top = sources.top();
        let [flags, variables, file] = top;
        let top = Layers(&top);
        let fallback = match top.find(&known::UPSTREAM)? {
            Some(upstream) => Some(fallback(top, upstream)?),
            None if sources.file.routes.is_empty() => {
                let example = "sse-gateway --upstream http://127.0.0.1:5000";
                return Err(Error::new(format!(
                    "no upstream is given; start with one, such as: {example}"
                )));
            }
            None => None,
        };
        let routes = sources.file.routes.iter().map(|entry| {
            let all = [&entry.values, flags, variables, file];
            let layers = Layers(&all);
            let name = entry.name.clone();
            let Some(upstream) = own_upstream(&entry.values, top)? else {
                let right = "add upstream = \"http://127.0.0.1:5000\" to it or at the top";
                return Err(Error::at(
                    &entry.place,
                    format_args!("route {name:?} has no upstream; {right}"),
                ));
            };
            let (matcher, methods) = (entry.matcher.clone(), entry.methods.clone());
            let (stream, head_timeout) = (stream(layers)?, layers.get(&known::HEAD_TIMEOUT)?);
            Ok(Route {
                name,
                matcher,
                methods,
                upstream,
                stream,
                head_timeout,
            })
        });
        let routes = routes.collect::<Result<_, _>>()?;
        gateway(top, sources.log_filter.clone(), routes, fallback)
    }
}

fn own_upstream(own: &Values, top: Layers<'_>) -> Result<Option<String>, Error> {
    match Layers(&[own]).find(&known::UPSTREAM)? {
        Some(upstream) => Ok(Some(upstream)),
        None => top.find(&known::UPSTREAM),
    }
}

fn fallback(top: Layers<'_>, upstream: String) -> Result<Route, Error> {
    Ok(Route {
        name: "default".to_owned(),
        matcher: Matcher::Any,
        methods: None,
        upstream,
        stream: stream(top)?,
        head_timeout: top.get(&known::HEAD_TIMEOUT)?,
    })
}

fn gateway(
    top: Layers<'_>,
    log_filter: LogFilter,
    routes: Vec<Route>,
    fallback: Option<Route>,
) -> Result<Config, Error> {
    let config = Config {
        listen: top.get(&known::LISTEN)?,
        admin_listen: top.get(&known::ADMIN_LISTEN)?,
        admin_hosts: top.get(&known::ADMIN_HOSTS)?,
        trusted_proxy: top.get(&known::TRUSTED_PROXY)?,
        secret: top.get(&known::SECRET_FILE)?,
        log_format: top.get(&known::LOG_FORMAT)?,
        log_filter,
        drain_window: top.get(&known::DRAIN_WINDOW)?,
        drain_deadline: top.get(&known::DRAIN_DEADLINE)?,
        connect_timeout: top.get(&known::CONNECT_TIMEOUT)?,
        history_budget: top.get(&known::HISTORY_BUDGET)?,
        routes,
        fallback,
    };
    if config.drain_window > config.drain_deadline {
        return Err(contradiction(
            top,
            &known::DRAIN_WINDOW,
            "is longer than",
            &known::DRAIN_DEADLINE,
            "use a shorter window",
        ));
    }
    if config.listen.port() != 0 && config.admin_listen == Some(config.listen) {
        return Err(contradiction(
            top,
            &known::ADMIN_LISTEN,
            "is the same as",
            &known::LISTEN,
            "use another port, or off",
        ));
    }
    Ok(config)
}

fn stream(layers: Layers<'_>) -> Result<StreamSettings, Error> {
    let relay = RelaySettings::resolve(layers)?;
    let ids = layers.get(&known::IDS)?;
    // A stream of one client is found by ids of ours alone.
    if ids == Ids::Keep && !matches!(relay.relayed, Relayed::Shared(_)) {
        let right = "share the stream, or use fill";
        return Err(contradiction(
            layers,
            &known::IDS,
            "needs",
            &known::SHARE,
            right,
        ));
    }
    Ok(StreamSettings {
        heartbeat: layers.get(&known::HEARTBEAT)?,
        heartbeat_frame: layers.get(&known::HEARTBEAT_FRAME)?,
        opening_comment: layers.get(&known::OPENING_COMMENT)?,
        ids,
        retry: layers.get(&known::RETRY)?,
        retry_jitter: layers.get(&known::RETRY_JITTER)?,
        idle_timeout: layers.get(&known::IDLE_TIMEOUT)?,
        idle_counts: layers.get(&known::IDLE_COUNTS)?,
        lifetime: layers.get(&known::LIFETIME)?,
        pause_event: layers.get(&known::PAUSE_EVENT)?,
        max_event_bytes: layers.get(&known::MAX_EVENT_BYTES)?,
        no_answer: layers.get(&known::NO_ANSWER)?,
        retry_statuses: layers.get(&known::RETRY_STATUSES)?,
        relay,
    })
}

/// Two values that cannot both hold, told at the one that somebody gave.
pub(super) fn contradiction<A, B>(
    top: Layers<'_>,
    a: &Setting<A>,
    is: &str,
    b: &Setting<B>,
    right: &str,
) -> Error {
    let (place, a_text) = shown(top, a);
    let (other, b_text) = shown(top, b);
    let place = if place == Place::Default {
        other
    } else {
        place
    };
    Error::at(
        place,
        format_args!(
            "{} ({a_text}) {is} {} ({b_text}); {right}",
            a.key(),
            b.key()
        ),
    )
}

fn shown<T>(top: Layers<'_>, setting: &Setting<T>) -> (Place, String) {
    top.given(setting)
        .map_or((Place::Default, String::new()), |given| {
            (given.place, given.text)
        })
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Duration;

    use http::{HeaderName, Method, StatusCode};
    use tower_sse::relay::{AfterEnd, Key, OnFull, OnLeave, SlowClient, Start};

    use super::*;
    use crate::config::trusted_proxies::TrustedProxies;
    use crate::config::{GapEvent, HeartbeatFrame, IdleCounts, LogFormat, NoAnswer};

    fn resolve(text: &str) -> Config {
        let file = File::parse(&"gateway.toml".into(), text).expect("the file is right");
        let sources = Sources {
            file,
            ..Sources::default()
        };
        Config::resolve(&sources).expect("the values agree")
    }

    fn defaults() -> StreamSettings {
        StreamSettings {
            heartbeat: Some(Duration::from_secs(15)),
            heartbeat_frame: HeartbeatFrame::Line,
            opening_comment: false,
            ids: Ids::Fill,
            retry: Some(Duration::from_secs(3)),
            retry_jitter: 0.5,
            idle_timeout: Some(Duration::from_secs(900)),
            idle_counts: IdleCounts::Bytes,
            lifetime: None,
            pause_event: None,
            max_event_bytes: 1 << 20,
            no_answer: NoAnswer::Close,
            retry_statuses: Vec::new(),
            relay: RelaySettings {
                relayed: Relayed::No,
                share_private: false,
                max_relays: 10_000,
                max_idle: 2_000,
                max_idle_for_client: 200,
                history_events: 1000,
                history_bytes: 1 << 20,
                history_age: Duration::from_secs(300),
                start: Start::Live,
                gap_event: GapEvent::Auto,
                gap_data: "{missed}".to_owned(),
                slow_client: SlowClient::Disconnect,
                client_stall_timeout: Duration::from_secs(30),
                on_full: OnFull::Drop,
                on_leave: OnLeave::Linger(Duration::from_secs(10)),
                hold: false,
                open_after: None,
                give_up: Duration::from_secs(300),
                after_end: AfterEnd::Again,
                keep_finished: Duration::from_secs(60),
            },
        }
    }

    fn fallback(stream: StreamSettings) -> Route {
        Route {
            name: "default".to_owned(),
            matcher: Matcher::Any,
            methods: None,
            upstream: "http://app:5000".to_owned(),
            stream,
            head_timeout: Duration::from_secs(60),
        }
    }

    #[test]
    fn an_upstream_is_enough() {
        let expected = Config {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            admin_listen: Some(SocketAddr::from(([127, 0, 0, 1], 9078))),
            admin_hosts: Vec::new(),
            trusted_proxy: TrustedProxies::default(),
            secret: None,
            log_format: LogFormat::Text,
            log_filter: LogFilter::default(),
            drain_window: Duration::from_secs(10),
            drain_deadline: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(5),
            history_budget: 256 << 20,
            routes: Vec::new(),
            fallback: Some(fallback(defaults())),
        };
        assert_eq!(resolve("upstream = 'http://app:5000'"), expected);
    }

    #[test]
    fn a_stream_of_its_own_is_bound_by_bytes_and_waited_for_unless_it_is_said_otherwise() {
        let relay = |text: &str| {
            let config = resolve(&format!("upstream = 'http://app:5000'\n{text}"));
            let relay = config.fallback.expect("there is an upstream").stream.relay;
            (relay.history_events, relay.history_bytes, relay.on_full)
        };
        assert_eq!(relay("resume = 'on'"), (usize::MAX, 4 << 20, OnFull::Wait));
        assert_eq!(relay("share = 'on'"), (1000, 1 << 20, OnFull::Drop));
        let given = "resume = 'on'\nhistory_events = 7\nhistory_bytes = '4KiB'\non_full = 'drop'";
        assert_eq!(relay(given), (7, 4 << 10, OnFull::Drop));
    }

    #[test]
    fn every_setting_reaches_its_field() {
        let config = resolve(
            "upstream = 'http://app:5000'
            listen = '[::1]:1'
            admin_listen = 'off'
            admin_hosts = 'gw, GW.svc.'
            trusted_proxy = ['10.0.0.0/8', '::1']
            heartbeat = 'off'
            heartbeat_frame = 'event:beat'
            opening_comment = true
            ids = 'replace'
            retry = '250ms'
            retry_jitter = 0.25
            pause_event = 'pause'
            max_event_bytes = 2048
            share = 'path, query:room'
            ignore = ['x-a', 'X-B']
            share_private = true
            resume = false
            max_relays = 8
            max_idle_relays = 9
            max_idle_relays_per_client = 10
            history_events = 7
            history_bytes = '4KiB'
            history_age = '1m'
            history_budget = '2MiB'
            start = 'last:5'
            gap_event = 'gap'
            gap_data = '[{missed}]'
            slow_client = 'skip'
            client_stall_timeout = '6s'
            on_full = 'wait'
            on_leave = 'linger:2s'
            no_answer = 'hold'
            retry_statuses = '502, 503'
            hold = true
            open_after = '3s'
            give_up = '4s'
            after_end = 204
            keep_finished = '5s'
            idle_timeout = '1m'
            idle_counts = 'events'
            lifetime = '1h'
            connect_timeout = '1s'
            head_timeout = '2s'
            drain_window = '3s'
            drain_deadline = '4s'
            log_format = 'json'",
        );
        let stream = StreamSettings {
            heartbeat: None,
            heartbeat_frame: HeartbeatFrame::Event("beat".to_owned()),
            opening_comment: true,
            ids: Ids::Replace,
            retry: Some(Duration::from_millis(250)),
            retry_jitter: 0.25,
            idle_timeout: Some(Duration::from_secs(60)),
            idle_counts: IdleCounts::Events,
            lifetime: Some(Duration::from_secs(3600)),
            pause_event: Some("pause".to_owned()),
            max_event_bytes: 2048,
            no_answer: NoAnswer::Hold,
            retry_statuses: vec![StatusCode::BAD_GATEWAY, StatusCode::SERVICE_UNAVAILABLE],
            relay: RelaySettings {
                relayed: Relayed::Shared(
                    "path,query:room"
                        .parse::<Key>()
                        .expect("is a key")
                        .ignoring(["x-a", "x-b"].map(HeaderName::from_static)),
                ),
                share_private: true,
                max_relays: 8,
                max_idle: 9,
                max_idle_for_client: 10,
                history_events: 7,
                history_bytes: 4096,
                history_age: Duration::from_secs(60),
                start: Start::Last(5),
                gap_event: GapEvent::Named("gap".to_owned()),
                gap_data: "[{missed}]".to_owned(),
                slow_client: SlowClient::Skip,
                client_stall_timeout: Duration::from_secs(6),
                on_full: OnFull::Wait,
                on_leave: OnLeave::Linger(Duration::from_secs(2)),
                hold: true,
                open_after: Some(Duration::from_secs(3)),
                give_up: Duration::from_secs(4),
                after_end: AfterEnd::NoContent,
                keep_finished: Duration::from_secs(5),
            },
        };
        let expected = Config {
            listen: "[::1]:1".parse().expect("is an address"),
            admin_listen: None,
            admin_hosts: vec!["gw".to_owned(), "gw.svc".to_owned()],
            trusted_proxy: TrustedProxies::parse("10.0.0.0/8,::1").expect("is a list"),
            secret: None,
            log_format: LogFormat::Json,
            log_filter: LogFilter::default(),
            drain_window: Duration::from_secs(3),
            drain_deadline: Duration::from_secs(4),
            connect_timeout: Duration::from_secs(1),
            history_budget: 2 << 20,
            routes: Vec::new(),
            fallback: Some(Route {
                head_timeout: Duration::from_secs(2),
                ..fallback(stream)
            }),
        };
        assert_eq!(config, expected);
    }

    #[test]
    fn a_route_has_its_own_settings_and_the_rest_from_the_top() {
        let config = resolve(
            "upstream = 'http://app:5000'
            retry = 'off'
            [[route]]
            name = 'chat'
            path = '/v1'
            methods = ['POST', 'GET']
            upstream = 'unix:/run/chat.sock'
            ids = 'off'
            head_timeout = '5m'
            [[route]]
            pattern = '/users/*/events'",
        );
        let top = StreamSettings {
            retry: None,
            ..defaults()
        };
        let chat = Route {
            name: "chat".to_owned(),
            matcher: Matcher::Prefix("/v1".to_owned()),
            methods: Some(vec![Method::POST, Method::GET]),
            upstream: "unix:/run/chat.sock".to_owned(),
            stream: StreamSettings {
                ids: Ids::Off,
                ..top.clone()
            },
            head_timeout: Duration::from_secs(300),
        };
        let users = Route {
            name: "/users/*/events".to_owned(),
            matcher: Matcher::pattern("/users/*/events").expect("is a pattern"),
            ..fallback(top.clone())
        };
        assert_eq!(config.routes, [chat, users]);
        assert_eq!(config.fallback, Some(fallback(top)));
    }

    fn first<'a>(config: &'a Config, method: &Method, path: &str) -> Option<&'a str> {
        let mut routes = config.routes.iter().chain(&config.fallback);
        let found = routes.find(|route| route.matches(method, path));
        found.map(|route| route.name.as_str())
    }

    #[test]
    fn the_first_route_that_matches_wins() {
        let config = resolve(
            "upstream = 'http://app:5000'
            [[route]]
            name = 'posts'
            path = '/events'
            methods = ['POST']
            [[route]]
            name = 'events'
            path = '/events'
            [[route]]
            name = 'never'
            pattern = '/events/**'",
        );
        let name = |method, path| first(&config, &method, path);
        assert_eq!(name(Method::POST, "/events/x"), Some("posts"));
        assert_eq!(name(Method::HEAD, "/events/x"), Some("events"));
        assert_eq!(name(Method::GET, "/eventsource"), Some("default"));
    }

    #[test]
    fn without_an_upstream_at_the_top_the_rest_has_no_route() {
        let config = resolve("[[route]]\npath = '/events'\nupstream = 'http://app:5000'");
        assert_eq!(first(&config, &Method::GET, "/events"), Some("/events"));
        assert_eq!(first(&config, &Method::GET, "/"), None);
    }
}
