//! From the text of a value to the value. An error says what is wrong and what would be right.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use bytesize::ByteSize;
use http::{HeaderName, StatusCode};

use super::{HeartbeatFrame, IdleCounts, Ids, LogFormat, NoAnswer, ProxyProtocol};
use crate::config::host::{self, Authority, Host};
use crate::config::trusted_proxies::TrustedProxies;

pub(super) type Parsed<T> = Result<T, String>;

/// `value`, or that the text is none.
pub(super) fn or_wrong<T>(value: Option<T>, text: &str, why: &str) -> Parsed<T> {
    value.ok_or_else(|| format!("{text:?} {why}"))
}

/// Bounded on both sides: a `retry` field has milliseconds, and the clock cannot add every `Duration`.
pub(crate) fn time(text: &str) -> Parsed<Duration> {
    const SHORTEST: Duration = Duration::from_millis(1);
    const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);
    let time = humantime::parse_duration(text).ok();
    let why = match time {
        Some(time) if time < SHORTEST => "is too short; use at least 1ms",
        Some(time) if time > LONGEST => "is too long; use at most 365days",
        _ => "is not a time; use a number and its unit, such as 500ms, 15s or 2h",
    };
    let is_bounded = |time: &Duration| (SHORTEST..=LONGEST).contains(time);
    or_wrong(time.filter(is_bounded), text, why)
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
    let wrong = |what| Err(format!("{text:?} is {what}; {right}"));
    match text.parse() {
        Err(_) => wrong("not a size"),
        Ok(ByteSize(bytes)) if bytes < least => wrong("too small"),
        Ok(ByteSize(bytes)) if bytes > most => wrong("too large"),
        Ok(ByteSize(bytes)) => usize::try_from(bytes).or_else(|_| wrong("too large")),
    }
}

pub(crate) fn jitter(text: &str) -> Parsed<f64> {
    let share = text.parse().ok();
    let share = share.filter(|share| (0.0..=1.0).contains(share));
    let why = "is not a share; use a number from 0 to 1, such as 0.5";
    or_wrong(share.map(f64::abs), text, why)
}

/// How often something may be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    pub(crate) requests: NonZeroU32,
    pub(crate) per: Duration,
}

/// How many streams those may have that have the same in a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FieldLimit {
    pub(crate) field: HeaderName,
    pub(crate) most: usize,
}

pub(crate) fn field_limit(text: &str) -> Parsed<FieldLimit> {
    let limit = text.split_once('=').and_then(|(field, most)| {
        let field = field.trim().parse().ok()?;
        let most = number("streams", 10)(most.trim()).ok()?;
        Some(FieldLimit { field, most })
    });
    let why = "is not a field and its number of streams, which is 1 at least; use x-user=10";
    or_wrong(limit, text, why)
}

pub(crate) fn rate(text: &str) -> Parsed<Rate> {
    let rate = text.split_once('/').and_then(|(requests, unit)| {
        let per = match unit.trim() {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            _ => return None,
        };
        let requests: NonZeroU32 = requests.trim().parse().ok()?;
        let per = Duration::from_secs(per);
        (requests.get() <= 1_000_000).then_some(Rate { requests, per })
    });
    let why =
        "is not a rate; use a number up to 1000000 and its time, such as 20/s, 300/m or 5000/h";
    or_wrong(rate, text, why)
}

pub(crate) fn switch(text: &str) -> Parsed<bool> {
    match text {
        "on" | "true" => Ok(true),
        "off" | "false" => Ok(false),
        _ => or_wrong(None, text, "is neither on nor off; use on or off"),
    }
}

pub(crate) fn address(text: &str) -> Parsed<SocketAddr> {
    let port = text.strip_prefix("localhost:");
    let numeric = port.map_or(text.to_owned(), |port| format!("127.0.0.1:{port}"));
    let why =
        "is not an address and port; use one such as 127.0.0.1:8080, 0.0.0.0:8080 or [::1]:8080";
    or_wrong(numeric.parse().ok(), text, why)
}

