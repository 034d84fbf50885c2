//! Finds what was set and has no effect where it stands, and routes that nothing reaches.

use super::given::{Layers, Place, Values};
use super::known::{self, Known, Scope};
use super::{Config, Ids, Relayed, Route, Sources, StreamSettings};

/// A line for each.
pub(crate) fn warnings(sources: &Sources, config: &Config) -> Vec<String> {
    let mut warnings = Vec::new();
    let entries = &sources.file.routes;
    let routes = || config.routes.iter().chain(&config.fallback);
    for (route, entry) in config.routes.iter().zip(entries) {
        for setting in known::ALL {
            if let (Some(place), Some(why)) = (
                place(&[&entry.values], setting),
                needless(setting, &route.stream),
            ) {
                warnings.push(told(&place, setting, why));
            }
        }
    }
    for setting in known::ALL {
        let Some(place) = place(&sources.top(), setting) else {
            continue;
        };
        let why = match setting.scope() {
            Scope::Gateway => needless_everywhere(setting, config),
            Scope::Route => {
                // Of the routes that go by it; the fallback always does.
                let has_own = |at: usize| {
                    let own = entries.get(at).map(|entry| &entry.values);
                    own.is_some_and(|own| self::place(&[own], setting).is_some())
                };
                let by_it = routes().enumerate().filter(|(at, _)| !has_own(*at));
                let why = by_it.map(|(_, route)| needless(setting, &route.stream));
                // It has an effect where one of them has no reason.
                why.reduce(|one, other| one.and(other)).flatten()
            }
        };
        warnings.extend(why.map(|why| told(&place, setting, why)));
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
fn place(layers: &[&Values], setting: &dyn Known) -> Option<Place> {
    let given = Layers(layers).given(setting)?;
    (given.place != Place::Default).then_some(given.place)
}

fn told(place: &Place, setting: &dyn Known, why: &str) -> String {
    match place {
        Place::Line(..) => format!("{place}: {} has no effect: {why}", setting.key()),
        _ => format!("{place} has no effect: {why}"),
    }
}

/// Why a setting has no effect on the streams of a route.
fn needless(setting: &dyn Known, stream: &StreamSettings) -> Option<&'static str> {
    let relayed = &stream.relay.relayed;
    let of_relays = [
        known::MAX_RELAYS.key(),
        known::MAX_IDLE_RELAYS.key(),
        known::MAX_IDLE_RELAYS_PER_CLIENT.key(),
        known::HISTORY_EVENTS.key(),
        known::HISTORY_BYTES.key(),
        known::HISTORY_AGE.key(),
        known::GAP_EVENT.key(),
        known::SLOW_CLIENT.key(),
        known::ON_LEAVE.key(),
        known::HOLD.key(),
        known::OPEN_AFTER.key(),
        known::GIVE_UP.key(),
        known::KEEP_FINISHED.key(),
    ];
    let of_shared = [
        known::IGNORE.key(),
        known::SHARE_PRIVATE.key(),
        known::START.key(),
    ];
    let key = setting.key();
    if of_relays.contains(&key) && *relayed == Relayed::No {
        Some("it is for shared and resumable streams, and neither share nor resume is on")
    } else if of_shared.contains(&key) && !matches!(relayed, Relayed::Shared(_)) {
        Some("it is for shared streams, and share is off")
    } else if key == known::IDS.key()
        && *relayed != Relayed::No
        && matches!(stream.ids, Ids::Replace | Ids::Off)
    {
        Some("shared and resumable streams always have ids of the gateway")
    } else if [known::HEARTBEAT_FRAME.key(), known::OPENING_COMMENT.key()].contains(&key)
        && stream.heartbeat.is_none()
    {
        Some("heartbeat is off")
    } else if key == known::RETRY_JITTER.key() && stream.retry.is_none() {
        Some("retry is off")
    } else if key == known::IDLE_COUNTS.key() && stream.idle_timeout.is_none() {
        Some("idle_timeout is off")
    } else {
        None
    }
}

fn needless_everywhere(setting: &dyn Known, config: &Config) -> Option<&'static str> {
    let of_relays = [known::HISTORY_BUDGET.key(), known::SECRET_FILE.key()];
    let is_relayed = |route: &Route| route.stream.relay.relayed != Relayed::No;
    let mut routes = config.routes.iter().chain(&config.fallback);
    if of_relays.contains(&setting.key()) && !routes.any(is_relayed) {
        Some("it is for shared and resumable streams, and no route has them")
    } else if setting.key() == known::ADMIN_HOSTS.key() && config.admin_listen.is_none() {
        Some("admin_listen is off")
    } else {
        None
    }
}
