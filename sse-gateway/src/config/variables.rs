//! Environment variables: `SSE_GATEWAY_` and the key in capitals.

use std::ffi::OsString;
use std::path::PathBuf;

use super::suggest::nearest;
use super::{Error, Place, Values, known};

const PREFIX: &str = "SSE_GATEWAY_";
const CONFIG: &str = "SSE_GATEWAY_CONFIG";

impl Values {
    /// What the environment gives. An empty variable counts as not set, since compose files cannot unset one.
    ///
    /// # Errors
    ///
    /// When a value is bad, or a name is almost that of a setting. Other names with our prefix are let be: Kubernetes
    /// makes `SSE_GATEWAY_SERVICE_HOST` and the like for a service that is called `sse-gateway`.
    pub(crate) fn from_environment(environment: &[(OsString, OsString)]) -> Result<Self, Error> {
        let mut values = Self::default();
        for (name, text) in environment.iter().filter(|(_, text)| !text.is_empty()) {
            let Some(name) = name
                .to_str()
                .filter(|name| name.starts_with(PREFIX) && *name != CONFIG)
            else {
                continue;
            };
            let key = name[PREFIX.len()..].to_ascii_lowercase();
            let exact = known::find(&key).filter(|setting| setting.variable() == name);
            let Some(setting) = exact else {
                let keys = known::ALL
                    .iter()
                    .map(|setting| setting.key())
                    .chain(["config"]);
                match nearest(&key, keys) {
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
                    format_args!("not UTF-8; use {}", setting.form()),
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
    use crate::config::given::Layers;

    fn read(name: &str, text: &str) -> Result<Values, Error> {
        Values::from_environment(&[(name.into(), text.into())])
    }

    #[test]
    fn a_variable_is_a_value() {
        let values = read("SSE_GATEWAY_RETRY", "off").expect("is right");
        assert_eq!(Layers(&[&values]).get(&known::RETRY), Ok(None));
    }

    #[test]
    fn an_empty_variable_is_not_set() {
        let values = read("SSE_GATEWAY_RETRY", "").expect("is right");
        assert_eq!(values.iter().count(), 0);
    }

    #[test]
    fn what_kubernetes_sets_is_let_be() {
        for name in [
            "SSE_GATEWAY_SERVICE_HOST",
            "SSE_GATEWAY_PORT",
            "SSE_GATEWAY_PORT_8080_TCP_ADDR",
        ] {
            assert!(read(name, "tcp://10.0.0.1:8080").is_ok(), "{name}");
        }
    }

    #[test]
    fn a_misspelt_variable_is_refused() {
        for name in [
            "SSE_GATEWAY_HEARTBEET",
            "SSE_GATEWAY_heartbeat",
            "SSE_GATEWAY_HEART_BEAT",
        ] {
            let error = read(name, "5s").expect_err("is misspelt");
            assert_eq!(
                error.to_string(),
                format!("{name}: unknown variable; did you mean SSE_GATEWAY_HEARTBEAT?")
            );
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_variable_that_is_not_text_is_refused() {
        use std::os::unix::ffi::OsStringExt as _;
        let text = OsString::from_vec(vec![0xff]);
        let error = Values::from_environment(&[("SSE_GATEWAY_IDS".into(), text)])
            .expect_err("is not UTF-8");
        assert_eq!(
            error.to_string(),
            "SSE_GATEWAY_IDS: not UTF-8; use fill|replace|keep|off"
        );
    }
}
