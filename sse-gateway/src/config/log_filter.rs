//! `RUST_LOG`: what is logged. A mistake in it is told, since what it would do otherwise is to log nothing.

use std::ffi::OsString;
use std::str::FromStr;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;

use super::Error;
use super::suggest::nearest;

const NAME: &str = "RUST_LOG";
const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];
/// The crates that log here. A target alone must be of one of them: `RUST_LOG=inof` names a target too.
const PARTS: [&str; 7] = [
    "sse_gateway",
    "tower_sse",
    "h2",
    "hyper",
    "hyper_util",
    "hyper_rustls",
    "tokio",
];

/// Which lines are logged.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LogFilter(pub(crate) Targets);

impl Default for LogFilter {
    /// What matters to an operator.
    fn default() -> Self {
        Self(Targets::new().with_default(LevelFilter::INFO))
    }
}

impl LogFilter {
    /// That of `RUST_LOG`. An empty variable counts as not set.
    ///
    /// # Errors
    ///
    /// When it is not a comma list of levels, `TARGET=LEVEL` and parts of the gateway.
    pub(crate) fn from_environment(environment: &[(OsString, OsString)]) -> Result<Self, Error> {
        let is_set = |(name, text): &&(OsString, OsString)| name == NAME && !text.is_empty();
        let Some((_, text)) = environment.iter().find(is_set) else {
            return Ok(Self::default());
        };
        let text = text.to_str().ok_or_else(|| format!("not UTF-8; {RIGHT}"));
        let filter = text.and_then(str::parse);
        filter.map_err(|why| Error::at(NAME, why))
    }
}

impl FromStr for LogFilter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split(',').map(str::trim);
        let parts: Vec<_> = parts.filter(|part| !part.is_empty()).collect();
        parts.iter().try_for_each(|part| check(part))?;
        // Above, each part was told what is wrong with it; this says the same of what is left.
        let filter = parts.join(",").parse().map(Self);
        filter.map_err(|_| format!("{text:?} is not a list of targets and levels; {RIGHT}"))
    }
}

fn check(part: &str) -> Result<(), String> {
    match part.rsplit_once('=') {
        Some(("", _)) => Err(format!("{part:?} has no target; {RIGHT}")),
        Some((target, _)) if target.contains(['[', ']', '{', '}', '"', '=', ' ']) => {
            Err(format!("{target:?} is not a target; {RIGHT}"))
        }
        Some((_, level)) if is_level(level) => Ok(()),
        Some((_, level)) => Err(unknown(level, "is not a level", &LEVELS)),
        None if is_level(part) || is_of_ours(part) => Ok(()),
        None => Err(unknown(
            part,
            "is neither a level nor a part of the gateway",
            &[&LEVELS[..], &PARTS].concat(),
        )),
    }
}

fn is_level(text: &str) -> bool {
    LEVELS.iter().any(|level| text.eq_ignore_ascii_case(level))
}

fn is_of_ours(target: &str) -> bool {
    let name = target.split("::").next().unwrap_or_default();
    PARTS.contains(&name)
}

fn unknown(text: &str, what: &str, known: &[&str]) -> String {
    match nearest(text, known.iter().copied()) {
        Some(near) => format!("{text:?} {what}; did you mean {near}?"),
        None => format!("{text:?} {what}; {RIGHT}"),
    }
}

const RIGHT: &str = "use a level (error, warn, info, debug, trace or off), or TARGET=LEVEL such as sse_gateway=debug";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::cases::rows;

    #[test]
    fn levels_targets_and_lists_of_them_are_right() {
        let lists = "info;WARN;off;sse_gateway;sse_gateway::proxy;sse_gateway=debug;warn, another=trace,;h2=off,debug";
        for text in lists.split(';') {
            assert!(text.parse::<LogFilter>().is_ok(), "{text:?}");
        }
    }

    /// `RUST_LOG`, and what is said about it.
    const MISTAKES: &str = "
        inof -> \"inof\" is neither a level nor a part of the gateway; use a level
        info,sse_gateway=debugg -> \"debugg\" is not a level; did you mean debug?
        sse_gateway= -> \"\" is not a level; use a level
        =debug -> \"=debug\" has no target; use a level
        a[b]=debug -> \"a[b]\" is not a target; use a level
        sse-gatewy -> \"sse-gatewy\" is neither a level nor a part of the gateway; did you mean sse_gateway?";

    #[test]
    fn a_mistake_is_told_with_what_would_be_right() {
        for [text, why] in rows(MISTAKES, " -> ") {
            let error = text.parse::<LogFilter>().expect_err(text);
            assert!(error.starts_with(why), "{text:?}: {error}");
        }
    }

    #[test]
    fn an_empty_variable_counts_as_not_set() {
        let found = |text: &str| LogFilter::from_environment(&[(NAME.into(), text.into())]);
        assert_eq!(found(""), Ok(LogFilter::default()));
        assert!(found("nonsense").is_err());
    }
}
