//! Finds what was set and has no effect where it stands, and routes that nothing reaches.

use super::given::{Place, Values};
use super::setting::{Needs, Scope, Setting};
use super::{Config, Error, Ids, ListenAddress, ListenerSettings, Relayed, Route, Sources, known};

/// What keeps somebody out, and what that needs: without it, everybody would be let in.
const CHECKS: [(&str, &str); 6] = [
    ("tls_client_ca", "tls_cert"),
    ("jwt_issuer", "jwt_keys"),
    ("jwt_audience", "jwt_keys"),
    ("jwt_claims", "jwt_keys"),
    ("jwt_fields", "jwt_keys"),
    ("forward_auth_fields", "forward_auth_url"),
];

/// # Errors
///
/// When a check is asked for that nobody makes, and nobody has said that it is to be off.
pub(super) fn refuse_open_doors(sources: &Sources, config: &Config) -> Result<(), Error> {
    let is_open = |name: &str| {
        let mut checks = CHECKS.iter();
        checks.any(|(check, needs)| *check == name && !is_said(sources, needs))
    };
    let all = of_settings(sources, config).into_iter();
    let mut all = all.chain(of_listeners(sources, config));
    match all.find(|(name, _)| is_open(name)) {
        None => Ok(()),
        Some((_, told)) => Err(Error::new(format!(
            "{told}; set that too, or take this out: nobody would be checked"
        ))),
    }
}

/// Whether a setting is given anywhere, be it as off.
fn is_said(sources: &Sources, name: &str) -> bool {
    let routes = sources.file.routes.iter().map(|entry| &entry.values);
    let listeners = sources.file.listeners.iter().map(|entry| &entry.values);
    let mut all = sources.top().into_iter().chain(routes).chain(listeners);
    let mut known = known::ALL.iter();
    let setting = known.find(|setting| setting.name == name);
    setting.is_some_and(|setting| all.any(|values| values.get(setting).is_some()))
}

/// A line for each.
pub(crate) fn warnings(sources: &Sources, config: &Config) -> Vec<String> {
    let found = of_settings(sources, config).into_iter();
    let found = found.chain(of_listeners(sources, config));
    let mut warnings: Vec<_> = found.map(|(_, told)| told).collect();
    for (at, entry) in sources.file.routes.iter().enumerate() {
        let route = &config.routes[at];
        if let Some(before) = config.routes[..at].iter().find(|one| one.covers(route)) {
            warnings.push(format!(
                "{}: route {:?} takes nothing: route {:?} above it takes all of it",
                entry.place, route.name, before.name
            ));
        } else if config.routes[..at].iter().any(|one| one.name == route.name) {
            warnings.push(format!(
                "{}: two routes have the name {:?}, and are one in metrics",
                entry.place, route.name
            ));
        }
    }
    warnings
}

/// The names of settings, and what is told of each.
type Found = Vec<(&'static str, String)>;

fn of_settings(sources: &Sources, config: &Config) -> Found {
    let mut found = Vec::new();
    let entries = &sources.file.routes;
    let routes = || config.routes.iter().chain(&config.fallback);
    for (route, entry) in config.routes.iter().zip(entries) {
        for setting in known::ALL.iter() {
            if let (Some(place), Some(why)) = (
                place(&[&entry.values], setting),
                needless(setting, config, route),
            ) {
                found.push((setting.name, told(place, setting, why)));
            }
        }
    }
    for setting in known::ALL.iter() {
        let Some(place) = place(&sources.top(), setting) else {
            continue;
        };
        // Of the routes that go by it; the fallback always does.
        let has_own = |at: usize| {
            let own = entries.get(at).map(|entry| &entry.values);
            setting.scope == Scope::Route && own.is_some_and(|own| own.get(setting).is_some())
        };
        let by_it = routes().enumerate().filter(|(at, _)| !has_own(*at));
        let why = by_it.map(|(_, route)| needless(setting, config, route));
        // It has an effect where one of them has no reason.
        let why = why.reduce(|one, other| one.and(other)).flatten();
        found.extend(why.map(|why| (setting.name, told(place, setting, why))));
    }
    found
}

fn of_listeners(sources: &Sources, config: &Config) -> Found {
    let mut found = Vec::new();
    if !sources.has_listen_entries() {
        return found;
    }
    for (listener, entry) in config.listeners.iter().zip(&sources.file.listeners) {
        let is_unix = matches!(listener.address, ListenAddress::Unix(_));
        let is_tls = !listener.key_pairs.is_empty();
        for (setting, has_effect, why) in [
            (Setting::listen_mode(), is_unix, "it is for Unix sockets"),
            (Setting::tls_client_ca(), is_tls, "tls_cert is off"),
        ] {
            if let Some((key, place)) = entry.key_of(&setting).filter(|_| !has_effect) {
                let told = format!("{place}: {key} has no effect: {why}");
                found.push((setting.name, told));
            }
        }
    }
    found
}

/// Where it was set, if it was, and not to nothing.
fn place<'a>(layers: &[&'a Values], setting: &Setting) -> Option<&'a Place> {
    let given = layers.iter().find_map(|values| values.get(setting));
    given
        .filter(|given| given.text != "off")
        .map(|given| &given.place)
}

