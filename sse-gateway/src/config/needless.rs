//! Finds what was set and has no effect where it stands, and routes that nothing reaches.

use super::given::{Place, Values};
use super::setting::{Scope, Setting};
use super::{Config, Ids, Relayed, Route, Sources, known};

/// A line for each.
pub(crate) fn warnings(sources: &Sources, config: &Config) -> Vec<String> {
    let mut warnings = Vec::new();
    let entries = &sources.file.routes;
    let routes = || config.routes.iter().chain(&config.fallback);
    for (route, entry) in config.routes.iter().zip(entries) {
        for setting in known::ALL.iter() {
            if let (Some(place), Some(why)) = (
                place(&[&entry.values], setting),
                needless(setting, config, route),
            ) {
                warnings.push(told(place, setting, why));
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
        warnings.extend(why.map(|why| told(place, setting, why)));
    }
    for (at, entry) in entries.iter().enumerate() {
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

/// Where it was set, if it was.
fn place<'a>(layers: &[&'a Values], setting: &Setting) -> Option<&'a Place> {
    let given = layers.iter().find_map(|values| values.get(setting));
    given.map(|given| &given.place)
}

fn told(place: &Place, setting: &Setting, why: &str) -> String {
    match place {
        Place::Line(..) => format!("{place}: {} has no effect: {why}", setting.path()),
        _ => format!("{place} has no effect: {why}"),
    }
}

fn needless(setting: &Setting, config: &Config, route: &Route) -> Option<&'static str> {
    setting.needless.and_then(|why| why(config, route))
}

// ===== reasons =====

/// Why a setting has no effect on a route, if it has none.
pub(crate) type Needless = fn(&Config, &Route) -> Option<&'static str>;

pub(super) fn of_relays(_: &Config, route: &Route) -> Option<&'static str> {
    (route.relayed == Relayed::No)
        .then_some("it is for shared and resumable streams, and neither share nor resume is on")
}

pub(super) fn of_all_relays(_: &Config, route: &Route) -> Option<&'static str> {
    (route.relayed == Relayed::No)
        .then_some("it is for shared and resumable streams, and no route has them")
}

pub(super) fn of_shared(_: &Config, route: &Route) -> Option<&'static str> {
    let is_shared = matches!(route.relayed, Relayed::Shared(_));
    (!is_shared).then_some("it is for shared streams, and share is off")
}

pub(super) fn ids(_: &Config, route: &Route) -> Option<&'static str> {
    let gives_way = matches!(route.settings.ids, Ids::Replace | Ids::Off);
    (gives_way && route.relayed != Relayed::No)
        .then_some("shared and resumable streams always have ids of the gateway")
}

pub(super) fn of_heartbeat(_: &Config, route: &Route) -> Option<&'static str> {
    let is_off = route.settings.heartbeat.is_none();
    is_off.then_some("heartbeat is off")
}

pub(super) fn of_retry(_: &Config, route: &Route) -> Option<&'static str> {
    let is_off = route.settings.retry.is_none();
    is_off.then_some("retry is off")
}

pub(super) fn of_idle_timeout(_: &Config, route: &Route) -> Option<&'static str> {
    let is_off = route.settings.idle_timeout.is_none();
    is_off.then_some("idle_timeout is off")
}

pub(super) fn of_admin(config: &Config, _: &Route) -> Option<&'static str> {
    let is_off = config.gateway.admin_listen.is_none();
    is_off.then_some("admin_listen is off")
}
