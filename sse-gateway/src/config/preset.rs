//! What the settings of a route are that was told its kind of client, unless they are given.

use std::fmt;

use super::given::{Layers, Place, Values};
use super::setting::Setting;
use super::value::{self, choices};

/// A kind of client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Preset {
    /// An `EventSource`.
    Browser,
    /// The SDK of a language model, which takes the answer to a POST.
    Llm,
    /// The SDK of MCP, by either transport.
    Mcp,
}

choices! {
    preset: Option<Preset> {
        "off": None, "browser": Some(Preset::Browser), "llm": Some(Preset::Llm), "mcp": Some(Preset::Mcp)
    }
}

impl Preset {
    /// Only what is otherwise by default. `docs/settings.md` says why.
    fn settings(self) -> &'static [(Setting, &'static str)] {
        const BROWSER: &[(Setting, &str)] = &[
            (Setting::opening_comment(), "on"),
            (Setting::resume(), "on"),
            (Setting::no_answer(), "hold"),
        ];
        const LLM: &[(Setting, &str)] = &[
            (Setting::retry(), "off"),
            (Setting::max_event_bytes(), "8MiB"),
            (Setting::resume(), "on"),
            (Setting::history_bytes(), "16MiB"),
            (Setting::on_leave(), "linger:1m"),
            (Setting::idle_counts(), "events"),
            (Setting::head_timeout(), "10m"),
        ];
        const MCP: &[(Setting, &str)] = &[
            (Setting::retry(), "1s"),
            (Setting::max_event_bytes(), "8MiB"),
            (Setting::resume(), "on"),
            (Setting::history_bytes(), "16MiB"),
            (Setting::on_leave(), "linger:2m"),
            (Setting::idle_timeout(), "off"),
            (Setting::head_timeout(), "10m"),
        ];
        match self {
            Self::Browser => BROWSER,
            Self::Llm => LLM,
            Self::Mcp => MCP,
        }
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Browser => "browser",
            Self::Llm => "llm",
            Self::Mcp => "mcp",
        })
    }
}

/// What the preset says that is given in these; it is to be laid below them.
pub(super) fn values(given: Layers<'_>) -> Values {
    let mut values = Values::default();
    let chosen = given.given(&Setting::preset());
    let Some(preset) = chosen.and_then(|chosen| preset(&chosen.text).ok()?) else {
        return values;
    };
    for (setting, text) in preset.settings() {
        // Who shares streams has them resumed anyway, and the two do not go together.
        let gives_way = setting.name == Setting::resume().name && shares(given);
        if !gives_way {
            values.set(setting, text, Place::Preset(preset));
        }
    }
    values
}

fn shares(given: Layers<'_>) -> bool {
    let share = given.given(&Setting::share());
    share.is_some_and(|share| value::switch(&share.text) != Ok(false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_presets_say_are_values_of_routes_and_no_defaults() {
        for preset in [Preset::Browser, Preset::Llm, Preset::Mcp] {
            for (setting, text) in preset.settings() {
                assert_eq!((setting.check)(text), Ok(()), "{}", setting.name);
                assert_eq!(setting.scope, crate::config::setting::Scope::Route);
                assert_ne!(setting.default, Some(*text), "{}", setting.name);
            }
        }
    }
}