fn told(place: &Place, setting: &Setting, why: &str) -> String {
    match place {
        Place::Line(..) => format!("{place}: {} has no effect: {why}", setting.path()),
        _ => format!("{place} has no effect: {why}"),
    }
}

fn needless(setting: &Setting, config: &Config, route: &Route) -> Option<&'static str> {
    let settings = &route.settings;
    let is_relayed = route.relayed != Relayed::No;
    let is_shared = matches!(route.relayed, Relayed::Shared(_));
    let keeps_ids = !is_relayed || matches!(settings.ids, Ids::Fill | Ids::Keep);
    let admin = config.gateway.admin_listen;
    let (has_effect, why) = match setting.needs? {
        Needs::Relay => (is_relayed, NO_RELAY),
        Needs::AnyRelay => (is_relayed, NO_RELAYS),
        Needs::Sharing => (is_shared, "it is for shared streams, and share is off"),
        Needs::IdsOfItsOwn => (keeps_ids, OWN_IDS),
        Needs::Heartbeat => (settings.heartbeat.is_some(), "heartbeat is off"),
        Needs::Retry => (settings.retry.is_some(), "retry is off"),
        Needs::IdleTimeout => (settings.idle_timeout.is_some(), "idle_timeout is off"),
        Needs::Admin => (admin.is_some(), "admin_listen is off"),
        Needs::Jwt => (settings.jwt_keys.is_some(), "jwt.keys is off"),
        Needs::ForwardAuth => (
            settings.forward_auth_url.is_some(),
            "forward_auth.url is off",
        ),
        Needs::Tls => {
            let is_tls = |one: &ListenerSettings| !one.key_pairs.is_empty();
            (config.listeners.iter().any(is_tls), "tls.cert is off")
        }
        Needs::ClientCa => {
            let has_ca = |one: &ListenerSettings| one.client_ca.is_some();
            (config.listeners.iter().any(has_ca), "tls.client_ca is off")
        }
        Needs::UnixListener => {
            let is_unix = |one: &ListenerSettings| matches!(one.address, ListenAddress::Unix(_));
            (
                config.listeners.iter().any(is_unix),
                "no Unix socket is listened on",
            )
        }
        Needs::UpstreamTls => (settings.upstream.is_tls(), "upstream is no https:// URL"),
        Needs::Store => (config.gateway.store.is_some(), "store is off"),
        Needs::StoreTls => {
            let store = config.gateway.store.as_ref();
            let is_tls = store.is_some_and(|store| store.is_tls());
            (is_tls, "store is no rediss:// URL")
        }
    };
    (!has_effect).then_some(why)
}

const NO_RELAY: &str = "it is for shared and resumable streams, and neither share nor resume is on";
const NO_RELAYS: &str = "it is for shared and resumable streams, and no route has them";
const OWN_IDS: &str = "shared and resumable streams always have ids of the gateway";
