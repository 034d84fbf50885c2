//! The same for the settings of sharing and resuming.

use http::HeaderName;
use tower_sse::relay::{AfterEnd, Key, OnFull, OnLeave, Secret, SlowClient, Start};

use super::relay::GapEvent;
use super::value::{Parsed, choices, event_type, number, time};

pub(crate) fn gap_event(text: &str) -> Parsed<GapEvent> {
    match text {
        "auto" => Ok(GapEvent::Auto),
        "off" => Ok(GapEvent::Off),
        name => event_type(name).map(GapEvent::Named),
    }
}

pub(crate) fn one_line(text: &str) -> Parsed<String> {
    match text.contains(['\r', '\n', '\0']) {
        true => Err(format!(
            "{text:?} has more than one line; use one line without NULL"
        )),
        false => Ok(text.to_owned()),
    }
}

pub(crate) fn share(text: &str) -> Parsed<Option<Key>> {
    match text {
        "off" | "false" => return Ok(None),
        "on" | "true" => return Ok(Some(Key::default())),
        _ => {}
    }
    // As in "on, body".
    let parts = text.split(',').map(str::trim);
    let parts = parts.map(|part| if part == "on" { "default" } else { part });
    let key = parts.collect::<Vec<_>>().join(",").parse();
    key.map(Some)
        .map_err(|error| format!("{error}; use off, on or a list of these"))
}

pub(crate) fn field_name(text: &str) -> Parsed<HeaderName> {
    text.parse().map_err(|_| {
        format!("{text:?} is not the name of a field; use names such as x-request-start, or off")
    })
}

pub(crate) fn resume(text: &str) -> Parsed<Option<Vec<String>>> {
    match text {
        "off" | "false" => return Ok(None),
        "on" | "true" => return Ok(Some(Vec::new())),
        _ => {}
    }
    let name = |part: &str| match part.trim().strip_prefix("cookie:") {
        Some(name) if !name.is_empty() => Ok(name.to_owned()),
        _ => Err(format!(
            "{part:?} is none of these; use on, off, or the cookies to which a stream is bound, as in cookie:session"
        )),
    };
    text.split(',')
        .map(name)
        .collect::<Result<_, _>>()
        .map(Some)
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
    match text {
        "live" => Ok(Start::Live),
        "all" => Ok(Start::All),
        _ => match text.strip_prefix("last:") {
            Some(number) => events(number).map(|number| Start::Last(number as u64)),
            None => Err(format!(
                "{text:?} is not a start; use live, all or last:N, such as last:20"
            )),
        },
    }
}

pub(crate) fn on_leave(text: &str) -> Parsed<OnLeave> {
    match text {
        "cancel" => Ok(OnLeave::Cancel),
        "finish" => Ok(OnLeave::Finish),
        _ => match text.strip_prefix("linger:") {
            Some(text) => time(text).map(OnLeave::Linger),
            None => Err(format!(
                "{text:?} is not a choice; use cancel, finish or linger:TIME, such as linger:10s"
            )),
        },
    }
}

choices! {
    after_end: AfterEnd { "again": AfterEnd::Again, "204": AfterEnd::NoContent }
    on_full: Option<OnFull> { "auto": None, "wait": Some(OnFull::Wait), "drop": Some(OnFull::Drop) }
    slow_client: SlowClient {
        "disconnect": SlowClient::Disconnect, "skip": SlowClient::Skip, "latest": SlowClient::Latest
    }
}
