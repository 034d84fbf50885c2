//! One `[[route]]` of a file.

use http::Method;
use toml::de::{DeTable, DeValue};

use super::file::{Entry, Source, entries};
use super::known::{self, Known, Scope};
use super::suggest::nearest;
use super::{Error, Matcher, Place, Values};

/// A route as it stands in the file; what it does not say is taken from elsewhere.
#[derive(Clone, Debug)]
pub(crate) struct RouteEntry {
    pub(crate) place: Place,
    pub(crate) name: String,
    pub(crate) matcher: Matcher,
    pub(crate) methods: Option<Vec<Method>>,
    pub(crate) values: Values,
}

/// The keys that are a route's alone.
pub(super) const KEYS: [&str; 4] = ["name", "path", "pattern", "methods"];

impl RouteEntry {
    pub(super) fn read(
        source: &Source<'_>,
        place: Place,
        table: &DeTable<'_>,
    ) -> Result<Self, Error> {
        let mut values = Values::default();
        let mut name = None;
        let mut methods = None;
        let mut path = None;
        let mut pattern = None;
        for entry in entries(source, table) {
            match entry.key {
                "name" => name = Some(text(&entry).and_then(|text| read_name(&entry, text))?),
                "path" => path = Some(entry.parsed(Matcher::prefix(text(&entry)?))?),
                "pattern" => pattern = Some(entry.parsed(Matcher::pattern(text(&entry)?))?),
                "methods" => methods = Some(entry.parsed(read_methods(entry.value))?),
                key => match known::find(key) {
                    Some(setting) if setting.scope() == Scope::Route => {
                        entry.insert(setting, &mut values)?
                    }
                    Some(_) => {
                        return Err(entry.error(format_args!(
                            "{key} holds for the whole gateway; move it above the first [[route]]"
                        )));
                    }
                    None => return Err(unknown(&entry)),
                },
            }
        }
        let matcher = match (path, pattern) {
            (Some(matcher), None) | (None, Some(matcher)) => matcher,
            (Some(_), Some(_)) => {
                return Err(Error::at(
                    place,
                    "the route has both path and pattern; keep one of them",
                ));
            }
            (None, None) => {
                let right = "add path = \"/events\" or pattern = \"/users/*/events\"";
                return Err(Error::at(
                    place,
                    format_args!("the route has neither path nor pattern; {right}"),
                ));
            }
        };
        let name = name.unwrap_or_else(|| matcher.to_string());
        Ok(Self {
            place,
            name,
            matcher,
            methods,
            values,
        })
    }
}

fn text<'a>(entry: &Entry<'a>) -> Result<&'a str, Error> {
    entry
        .value
        .as_str()
        .ok_or_else(|| entry.wrong_type("a string in quotes"))
}

fn read_name(entry: &Entry<'_>, name: &str) -> Result<String, Error> {
    if name.is_empty() || name.chars().any(char::is_control) {
        return Err(entry.error(format_args!(
            "name: {name:?} is not a name; use one word such as \"notices\""
        )));
    }
    Ok(name.to_owned())
}

fn read_methods(value: &DeValue<'_>) -> Result<Vec<Method>, String> {
    let right = "use a list such as [\"GET\", \"POST\"]";
    let Some(list) = value.as_array() else {
        return Err(format!("{} is not a list; {right}", value.type_str()));
    };
    if list.is_empty() {
        return Err(format!(
            "the list is empty, so the route takes nothing; {right}, or leave methods out"
        ));
    }
    let methods = list.iter().map(|item| {
        let Some(name) = item.get_ref().as_str() else {
            return Err(format!(
                "{} is not a method; {right}",
                item.get_ref().type_str()
            ));
        };
        // Methods are case-sensitive: `get` is one, but nobody's.
        match Method::from_bytes(name.as_bytes()) {
            Ok(method) if !name.bytes().any(|byte| byte.is_ascii_lowercase()) => Ok(method),
            Ok(_) => Err(format!(
                "{name:?} is not a method; did you mean {:?}?",
                name.to_ascii_uppercase()
            )),
            Err(_) => Err(format!("{name:?} is not a method; {right}")),
        }
    });
    methods.collect()
}

fn unknown(entry: &Entry<'_>) -> Error {
    let of_routes = known::ALL
        .into_iter()
        .filter(|setting| setting.scope() == Scope::Route);
    let keys: Vec<_> = KEYS.into_iter().chain(of_routes.map(Known::key)).collect();
    entry.unknown(nearest(entry.key, keys.iter().copied()), "a route", &keys)
}
