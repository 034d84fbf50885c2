//! The same for the settings of sharing and resuming.

use http::HeaderName;
use tower_sse::relay::{AfterEnd, Key, OnFull, OnLeave, Secret, SlowClient, Start};

use super::relay::GapEvent;
use super::value::{Parsed, choice, event_type, or_auto, or_off, size, time};

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

pub(crate) fn after_end(text: &str) -> Parsed<AfterEnd> {
    choice(
        text,
        &[("again", AfterEnd::Again), ("204", AfterEnd::NoContent)],
    )
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

pub(crate) fn field_names_or_off(text: &str) -> Parsed<Vec<HeaderName>> {
    let name = |text: &str| {
        text.trim().parse().map_err(|_| {
            format!(
                "{text:?} is not the name of a field; use names such as x-request-start, or off"
            )
        })
    };
    match text {
        "off" => Ok(Vec::new()),
        _ => text.split(',').map(name).collect(),
    }
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

pub(crate) fn secret_file_or_off(text: &str) -> Parsed<Option<Secret>> {
    or_off(text, |path| {
        let read = std::fs::read(path);
        let bytes = read.map_err(|error| format!("{path:?} cannot be read: {error}"))?;
        Secret::new(bytes.trim_ascii_end()).map_err(|error| format!("{path:?}: {error}"))
    })
}

pub(crate) fn relays(text: &str) -> Parsed<usize> {
    match text.parse() {
        Ok(relays) if (1..=MOST_RELAYS).contains(&relays) => Ok(relays),
        _ => Err(format!(
            "{text:?} is not a number of streams; use one from 1 to {MOST_RELAYS}, such as 2000"
        )),
    }
}

const MOST_RELAYS: usize = 10_000_000;

pub(crate) fn events(text: &str) -> Parsed<usize> {
    match text.parse() {
        Ok(events) if (1..=MOST_EVENTS).contains(&events) => Ok(events),
        _ => Err(format!(
            "{text:?} is not a number of events; use one from 1 to {MOST_EVENTS}, such as 1000"
        )),
    }
}

const MOST_EVENTS: usize = 10_000_000;

pub(crate) fn events_or_auto(text: &str) -> Parsed<Option<usize>> {
    or_auto(text, events)
}

pub(crate) fn size_or_auto(text: &str) -> Parsed<Option<usize>> {
    or_auto(text, size)
}

pub(crate) fn on_full(text: &str) -> Parsed<Option<OnFull>> {
    choice(
        text,
        &[
            ("auto", None),
            ("wait", Some(OnFull::Wait)),
            ("drop", Some(OnFull::Drop)),
        ],
    )
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

pub(crate) fn slow_client(text: &str) -> Parsed<SlowClient> {
    choice(
        text,
        &[
            ("disconnect", SlowClient::Disconnect),
            ("skip", SlowClient::Skip),
            ("latest", SlowClient::Latest),
        ],
    )
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_key_is_a_switch_or_a_list() {
        assert_eq!(share("off"), Ok(None));
        assert_eq!(share("on"), Ok(Some(Key::default())));
        assert_eq!(share("path,auth").map(|key| key.is_some()), Ok(true));
        for text in ["", "yes", "path,", "cookie"] {
            assert!(share(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_start_and_a_leave_have_their_numbers() {
        assert_eq!(start("last:3"), Ok(Start::Last(3)));
        for text in ["", "last", "last:", "last:0", "last:-1", "first"] {
            assert!(start(text).is_err(), "{text:?}");
        }
        assert_eq!(
            on_leave("linger:1m"),
            Ok(OnLeave::Linger(Duration::from_secs(60)))
        );
        for text in ["", "linger", "linger:", "linger:0s", "stay"] {
            assert!(on_leave(text).is_err(), "{text:?}");
        }
        assert_eq!(events("10000000"), Ok(MOST_EVENTS));
        for text in ["", "0", "10000001", "1e3", "many"] {
            assert!(events(text).is_err(), "{text:?}");
        }
    }
}