/// In lower case, without a dot at the end.
pub(crate) fn host_name(text: &str) -> Parsed<String> {
    let right = "use names such as gateway.internal, or off";
    let why = match Authority::parse(text).map(|authority| (authority.host, authority.port)) {
        Some((Host::Address(_), _)) => "is an address, and these are taken anyway",
        Some((Host::Name(name), port)) if host::is_name(&name) => {
            let why = format!("has a port, and any port is taken; use {name}");
            return or_wrong(port.is_none().then_some(name), text, &why);
        }
        _ => "is not a host name",
    };
    Err(format!("{text:?} {why}; {right}"))
}

pub(crate) fn trusted_proxy(text: &str) -> Parsed<TrustedProxies> {
    or("off", TrustedProxies::parse)(text).map(Option::unwrap_or_default)
}

pub(crate) fn heartbeat_frame(text: &str) -> Parsed<HeartbeatFrame> {
    let why = "is not a frame; use line, block or event:NAME, such as event:heartbeat";
    match (text, text.strip_prefix("event:")) {
        ("line", _) => Ok(HeartbeatFrame::Line),
        ("block", _) => Ok(HeartbeatFrame::Block),
        (_, Some(name)) => event_type(name).map(HeartbeatFrame::Event),
        _ => or_wrong(None, text, why),
    }
}

pub(crate) fn status(text: &str) -> Parsed<StatusCode> {
    let status: Option<StatusCode> = text.parse().ok();
    let of_error = status.filter(|status| status.is_client_error() || status.is_server_error());
    let why =
        "is not the status of an error; use some from 400 to 599, such as 502,503,504, or off";
    or_wrong(of_error, text, why)
}

pub(crate) fn event_type(text: &str) -> Parsed<String> {
    match text {
        "" => Err("the event type is empty; use a name such as pause".to_owned()),
        _ => line(
            text,
            "is not an event type; use one line without CR, LF and NULL",
        ),
    }
}

pub(super) fn line(text: &str, why: &str) -> Parsed<String> {
    let is_line = !text.contains(['\r', '\n', '\0']);
    or_wrong(is_line.then(|| text.to_owned()), text, why)
}

// ===== kinds of values =====

/// A value or this word, which stands for none.
pub(crate) fn or<T>(
    word: &str,
    parse: impl Fn(&str) -> Parsed<T>,
) -> impl Fn(&str) -> Parsed<Option<T>> {
    move |text| {
        let value = (text != word).then(|| parse(text)).transpose();
        value.map_err(|error| format!("{error}, or {word}"))
    }
}

/// Values with commas between them.
pub(crate) fn list_or_off<T>(parse: impl Fn(&str) -> Parsed<T>) -> impl Fn(&str) -> Parsed<Vec<T>> {
    move |text| match text {
        "off" => Ok(Vec::new()),
        _ => text.split(',').map(|item| parse(item.trim())).collect(),
    }
}

/// A number of things, of which there is one at least.
pub(crate) fn number(things: &str, example: usize) -> impl Fn(&str) -> Parsed<usize> {
    number_up_to(10_000_000, things, example)
}

/// Threads that serve clients.
pub(crate) fn threads(text: &str) -> Parsed<usize> {
    number_up_to(1024, "threads", 4)(text)
}

fn number_up_to(most: usize, things: &str, example: usize) -> impl Fn(&str) -> Parsed<usize> {
    move |text| {
        let number = text.parse().ok();
        let bounded = number.filter(|number| (1..=most).contains(number));
        let why =
            format!("is not a number of {things}; use one from 1 to {most}, such as {example}");
        or_wrong(bounded, text, &why)
    }
}

/// Makes a function for values that are one of some words.
macro_rules! choices {
    ($($function:ident: $type:ty { $($word:literal: $value:expr),+ })+) => { $(
        pub(crate) fn $function(text: &str) -> $crate::config::value::Parsed<$type> {
            match text {
                $($word => Ok($value),)+
                _ => Err($crate::config::value::no_choice(text, &[$($word),+])),
            }
        }
    )+ };
}
pub(super) use choices;

