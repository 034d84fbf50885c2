//! Values as they were given: their text, and where it stands.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::Error;
use super::preset::Preset;
use super::setting::Setting;

/// Where a value stands; shown in errors and by `check`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Place {
    Flag(String),
    Variable(String),
    Line(Arc<str>, usize),
    /// This preset says so.
    Preset(Preset),
    #[default]
    Default,
}

impl Place {
    /// Whether somebody said so for this setting.
    pub(super) fn is_given(&self) -> bool {
        !matches!(self, Self::Preset(_) | Self::Default)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) | Self::Variable(name) => f.write_str(name),
            Self::Line(file, line) => write!(f, "{file}:{line}"),
            Self::Preset(preset) => write!(f, "preset {preset}"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// The text of one value.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    pub(crate) text: String,
    pub(crate) place: Place,
}

/// What one place gives: the flags, the variables, the top of a file or one of its routes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Values(BTreeMap<String, Given>);

impl Values {
    /// Takes up a value.
    ///
    /// # Errors
    ///
    /// When it is no value of that setting. It is checked here and not when it is used, so that a mistake is found
    /// though another place overrides it.
    pub(crate) fn insert(
        &mut self,
        setting: &Setting,
        text: String,
        place: Place,
    ) -> Result<(), Error> {
        (setting.check)(&text).map_err(|why| refused(setting, &place, &why))?;
        self.0.insert(setting.path(), Given { text, place });
        Ok(())
    }

    /// Takes up what is known to be a value.
    pub(super) fn set(&mut self, setting: &Setting, text: &str, place: Place) {
        let text = text.to_owned();
        self.0.insert(setting.path(), Given { text, place });
    }

    pub(crate) fn get(&self, setting: &Setting) -> Option<&Given> {
        self.0.get(&setting.path())
    }

    /// What is given for it, which is not in here any more.
    #[cfg(feature = "demo")]
    pub(crate) fn take(&mut self, setting: &Setting) -> Option<Given> {
        self.0.remove(&setting.path())
    }
}

/// Places laid over each other, the strongest first.
#[derive(Clone, Copy)]
pub(crate) struct Layers<'a>(pub(crate) &'a [&'a Values]);

impl Layers<'_> {
    /// The value that counts, or the default, or nothing where there is no default.
    pub(crate) fn given(&self, setting: &Setting) -> Option<Given> {
        let given = self.0.iter().find_map(|values| values.get(setting));
        let default = || {
            Some(Given {
                text: setting.default?.to_owned(),
                place: Place::Default,
            })
        };
        given.cloned().or_else(default)
    }

    /// # Errors
    ///
    /// When the value is bad, or there is none and no default.
    pub(crate) fn get<T>(
        &self,
        setting: &Setting,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<T, Error> {
        let Some(Given { text, place }) = self.given(setting) else {
            return Err(Error::at(setting.path(), "has no value; give it one"));
        };
        parse(&text).map_err(|why| refused(setting, &place, &why))
    }
}

fn refused(setting: &Setting, place: &Place, why: &str) -> Error {
    match place {
        Place::Line(..) => Error::at(place, format_args!("{}: {why}", setting.path())),
        _ => Error::at(place, why),
    }
}
