//! The variables of OpenTelemetry that say where spans go and how. Those that are not read here are read by its crates.
//!
//! The crates take what is none of the values of a variable for its default, without a word. Here it is refused.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::tls::KeyPair;
use crate::config::upstream_tls::UpstreamTls;
use crate::config::{Error, ServiceUrl};

const ENDPOINT: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
];
const TIMEOUT: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
    "OTEL_EXPORTER_OTLP_TIMEOUT",
];
const PROTOCOL: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
    "OTEL_EXPORTER_OTLP_PROTOCOL",
];
const CA: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_CERTIFICATE",
];
const CERT: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
];
const KEY: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY",
    "OTEL_EXPORTER_OTLP_CLIENT_KEY",
];
const DISABLED: &str = "OTEL_SDK_DISABLED";
const EXPORTER: &str = "OTEL_TRACES_EXPORTER";
const QUEUE: &str = "OTEL_BSP_MAX_QUEUE_SIZE";
const SAMPLER: &str = "OTEL_TRACES_SAMPLER";
const SAMPLER_ARG: &str = "OTEL_TRACES_SAMPLER_ARG";

const SAMPLERS: [&str; 6] = [
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
    "always_on",
    "always_off",
    "traceidratio",
];
const MOST_WAITING: usize = 100_000;
/// A day.
const LONGEST: u64 = 86_400_000;

/// Where spans go and how.
#[derive(Debug)]
pub(super) struct Variables {
    /// With its path.
    pub(super) endpoint: String,
    /// The same.
    pub(super) url: ServiceUrl,
    /// The variable that says so.
    pub(super) place: &'static str,
    pub(super) timeout: Duration,
    pub(super) tls: UpstreamTls,
    /// How many spans may wait.
    pub(super) queue: usize,
}

impl Variables {
    /// None if they say that there are to be no spans. An empty variable counts as not set.
    ///
    /// # Errors
    ///
    /// When one has a value that it cannot have, or that the gateway has not.
    pub(super) fn read(get: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, Error> {
        let get = |name: &str| get(name).filter(|value| !value.is_empty());
        let first = |names: [&'static str; 2]| {
            let mut found = names.into_iter();
            found.find_map(|name| Some((name, get(name)?)))
        };
        if get(DISABLED).is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return Ok(None);
        }
        match get(EXPORTER).as_deref() {
            None | Some("otlp") => {}
            Some("none") => return Ok(None),
            Some(other) => {
                return Err(wrong(EXPORTER, other, "is not to be had; use otlp or none"));
            }
        }
        if let Some((name, protocol)) = first(PROTOCOL).filter(|(_, it)| it != "http/protobuf") {
            let why = "is not to be had; use http/protobuf, which collectors take on port 4318";
            return Err(wrong(name, &protocol, why));
        }
        check_sampler(get(SAMPLER), get(SAMPLER_ARG))?;
        let (place, endpoint) = match first(ENDPOINT) {
            Some((name, own)) if name == ENDPOINT[0] => (name, own),
            Some((name, of_all)) => (name, of_all.trim_end_matches('/').to_owned() + "/v1/traces"),
            None => (ENDPOINT[1], "http://localhost:4318/v1/traces".to_owned()),
        };
        let url = ServiceUrl::parse(&endpoint).map_err(|error| {
            let what = error.split("; use one such as").next().unwrap_or_default();
            Error::at(
                place,
                format_args!("{what}; use one such as http://localhost:4318"),
            )
        })?;
        let timeout = match first(TIMEOUT) {
            None => Duration::from_secs(10),
            Some((name, text)) => {
                let time = text
                    .parse()
                    .ok()
                    .filter(|time| (1..=LONGEST).contains(time));
                let why = "is not a number of milliseconds; use one such as 10000";
                time.map(Duration::from_millis)
                    .ok_or_else(|| wrong(name, &text, why))?
            }
        };
        let queue = match get(QUEUE) {
            None => 2048,
            Some(text) => {
                let most = text
                    .parse()
                    .ok()
                    .filter(|most| (1..=MOST_WAITING).contains(most));
                let why = "is not a number of spans; use one from 1 to 100000, such as 2048";
                most.ok_or_else(|| wrong(QUEUE, &text, why))?
            }
        };
        let file = |names| first(names).map(|(_, path)| PathBuf::from(path));
        let lacks = |has: &str, lacks| Error::at(has, format_args!("needs {lacks} too"));
        let own = match (file(CERT), file(KEY)) {
            (Some(cert), Some(key)) => Some(KeyPair { cert, key }),
            (None, None) => None,
            (Some(_), None) => return Err(lacks(CERT[1], KEY[1])),
            (None, Some(_)) => return Err(lacks(KEY[1], CERT[1])),
        };
        Ok(Some(Variables {
            endpoint,
            url,
            place,
            timeout,
            tls: UpstreamTls::new(file(CA), own),
            queue,
        }))
    }
}

