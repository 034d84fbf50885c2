//! Values as they were given: their text, and where it stands.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::Error;
use super::setting::{Known, Setting};

/// Where a value stands; shown in errors and by `check`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Flag(&'static str),
    Variable(String),
    Line(Arc<str>, usize),
    Default,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) => f.write_str(name),
            Self::Variable(name) => f.write_str(name),
            Self::Line(file, line) => write!(f, "{file}:{line}"),
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
pub(crate) struct Values(BTreeMap<&'static str, Given>);

impl Values {
    /// Takes up a value.
    ///
    /// # Errors
    ///
    /// When it is no value of that setting. It is checked here and not when it is used, so that a mistake is found
    /// though another place overrides it.
    pub(crate) fn insert(
        &mut self,
        setting: &dyn Known,
        text: String,
        place: Place,
    ) -> Result<(), Error> {
        if let Err(why) = setting.check(&text) {
            return Err(refused(setting.key(), &place, &why));
        }
        self.0.insert(setting.key(), Given { text, place });
        Ok(())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'static str, &Given)> {
        self.0.iter().map(|(key, given)| (*key, given))
    }
}

/// Places laid over each other, the strongest first.
#[derive(Clone, Copy)]
pub(crate) struct Layers<'a>(pub(crate) &'a [&'a Values]);

impl Layers<'_> {
    /// The value that counts, or the default, or nothing where there is no default.
    pub(crate) fn given(&self, setting: &dyn Known) -> Option<Given> {
        let given = self
            .0
            .iter()
            .find_map(|values| values.0.get(setting.key()).cloned());
        given.or_else(|| {
            let text = setting.default()?.to_owned();
            Some(Given {
                text,
                place: Place::Default,
            })
        })
    }

    pub(crate) fn find<T>(&self, setting: &Setting<T>) -> Result<Option<T>, Error> {
        let Some(Given { text, place }) = self.given(setting) else {
            return Ok(None);
        };
        (setting.parse)(&text)
            .map(Some)
            .map_err(|why| refused(setting.key, &place, &why))
    }

    pub(crate) fn get<T>(&self, setting: &Setting<T>) -> Result<T, Error> {
        self.find(setting)?
            .ok_or_else(|| Error::at(setting.key, "has no value; give it one"))
    }
}

fn refused(key: &str, place: &Place, why: &str) -> Error {
    match place {
        Place::Line(..) => Error::at(place, format_args!("{key}: {why}")),
        _ => Error::at(place, why),
    }
}
