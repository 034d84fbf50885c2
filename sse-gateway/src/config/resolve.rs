//! Lays what was given over each other: a route's own values, then flags, variables, the file, the preset and the defaults.

use http::Method;

use super::file::File;
use super::given::{Layers, Place, Values};
use super::listen::{self, ListenAddress, ListenerSettings};
use super::needless;
use super::setting::Setting;
use super::trusted_proxies::TrustedProxies;
use super::{
    Config, Error, GatewaySettings, Ids, LogFilter, Matcher, Relayed, Route, RouteSettings, preset,
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

    /// Whether the `[[listen]]` entries of the file count: a flag and a variable win over them.
    pub(super) fn has_listen_entries(&self) -> bool {
        let is_given = |values: &Values| values.get(&Setting::listen()).is_some();
        !self.file.listeners.is_empty() && !is_given(&self.flags) && !is_given(&self.variables)
    }
}

impl Config {
    /// # Errors
    ///
    /// When there is no upstream at all, a route has none, or values contradict each other.
    pub(crate) fn resolve(sources: &Sources) -> Result<Self, Error> {
        let top = sources.top();
        let [flags, variables, file] = top;
        let entries = &sources.file.routes;
        let has_upstream = Layers(&top).given(&Setting::upstream()).is_some();
        if !has_upstream && entries.is_empty() {
            let example = "sse-gateway --upstream http://127.0.0.1:5000";
            return Err(Error::new(format!(
                "no upstream is given; start with one, such as: {example}"
            )));
        }
        let fallback = match has_upstream {
            true => Some(route("default", Matcher::Any, None, &top)?),
            false => None,
        };
        let routes = entries.iter().map(|entry| {
            let (name, methods) = (entry.name.as_str(), entry.methods.clone());
            if !has_upstream && entry.values.get(&Setting::upstream()).is_none() {
                let right = "add upstream = \"http://127.0.0.1:5000\" to it or at the top";
                return Err(Error::at(
                    &entry.place,
                    format_args!("route {name:?} has no upstream; {right}"),
                ));
            }
            let layers = [&entry.values, flags, variables, file];
            route(name, entry.matcher.clone(), methods, &layers)
        });
        let routes = routes.collect::<Result<_, _>>()?;
        let gateway = gateway(Layers(&top))?;
        let listeners = listeners(sources, &gateway)?;
        if let Some(address) = listen::twice(&listeners) {
            let why = format!("{address} is there twice; keep one of them");
            return Err(Error::at(place(Layers(&top), &Setting::listen()), why));
        }
        let config = Config {
            gateway,
            listeners,
            log_filter: sources.log_filter.clone(),
            routes,
            fallback,
        };
        needless::refuse_open_doors(sources, &config)?;
        Ok(config)
    }
}

fn gateway(top: Layers<'_>) -> Result<GatewaySettings, Error> {
    let settings = GatewaySettings::resolve(top)?;
    if settings.drain_window > settings.drain_deadline {
        let both = [Setting::drain_window(), Setting::drain_deadline()];
        let right = "use a shorter window";
        return Err(contradiction(top, both, "is longer than", right));
    }
    let admin = settings.admin_listen.filter(|admin| admin.port() != 0);
    if admin.is_some_and(|admin| settings.listen.contains(&ListenAddress::Tcp(admin))) {
        let both = [Setting::admin_listen(), Setting::listen()];
        let right = "use another port, or off";
        return Err(contradiction(top, both, "is the same as", right));
    }
    check_listener(&settings, top)?;
    if settings.otel && !cfg!(feature = "otel") {
        let why = "otel (on): this build has no OpenTelemetry; build it with --features otel, or turn it off";
        return Err(Error::at(place(top, &Setting::otel()), why));
    }
    if settings.store.is_some() && settings.store_secret.is_none() {
        let both = [Setting::store(), Setting::store_secret()];
        let right = "name a file that all gateways have";
        return Err(contradiction(top, both, "needs", right));
    }
    if settings.store_cert.is_some() != settings.store_key.is_some() {
        let mut both = [Setting::store_cert(), Setting::store_key()];
        if settings.store_cert.is_none() {
            both.reverse();
        }
        let right = "give the certificate and its key";
        return Err(contradiction(top, both, "needs", right));
    }
    Ok(settings)
}

/// Those of the file, unless a flag or a variable says where to listen.
fn listeners(sources: &Sources, gateway: &GatewaySettings) -> Result<Vec<ListenerSettings>, Error> {
    if !sources.has_listen_entries() {
        return Ok(ListenerSettings::of(gateway).collect());
    }
    let [flags, variables, file] = sources.top();
    let mut listeners = Vec::new();
    for entry in &sources.file.listeners {
        let layers = [&entry.values, flags, variables, file];
        let settings = GatewaySettings::resolve(Layers(&layers))?;
        check_listener(&settings, Layers(&layers))?;
        listeners.extend(ListenerSettings::of(&settings));
    }
    Ok(listeners)
}

fn check_listener(settings: &GatewaySettings, layers: Layers<'_>) -> Result<(), Error> {
    if settings.proxy_protocol.is_some() && settings.trusted_proxy == TrustedProxies::default() {
        let both = [Setting::proxy_protocol(), Setting::trusted_proxy()];
        let right = "name those who send its headers, such as 10.0.0.0/8 or unix";
        return Err(contradiction(layers, both, "needs", right));
    }
    if settings.tls_cert.len() != settings.tls_key.len() {
        let both = [Setting::tls_cert(), Setting::tls_key()];
        let right = "give each certificate its key, in the same order";
        return Err(contradiction(
            layers,
            both,
            "has not as many files as",
            right,
        ));
    }
    for pair in settings.key_pairs() {
        let read = pair.read();
        read.map_err(|error| Error::at(place(layers, &Setting::tls_key()), error))?;
    }
    Ok(())
}

