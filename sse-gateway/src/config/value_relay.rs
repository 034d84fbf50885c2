//! The same for the settings of sharing and resuming.

use http::{HeaderName, header};
use tower_sse::relay::{AfterEnd, Key, OnFull, OnLeave, Secret, SlowClient, Start};

use super::relay::{Bound, GapEvent};
use super::value::{Parsed, choices, event_type, line, number, or_wrong, switch, time};

pub(crate) fn gap_event(text: &str) -> Parsed<GapEvent> {
    match text {
        "auto" => Ok(GapEvent::Auto),
        "off" => Ok(GapEvent::Off),
        name => event_type(name).map(GapEvent::Named),
    }
}

pub(crate) fn one_line(text: &str) -> Parsed<String> {
    line(text, "has more than one line; use one line without NULL")
}

pub(crate) fn share(text: &str) -> Parsed<Option<Key>> {
    let key = |text: &str| {
        // As in "on, body".
        let parts = text.split(',').map(str::trim);
        let parts = parts.map(|part| if part == "on" { "default" } else { part });
        let key = parts.collect::<Vec<_>>().join(",").parse();
        key.map_err(|error| format!("{error}; use off, on or a list of these"))
    };
    switch_or(text, key)
}

pub(crate) fn field_name(text: &str) -> Parsed<HeaderName> {
    let why = "is not the name of a field; use names such as x-request-start, or off";
    or_wrong(text.parse().ok(), text, why)
}

pub(crate) fn resume(text: &str) -> Parsed<Option<Bound>> {
    switch_or(text, bound)
}

/// Cookies add to `Authorization`, and fields take its place unless it is named too.
fn bound(text: &str) -> Parsed<Bound> {
    let why = "is none of these; use on, off, or what a stream is bound to: auth, header:NAME or cookie:NAME, as in \
               header:x-user";
    let (mut fields, mut cookies) = (Vec::new(), Vec::new());
    for part in text.split(',').map(str::trim) {
        let field = match part.split_once(':') {
            Some(("cookie", name)) if !name.is_empty() => {
                cookies.push(name.to_owned());
                continue;
            }
            Some(("header", name)) => name.parse().ok(),
            None if part == "auth" => Some(header::AUTHORIZATION),
            _ => None,
        };
        fields.push(or_wrong(field, part, why)?);
    }
    if fields.is_empty() {
        fields = Bound::default().fields;
    }
    Ok(Bound { fields, cookies })
}

fn switch_or<T: Default>(text: &str, parse: impl Fn(&str) -> Parsed<T>) -> Parsed<Option<T>> {
    match switch(text) {
        Ok(on) => Ok(on.then(T::default)),
        Err(_) => parse(text).map(Some),
    }
}

pub(crate) fn secret_file(path: &str) -> Parsed<Secret> {
    let read = std::fs::read(path);
    let bytes = read.map_err(|error| format!("{path:?} cannot be read: {error}"))?;
    Secret::new(bytes.trim_ascii_end()).map_err(|error| format!("{path:?}: {error}"))
}

pub(crate) fn events(text: &str) -> Parsed<usize> {
    number("events", 1000)(text)
}

pub(crate) fn start(text: &str) -> Parsed<Start> {
    let why = "is not a start; use live, all or last:N, such as last:20";
    match (text, text.strip_prefix("last:")) {
        ("live", _) => Ok(Start::Live),
        ("all", _) => Ok(Start::All),
        (_, Some(number)) => events(number).map(|number| Start::Last(number as u64)),
        _ => or_wrong(None, text, why),
    }
}

pub(crate) fn on_leave(text: &str) -> Parsed<OnLeave> {
    let why = "is not a choice; use cancel, finish or linger:TIME, such as linger:10s";
    match (text, text.strip_prefix("linger:")) {
        ("cancel", _) => Ok(OnLeave::Cancel),
        ("finish", _) => Ok(OnLeave::Finish),
        (_, Some(after)) => time(after).map(OnLeave::Linger),
        _ => or_wrong(None, text, why),
    }
}

choices! {
    after_end: AfterEnd { "again": AfterEnd::Again, "204": AfterEnd::NoContent }
    on_full: Option<OnFull> { "auto": None, "wait": Some(OnFull::Wait), "drop": Some(OnFull::Drop) }
    slow_client: SlowClient {
        "disconnect": SlowClient::Disconnect, "skip": SlowClient::Skip, "latest": SlowClient::Latest
    }
}
