//! From the text of a value to the value. An error says what is wrong and what would be right.

use std::net::SocketAddr;
use std::time::Duration;

use bytesize::ByteSize;
use http::StatusCode;

use super::{HeartbeatFrame, IdleCounts, Ids, LogFormat, NoAnswer};
use crate::config::host::{self, Authority, Host};
use crate::config::trusted_proxies::TrustedProxies;
use crate::config::upstream::Upstream;

pub(super) type Parsed<T> = Result<T, String>;

/// Bounded on both sides: a `retry` field has milliseconds, and the clock cannot add every `Duration`.
pub(crate) fn time(text: &str) -> Parsed<Duration> {
    const SHORTEST: Duration = Duration::from_millis(1);
    const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);
    match humantime::parse_duration(text) {
        Err(_) => Err(format!(
            "{text:?} is not a time; use a number and its unit, such as 500ms, 15s or 2h"
        )),
        Ok(time) if time < SHORTEST => Err(format!("{text:?} is too short; use at least 1ms")),
        Ok(time) if time > LONGEST => Err(format!("{text:?} is too long; use at most 365days")),
        Ok(time) => Ok(time),
    }
}

pub(crate) fn time_or_off(text: &str) -> Parsed<Option<Duration>> {
    or_off(text, time)
}

pub(crate) fn size(text: &str) -> Parsed<usize> {
    let right = "use a size from 1KiB to 1GiB, such as 64KiB or 1MiB";
    size_in(text, 1 << 10, 1 << 30, right)
}

/// Of all histories together.
pub(crate) fn budget(text: &str) -> Parsed<usize> {
    let right = "use a size from 1MiB to 1TiB, such as 256MiB or 4GiB";
    size_in(text, 1 << 20, 1 << 40, right)
}

fn size_in(text: &str, least: u64, most: u64, right: &str) -> Parsed<usize> {
    let Ok(ByteSize(bytes)) = text.parse() else {
        return Err(format!("{text:?} is not a size; {right}"));
    };
    match usize::try_from(bytes) {
        Ok(size) if (least..=most).contains(&bytes) => Ok(size),
        _ if bytes < least => Err(format!("{text:?} is too small; {right}")),
        _ => Err(format!("{text:?} is too large; {right}")),
    }
}

pub(crate) fn jitter(text: &str) -> Parsed<f64> {
    match text.parse::<f64>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share.abs()),
        _ => Err(format!(
            "{text:?} is not a share; use a number from 0 to 1, such as 0.5"
        )),
    }
}

pub(crate) fn switch(text: &str) -> Parsed<bool> {
    choice(
        text,
        &[
            ("on", true),
            ("off", false),
            ("true", true),
            ("false", false),
        ],
    )
    .map_err(|_| format!("{text:?} is neither on nor off; use on or off"))
}

pub(crate) fn address(text: &str) -> Parsed<SocketAddr> {
    let numeric = match text.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => text.to_owned(),
    };
    numeric.parse().map_err(|_| {
        format!("{text:?} is not an address and port; use one such as 127.0.0.1:8080, 0.0.0.0:8080 or [::1]:8080")
    })
}

pub(crate) fn address_or_off(text: &str) -> Parsed<Option<SocketAddr>> {
    or_off(text, address)
}

/// In lower case, without a dot at the end.
pub(crate) fn host_names_or_off(text: &str) -> Parsed<Vec<String>> {
    match text {
        "off" => Ok(Vec::new()),
        _ => text.split(',').map(|name| host_name(name.trim())).collect(),
    }
}

fn host_name(text: &str) -> Parsed<String> {
    const RIGHT: &str = "use names such as gateway.internal, or off";
    match Authority::parse(text) {
        Some(Authority {
            host: Host::Address(_),
            ..
        }) => Err(format!(
            "{text:?} is an address, and these are taken anyway; {RIGHT}"
        )),
        Some(Authority {
            host: Host::Name(name),
            port: Some(_),
        }) if host::is_name(&name) => Err(format!(
            "{text:?} has a port, and any port is taken; use {name}"
        )),
        Some(Authority {
            host: Host::Name(name),
            port: None,
        }) if host::is_name(&name) => Ok(name),
        _ => Err(format!("{text:?} is not a host name; {RIGHT}")),
    }
}

pub(crate) fn trusted_proxy(text: &str) -> Parsed<TrustedProxies> {
    or_off(text, TrustedProxies::parse).map(Option::unwrap_or_default)
}

pub(crate) fn upstream(text: &str) -> Parsed<String> {
    Upstream::parse(text).map(|_| text.to_owned())
}

pub(crate) fn heartbeat_frame(text: &str) -> Parsed<HeartbeatFrame> {
    match text {
        "line" => Ok(HeartbeatFrame::Line),
        "block" => Ok(HeartbeatFrame::Block),
        _ => match text.strip_prefix("event:") {
            Some(name) => event_type(name).map(HeartbeatFrame::Event),
            None => Err(format!(
                "{text:?} is not a frame; use line, block or event:NAME, such as event:heartbeat"
            )),
        },
    }
}

pub(crate) fn event_type_or_off(text: &str) -> Parsed<Option<String>> {
    or_off(text, event_type)
}

pub(crate) fn ids(text: &str) -> Parsed<Ids> {
    choice(
        text,
        &[
            ("fill", Ids::Fill),
            ("replace", Ids::Replace),
            ("keep", Ids::Keep),
            ("off", Ids::Off),
        ],
    )
}

pub(crate) fn idle_counts(text: &str) -> Parsed<IdleCounts> {
    choice(
        text,
        &[("bytes", IdleCounts::Bytes), ("events", IdleCounts::Events)],
    )
}