pub(super) fn no_choice(text: &str, words: &[&str]) -> String {
    let (last, others) = words.split_last().unwrap_or((&"", &[]));
    let others = others.join(", ");
    format!("{text:?} is not a choice; use {others} or {last}")
}

choices! {
    ids: Ids { "fill": Ids::Fill, "replace": Ids::Replace, "keep": Ids::Keep, "off": Ids::Off }
    idle_counts: IdleCounts { "bytes": IdleCounts::Bytes, "events": IdleCounts::Events }
    log_format: LogFormat { "text": LogFormat::Text, "json": LogFormat::Json }
    proxy_protocol: Option<ProxyProtocol> {
        "off": None, "on": Some(ProxyProtocol::Any), "v1": Some(ProxyProtocol::V1), "v2": Some(ProxyProtocol::V2)
    }
    no_answer: NoAnswer { "close": NoAnswer::Close, "answer": NoAnswer::Answer, "hold": NoAnswer::Hold }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{cases::rows, known};

    /// The name of a setting, what it takes, and what it refuses beside the empty text.
    const VALUES: &str = "
        heartbeat | off ~ 1h 30m ~ 365days | 15 ~ 0s ~ 999us ~ 366days ~ 99999999999999999999y ~ -1s ~ soon
        max_event_bytes | 1024 ~ 1 MiB ~ 1GiB | 1 ~ 1023B ~ 1.1GiB ~ 16EiB ~ -1KiB ~ big
        retry_statuses | off ~ 502, 504 | 502, ~ 200 ~ 304 ~ 600 ~ 5xx ~ bad
        retry_jitter | 0 ~ -0 ~ 1 | -0.1 ~ 1.01 ~ NaN ~ inf ~ 50%
        listen | localhost:80 ~ [::1]:8080 | 8080 ~ :8080 ~ localhost ~ 127.0.0.1 ~ a.example:80 ~ 127.0.0.1:65536
        admin_hosts | off ~ Gw.svc., gw | , ~ gw, ~ gw:9078 ~ 10.0.0.1 ~ [::1] ~ ::1 ~ * ~ *.svc ~ http://gw ~ a b ~ gw/x ~ gü
        pause_event | off ~ pause | a\rb ~ a\0b
        heartbeat_frame | event:ping | event: ~ event:a\rb ~ event:a\0b
        share | off ~ on ~ path,auth ~ on, body | yes ~ path, ~ cookie
        start | last:3 | last ~ last: ~ last:0 ~ last:-1 ~ first
        on_leave | linger:1m | linger ~ linger: ~ linger:0s ~ stay
        history_events | auto ~ 10000000 | 0 ~ 10000001 ~ 1e3 ~ many
        ignore | off ~ x-a, X-B | x-a, ~ a b
        resume | on ~ cookie:a, cookie:b ~ auth, header:x-user | cookie: ~ a ~ header: ~ header:a b ~ auth,";

    #[test]
    fn values_are_bounded_and_of_one_form() {
        for [name, right, wrong] in rows(VALUES, " | ") {
            let setting = known::ALL.named(name).expect("a setting");
            for text in right.split(" ~ ") {
                assert_eq!((setting.check)(text), Ok(()), "{name} {text:?}");
            }
            for text in wrong.split(" ~ ").chain([""]) {
                assert!((setting.check)(text).is_err(), "{name} {text:?}");
            }
        }
    }

    #[test]
    fn values_are_what_was_written() {
        assert_eq!(time("1h 30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(or("off", time)("off"), Ok(None));
        assert_eq!(size("1 MiB"), Ok(1 << 20));
        assert_eq!(jitter("-0").map(f64::is_sign_positive), Ok(true));
        assert_eq!(address("localhost:80"), Ok(([127, 0, 0, 1], 80).into()));
        let names = list_or_off(host_name)("Gateway.svc., gw");
        assert_eq!(
            names.map(|names| names.join(" ")).as_deref(),
            Ok("gateway.svc gw")
        );
        assert!(event_type("a\nb").is_err());
        let frame = HeartbeatFrame::Event("ping".to_owned());
        assert_eq!(heartbeat_frame("event:ping"), Ok(frame));
    }
}