fn check_sampler(sampler: Option<String>, argument: Option<String>) -> Result<(), Error> {
    let Some(sampler) = sampler else {
        return Ok(());
    };
    if !SAMPLERS.contains(&&*sampler) {
        let why = format!("is not to be had; use one of {}", SAMPLERS.join(", "));
        return Err(wrong(SAMPLER, &sampler, &why));
    }
    let argument = argument.filter(|_| sampler.ends_with("traceidratio"));
    let is_share = |text: &str| {
        text.parse()
            .is_ok_and(|share: f64| (0.0..=1.0).contains(&share))
    };
    match argument.filter(|text| !is_share(text)) {
        None => Ok(()),
        Some(text) => Err(wrong(
            SAMPLER_ARG,
            &text,
            "is no share from 0 to 1; use one such as 0.1",
        )),
    }
}

fn wrong(name: &str, value: &str, why: &str) -> Error {
    Error::at(name, format_args!("{value:?} {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Option<Variables>, String> {
        let value = |name: &str| {
            let mut found = variables.iter().filter(|(known, _)| *known == name);
            found.next().map(|(_, value)| (*value).to_owned())
        };
        Variables::read(value).map_err(|error| error.to_string())
    }

    #[test]
    fn spans_go_where_the_variables_say() {
        let (of_all, own) = (ENDPOINT[1], ENDPOINT[0]);
        for (variables, expected) in [
            (&[][..], "http://localhost:4318/v1/traces"),
            (&[(of_all, "")], "http://localhost:4318/v1/traces"),
            (&[(of_all, "http://c:4318")], "http://c:4318/v1/traces"),
            (&[(of_all, "https://c/in/")], "https://c/in/v1/traces"),
            (
                &[(own, "http://c:1/x"), (of_all, "http://d")],
                "http://c:1/x",
            ),
        ] {
            let read = read(variables).expect("they are right").expect("it is on");
            assert_eq!(read.endpoint, expected);
            let url = format!("{}{}", read.url.server, read.url.target);
            assert_eq!(url, expected);
        }
    }

    #[test]
    fn they_can_turn_it_off() {
        for variable in [(DISABLED, "True"), (EXPORTER, "none")] {
            assert!(read(&[variable]).expect("it is right").is_none());
        }
        assert!(read(&[(DISABLED, "false")]).expect("it is right").is_some());
    }

    #[test]
    fn what_cannot_hold_is_refused() {
        for (name, wrong, right) in [
            (ENDPOINT[0], "c:4318", "http://c:4318"),
            (ENDPOINT[1], "http://user:secret@c:4318", "http://c:4318"),
            (PROTOCOL[0], "grpc", "http/protobuf"),
            (PROTOCOL[1], "http/json", "http/protobuf"),
            (TIMEOUT[0], "10s", "10000"),
            (TIMEOUT[1], "0", "1"),
            (QUEUE, "0", "100000"),
            (EXPORTER, "zipkin", "otlp"),
            (SAMPLER, "always", "always_off"),
        ] {
            let error = read(&[(name, wrong)]).expect_err("it is wrong");
            assert!(error.starts_with(&format!("{name}: ")), "{error}");
            assert!(error.contains("; use "), "{error}");
            assert!(!error.contains("secret"), "{error}");
            assert!(read(&[(name, right)]).is_ok(), "{name}");
        }
        let alone = read(&[(CERT[0], "a.pem")]).expect_err("it has no key");
        assert!(alone.contains(KEY[1]), "{alone}");
        let shares = |share| read(&[(SAMPLER, "traceidratio"), (SAMPLER_ARG, share)]);
        assert!(shares("0.5").is_ok());
        assert!(shares("50%").expect_err("it is wrong").contains("0.1"));
    }
}
