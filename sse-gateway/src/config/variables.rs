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
            let Some(name) = name
                .to_str()
                .filter(|name| name.starts_with(PREFIX) && *name != CONFIG)
            else {
                continue;
            };
            let key = name[PREFIX.len()..].to_ascii_lowercase();
            let exact = settings
                .named(&key)
                .filter(|setting| setting.variable() == name);
            let Some(setting) = exact else {
                let names = settings.iter().map(|setting| setting.name);
                match nearest(&key, names.chain(["config"])) {
                    Some(key) => {
                        let meant = format!("{PREFIX}{}", key.to_ascii_uppercase());
                        return Err(Error::at(
                            name,
                            format_args!("unknown variable; did you mean {meant}?"),
                        ));
                    }
                    None => continue,
                }
            };
            let Some(text) = text.to_str() else {
                return Err(Error::at(
                    name,
                    format_args!("not UTF-8; use {}", setting.form),
                ));
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
        let count = values.map(|values| values.iter().count());
        count.map_err(|error| error.to_string())
    }

    #[test]
    fn empty_variables_and_what_kubernetes_sets_are_let_be() {
        for (name, text, count) in [
            ("SSE_GATEWAY_RETRY", "off", 1),
            ("SSE_GATEWAY_RETRY", "", 0),
            ("SSE_GATEWAY_SERVICE_HOST", "10.0.0.1", 0),
            ("SSE_GATEWAY_PORT", "tcp://10.0.0.1:8080", 0),
            ("SSE_GATEWAY_PORT_8080_TCP_ADDR", "10.0.0.1", 0),
        ] {
            assert_eq!(read(name, text.into()), Ok(count), "{name}");
        }
    }

    #[test]
    fn a_misspelt_variable_is_refused() {
        for name in ["HEARTBEET", "heartbeat", "HEART_BEAT"] {
            let name = format!("{PREFIX}{name}");
            let why = "unknown variable; did you mean SSE_GATEWAY_HEARTBEAT?";
            assert_eq!(read(&name, "5s".into()), Err(format!("{name}: {why}")));
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
