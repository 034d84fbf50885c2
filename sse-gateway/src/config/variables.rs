//! Environment variables: `SSE_GATEWAY_` and the key in capitals.

use std::ffi::OsString;
use std::path::PathBuf;

use super::setting::Settings;
use super::suggest::nearest;
use super::{Error, Place, Values};

const PREFIX: &str = "SSE_GATEWAY_";
const CONFIG: &str = "SSE_GATEWAY_CONFIG";

impl Values {
    /// What the environment gives. An empty variable counts as not set, since compose files cannot unset one.
    ///
    /// # Errors
    ///
    /// When a value is bad, or a name is almost that of a setting. Other names with our prefix are let be: Kubernetes
    /// makes `SSE_GATEWAY_SERVICE_HOST` and the like for a service that is called `sse-gateway`.
    pub(crate) fn from_environment(
        settings: &Settings,
        environment: &[(OsString, OsString)],
    ) -> Result<Self, Error> {
        let mut values = Self::default();
        for (name, text) in environment.iter().filter(|(_, text)| !text.is_empty()) {
            let ours = name.to_str().filter(|name| *name != CONFIG);
            let Some(name) = ours.filter(|name| name.starts_with(PREFIX)) else {
                continue;
            };
            let key = name[PREFIX.len()..].to_ascii_lowercase();
            let exact = settings.named(&key);
            let Some(setting) = exact.filter(|setting| setting.variable() == name) else {
                let names = settings.iter().map(|setting| setting.name);
                let Some(near) = nearest(&key, names.chain(["config"])) else {
                    continue;
                };
                let meant = format!("{PREFIX}{}", near.to_ascii_uppercase());
                let why = format!("unknown variable; did you mean {meant}?");
                return Err(Error::at(name, why));
            };
            let Some(text) = text.to_str() else {
                let why = format!("not UTF-8; use {}", setting.form);
                return Err(Error::at(name, why));
            };
            values.insert(setting, text.to_owned(), Place::Variable(name.to_owned()))?;
        }
        Ok(values)
    }
}

/// The file that the environment names.
pub(crate) fn config_file(environment: &[(OsString, OsString)]) -> Option<PathBuf> {
    let found = environment
        .iter()
        .find(|(name, text)| name == CONFIG && !text.is_empty());
    found.map(|(_, text)| PathBuf::from(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::known;

    fn read(name: &str, text: OsString) -> Result<usize, String> {
        let values = Values::from_environment(&known::ALL, &[(name.into(), text)]);
        let found = |values: &Values| {
            let settings = known::ALL.iter();
            settings
                .filter(|setting| values.get(setting).is_some())
                .count()
        };
        let count = values.map(|values| found(&values));
        count.map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_misspelt_is_refused_and_what_kubernetes_sets_is_let_be() {
        let misspelt = Err("unknown variable; did you mean SSE_GATEWAY_HEARTBEAT?");
        for (name, text, expected) in [
            ("SSE_GATEWAY_HEARTBEAT", "5s", Ok(1)),
            ("SSE_GATEWAY_HEARTBEAT", "", Ok(0)),
            ("SSE_GATEWAY_HEARTBEET", "5s", misspelt),
            ("SSE_GATEWAY_heartbeat", "5s", misspelt),
            ("SSE_GATEWAY_HEART_BEAT", "5s", misspelt),
            ("SSE_GATEWAY_SERVICE_HOST", "10.0.0.1", Ok(0)),
            ("SSE_GATEWAY_PORT", "tcp://10.0.0.1:8080", Ok(0)),
            ("SSE_GATEWAY_PORT_8080_TCP_ADDR", "10.0.0.1", Ok(0)),
        ] {
            let expected = expected.map_err(|why| format!("{name}: {why}"));
            assert_eq!(read(name, text.into()), expected);
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_variable_that_is_not_text_is_refused() {
        use std::os::unix::ffi::OsStringExt as _;
        let found = read("SSE_GATEWAY_IDS", OsString::from_vec(vec![0xff]));
        let why = "SSE_GATEWAY_IDS: not UTF-8; use fill|replace|keep|off";
        assert_eq!(found, Err(why.to_owned()));
    }
}