fn place(layers: Layers<'_>, setting: &Setting) -> Place {
    let given = layers.given(setting);
    given.map_or(Place::Default, |given| given.place)
}

fn route(
    name: &str,
    matcher: Matcher,
    methods: Option<Vec<Method>>,
    given: &[&Values],
) -> Result<Route, Error> {
    let preset = preset::values(Layers(given));
    let layers = [given, &[&preset]].concat();
    let layers = Layers(&layers);
    let settings = RouteSettings::resolve(layers)?;
    let Some(relayed) = Relayed::of(&settings) else {
        let both = [Setting::share(), Setting::resume()];
        let right = "turn one of them off; a shared stream is resumed anyway";
        return Err(contradiction(layers, both, "does not go with", right));
    };
    // A stream of one client is found by ids of ours alone.
    if settings.ids == Ids::Keep && !matches!(relayed, Relayed::Shared(_)) {
        let both = [Setting::ids(), Setting::share()];
        let right = "share the stream, or use fill";
        return Err(contradiction(layers, both, "needs", right));
    }
    if settings.upstream_cert.is_some() != settings.upstream_key.is_some() {
        let mut both = [Setting::upstream_cert(), Setting::upstream_key()];
        if settings.upstream_cert.is_none() {
            both.reverse();
        }
        let right = "give the certificate and its key";
        return Err(contradiction(layers, both, "needs", right));
    }
    if let Some(pair) = settings.upstream_tls().own {
        let read = pair.read();
        read.map_err(|error| Error::at(place(layers, &Setting::upstream_key()), error))?;
    }
    if settings.upstream_insecure && settings.upstream_ca.is_some() {
        let both = [Setting::upstream_insecure(), Setting::upstream_ca()];
        let right = "turn one of them off";
        return Err(contradiction(layers, both, "does not go with", right));
    }
    Ok(Route {
        name: name.to_owned(),
        matcher,
        methods,
        relayed,
        settings,
    })
}

/// Two values that cannot both hold, told at the one that somebody gave.
fn contradiction(layers: Layers<'_>, both: [Setting; 2], is: &str, right: &str) -> Error {
    let [(place, one), (other_place, other)] = both.map(|setting| {
        let given = layers.given(&setting);
        let (text, place) = given.map_or_else(Default::default, |given| (given.text, given.place));
        (place, format!("{} ({text})", setting.path()))
    });
    let place = if place.is_given() { place } else { other_place };
    Error::at(place, format_args!("{one} {is} {other}; {right}"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tower_sse::relay::OnFull;

    use super::*;
    use crate::config::upstreams::Upstreams;

    fn resolve(text: &str) -> Config {
        let file = File::parse(&"gateway.toml".into(), text).expect("the file is right");
        let sources = Sources {
            file,
            ..Sources::default()
        };
        Config::resolve(&sources).expect("the values agree")
    }

    #[test]
    fn how_much_is_kept_goes_by_the_kind_of_relay_unless_it_is_said_otherwise() {
        let given = "resume = 'on'\nhistory_events = 7\nhistory_bytes = '4KiB'\non_full = 'drop'";
        for (text, expected) in [
            ("resume = 'on'", (usize::MAX, 4 << 20, OnFull::Wait)),
            ("share = 'on'", (1000, 1 << 20, OnFull::Drop)),
            (given, (7, 4 << 10, OnFull::Drop)),
        ] {
            let config = resolve(&format!("upstream = 'http://app:5000'\n{text}"));
            let kept = config.fallback.expect("there is an upstream").kept();
            assert_eq!((kept.events, kept.bytes, kept.on_full), expected, "{text}");
        }
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
        let fallback = config.fallback.expect("there is an upstream");
        assert_eq!(fallback.settings.retry, None);
        assert_eq!(fallback.settings.heartbeat, Some(Duration::from_secs(15)));
        let chat = Route {
            name: "chat".to_owned(),
            matcher: Matcher::Prefix("/v1".to_owned()),
            methods: Some(vec![Method::POST, Method::GET]),
            relayed: Relayed::No,
            settings: RouteSettings {
                upstream: Upstreams::parse("unix:/run/chat.sock").expect("is an upstream"),
                ids: Ids::Off,
                head_timeout: Duration::from_secs(300),
                ..fallback.settings.clone()
            },
        };
        let users = Route {
            name: "/users/*/events".to_owned(),
            matcher: Matcher::pattern("/users/*/events").expect("is a pattern"),
            ..fallback
        };
        assert_eq!(config.routes, [chat, users]);
    }

    #[test]
    fn the_first_route_that_matches_wins() {
        let routes = "
            [[route]]
            name = 'posts'
            path = '/events'
            methods = ['POST']
            upstream = 'http://posts:5000'
            [[route]]
            name = 'events'
            path = '/events'
            upstream = 'http://events:5000'";
        for (top, else_taken_by) in [("", None), ("upstream = 'http://app'", Some("default"))] {
            let config = resolve(&format!("{top}{routes}"));
            let first = |method, path| {
                let mut routes = config.routes.iter().chain(&config.fallback);
                let found = routes.find(|route| route.matches(&method, path));
                found.map(|route| route.name.as_str())
            };
            assert_eq!(first(Method::POST, "/events/x"), Some("posts"));
            assert_eq!(first(Method::HEAD, "/events/x"), Some("events"));
            assert_eq!(first(Method::GET, "/eventsource"), else_taken_by);
        }
    }
}