pub(crate) fn log_format(text: &str) -> Parsed<LogFormat> {
    choice(
        text,
        &[("text", LogFormat::Text), ("json", LogFormat::Json)],
    )
}

pub(crate) fn no_answer(text: &str) -> Parsed<NoAnswer> {
    choice(
        text,
        &[
            ("close", NoAnswer::Close),
            ("answer", NoAnswer::Answer),
            ("hold", NoAnswer::Hold),
        ],
    )
}

pub(crate) fn statuses_or_off(text: &str) -> Parsed<Vec<StatusCode>> {
    match text {
        "off" => Ok(Vec::new()),
        _ => text.split(',').map(|one| status(one.trim())).collect(),
    }
}

fn status(text: &str) -> Parsed<StatusCode> {
    let status = text.parse().ok();
    status
        .filter(|status: &StatusCode| status.is_client_error() || status.is_server_error())
        .ok_or_else(|| {
            format!("{text:?} is not the status of an error; use some from 400 to 599, such as 502,503,504, or off")
        })
}

pub(super) fn event_type(text: &str) -> Parsed<String> {
    match text {
        "" => Err("the event type is empty; use a name such as pause".to_owned()),
        _ if text.contains(['\r', '\n', '\0']) => Err(format!(
            "{text:?} is not an event type; use one line without CR, LF and NULL"
        )),
        _ => Ok(text.to_owned()),
    }
}

pub(super) fn or_off<T>(text: &str, parse: fn(&str) -> Parsed<T>) -> Parsed<Option<T>> {
    match text {
        "off" => Ok(None),
        _ => parse(text)
            .map(Some)
            .map_err(|error| format!("{error}, or off")),
    }
}

pub(super) fn or_auto<T>(text: &str, parse: fn(&str) -> Parsed<T>) -> Parsed<Option<T>> {
    match text {
        "auto" => Ok(None),
        _ => parse(text)
            .map(Some)
            .map_err(|error| format!("{error}, or auto")),
    }
}

pub(super) fn choice<T: Copy>(text: &str, choices: &[(&str, T)]) -> Parsed<T> {
    if let Some((_, value)) = choices.iter().find(|(name, _)| *name == text) {
        return Ok(*value);
    }
    let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
    let (last, others) = names
        .split_last()
        .map_or(("", &[][..]), |(last, others)| (*last, others));
    Err(format!(
        "{text:?} is not a choice; use {} or {last}",
        others.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_more_than_nothing_and_less_than_for_ever() {
        assert_eq!(time("15s"), Ok(Duration::from_secs(15)));
        assert_eq!(time("1h 30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(time("365days"), Ok(Duration::from_secs(365 * 24 * 60 * 60)));
        for text in [
            "",
            "15",
            "0",
            "0s",
            "999us",
            "366days",
            "99999999999999999999y",
            "-1s",
            "soon",
            "off",
        ] {
            assert!(time(text).is_err(), "{text:?}");
        }
        assert_eq!(time_or_off("off"), Ok(None));
    }

    #[test]
    fn a_size_is_bounded() {
        assert_eq!(size("1024"), Ok(1024));
        assert_eq!(size("1 MiB"), Ok(1 << 20));
        assert_eq!(size("1GiB"), Ok(1 << 30));
        for text in ["", "1", "1023B", "1.1GiB", "16EiB", "-1KiB", "big"] {
            assert!(size(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn statuses_are_those_of_errors() {
        let both = vec![StatusCode::BAD_GATEWAY, StatusCode::GATEWAY_TIMEOUT];
        assert_eq!(statuses_or_off("502, 504"), Ok(both));
        assert_eq!(statuses_or_off("off"), Ok(Vec::new()));
        for text in ["", "502,", "200", "304", "600", "5xx", "bad"] {
            assert!(statuses_or_off(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_jitter_is_a_share() {
        assert_eq!(jitter("0"), Ok(0.0));
        assert_eq!(jitter("-0").map(f64::is_sign_positive), Ok(true));
        assert_eq!(jitter("1"), Ok(1.0));
        for text in ["", "-0.1", "1.01", "NaN", "inf", "50%"] {
            assert!(jitter(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn an_address_has_a_port() {
        assert_eq!(
            address("localhost:80"),
            Ok(SocketAddr::from(([127, 0, 0, 1], 80)))
        );
        assert_eq!(
            address("[::1]:8080").map(|address| address.is_ipv6()),
            Ok(true)
        );
        for text in [
            "",
            "8080",
            ":8080",
            "localhost",
            "127.0.0.1",
            "example.com:80",
            "127.0.0.1:65536",
        ] {
            assert!(address(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn host_names_have_no_port_and_are_no_addresses() {
        assert_eq!(host_names_or_off("off"), Ok(Vec::new()));
        assert_eq!(
            host_names_or_off("Gateway.svc., gw"),
            Ok(vec!["gateway.svc".to_owned(), "gw".to_owned()])
        );
        for text in [
            "",
            ",",
            "gw,",
            "gw:9078",
            "10.0.0.1",
            "[::1]",
            "::1",
            "*",
            "*.svc",
            "http://gw",
            "a b",
            "gw/x",
            "g\u{fc}",
        ] {
            assert!(host_names_or_off(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn an_event_type_is_one_line() {
        assert_eq!(
            heartbeat_frame("event:ping"),
            Ok(HeartbeatFrame::Event("ping".to_owned()))
        );
        assert_eq!(event_type_or_off("pause"), Ok(Some("pause".to_owned())));
        for text in ["", "a\rb", "a\nb", "a\0b"] {
            assert!(event_type_or_off(text).is_err(), "{text:?}");
            assert!(
                heartbeat_frame(&format!("event:{text}")).is_err(),
                "{text:?}"
            );
        }
    }
}
