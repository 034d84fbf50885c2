//! One `[[route]]` of a file.

use http::Method;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::file::Entry;
use super::level::Level;
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
        level: &Level<'_>,
        place: Place,
        table: &DeTable<'_>,
    ) -> Result<Self, Error> {
        let mut values = Values::default();
        let mut name = None;
        let mut methods = None;
        let mut path = None;
        let mut pattern = None;
        for entry in level.entries(table) {
            match entry.key {
                "name" => name = Some(read_name(&entry)?),
                "path" => path = Some(entry.parsed(Matcher::prefix(text(&entry)?))?),
                "pattern" => pattern = Some(entry.parsed(Matcher::pattern(text(&entry)?))?),
                "methods" => methods = Some(entry.parsed(read_methods(entry.value))?),
                _ => level.take(&entry, &mut values)?,
            }
        }
        let wrong = |what| Err(Error::at(&place, what));
        let matcher = match (path, pattern) {
            (Some(matcher), None) | (None, Some(matcher)) => matcher,
            (Some(_), Some(_)) => {
                return wrong("the route has both path and pattern; keep one of them");
            }
            (None, None) => {
                return wrong(
                    "the route has neither path nor pattern; add path = \"/events\" or pattern = \"/users/*/events\"",
                );
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
    let text = entry.value.as_str();
    text.ok_or_else(|| entry.wrong_type(entry.key, "a string in quotes"))
}

fn read_name(entry: &Entry<'_>) -> Result<String, Error> {
    let name = text(entry)?;
    let is_name = !name.is_empty() && !name.chars().any(char::is_control);
    let why = || format!("{name:?} is not a name; use one word such as \"notices\"");
    entry.parsed(is_name.then(|| name.to_owned()).ok_or_else(why))
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
    let methods = list.iter().map(Spanned::get_ref).map(|item| {
        let Some(name) = item.as_str() else {
            return Err(format!("{} is not a method; {right}", item.type_str()));
        };
        // Methods are case-sensitive: `get` is one, but nobody's.
        let upper = name.to_ascii_uppercase();
        match Method::from_bytes(name.as_bytes()) {
            Ok(method) if name == upper => Ok(method),
            Ok(_) => Err(format!("{name:?} is not a method; did you mean {upper:?}?")),
            Err(_) => Err(format!("{name:?} is not a method; {right}")),
        }
    });
    methods.collect()
}
