//! The TOML file: settings at its top, and `[[route]]` entries.
//!
//! Read as a tree with positions and not through serde: its errors lose the line in nested tables, and cannot say what a
//! misspelt key was meant to be.

use std::fmt;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::known::{self, Bare, Known};
use super::route_entry::{self, RouteEntry};
use super::suggest::nearest;
use super::{Error, Place, Values};

/// What a file says.
#[derive(Clone, Debug, Default)]
pub(crate) struct File {
    pub(crate) values: Values,
    pub(crate) routes: Vec<RouteEntry>,
}

impl File {
    /// # Errors
    ///
    /// When the file cannot be read, is not TOML, or has an unknown key or a bad value.
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        // More than anybody writes, and little enough for memory when the path is that of a device or a log.
        const LARGEST: u64 = 1 << 20;
        let name = path.display().to_string();
        let unreadable = |error: std::io::Error| {
            Error::at(
                &name,
                format_args!("cannot be read, {error}; name a readable TOML file"),
            )
        };
        let mut bytes = Vec::new();
        let file = std::fs::File::open(path).map_err(&unreadable)?;
        file.take(LARGEST + 1)
            .read_to_end(&mut bytes)
            .map_err(&unreadable)?;
        if bytes.len() as u64 > LARGEST {
            return Err(Error::at(
                &name,
                "is larger than 1 MiB; name a TOML file of settings",
            ));
        }
        let name: Arc<str> = name.into();
        match String::from_utf8(bytes) {
            Ok(text) => Self::parse(&name, &text),
            Err(error) => {
                let good = error.utf8_error().valid_up_to();
                let line = line_at(error.as_bytes(), good);
                Err(Error::at(
                    Place::Line(name, line),
                    "not UTF-8; save the file as UTF-8",
                ))
            }
        }
    }

    /// # Errors
    ///
    /// When it is not TOML, or has an unknown key or a bad value.
    pub(crate) fn parse(name: &Arc<str>, text: &str) -> Result<Self, Error> {
        let source = Source { name, text };
        let table = DeTable::parse(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            Error::at(
                source.place(at),
                format_args!("not TOML, {}", error.message()),
            )
        })?;
        let mut file = Self::default();
        for entry in entries(&source, table.get_ref()) {
            match entry.key {
                "route" => file.routes = routes(&source, &entry)?,
                key => match known::find(key) {
                    Some(setting) => entry.insert(setting, &mut file.values)?,
                    None => return Err(unknown(&entry)),
                },
            }
        }
        Ok(file)
    }
}

fn routes(source: &Source<'_>, entry: &Entry<'_>) -> Result<Vec<RouteEntry>, Error> {
    let wrong =
        || entry.error("route is not a list of tables; begin each route with a line [[route]]");
    let list = entry.value.as_array().ok_or_else(wrong)?;
    let read = |item: &Spanned<DeValue<'_>>| {
        let table = item.get_ref().as_table().ok_or_else(wrong)?;
        RouteEntry::read(source, source.place(item.span().start), table)
    };
    list.iter().map(read).collect()
}

fn unknown(entry: &Entry<'_>) -> Error {
    if route_entry::KEYS.contains(&entry.key) {
        return entry.error(format_args!(
            "{} belongs to a route; write it below a line [[route]]",
            entry.key
        ));
    }
    let keys: Vec<_> = known::ALL
        .iter()
        .map(|setting| setting.key())
        .chain(["route"])
        .collect();
    // `[[path]]` or a `metods` above the routes is still told what it was meant to be.
    let near = nearest(entry.key, keys.iter().copied().chain(route_entry::KEYS));
    entry.unknown(near, "the file", &keys)
}

// ===== positions =====

/// The text that is read, for the lines of errors.
pub(super) struct Source<'a> {
    name: &'a Arc<str>,
    text: &'a str,
}

impl Source<'_> {
    fn place(&self, at: usize) -> Place {
        Place::Line(Arc::clone(self.name), line_at(self.text.as_bytes(), at))
    }
}

fn line_at(text: &[u8], at: usize) -> usize {
    let before = &text[..at.min(text.len())];
    1 + before.iter().filter(|byte| **byte == b'\n').count()
}

/// A key and its value.
pub(super) struct Entry<'a> {
    pub(super) key: &'a str,
    pub(super) value: &'a DeValue<'a>,
    place: Place,
}

/// The entries of a table from top to bottom, so that the first mistake in the file is the one that is told.
pub(super) fn entries<'a>(source: &Source<'_>, table: &'a DeTable<'a>) -> Vec<Entry<'a>> {
    let mut found: Vec<_> = table.iter().collect();
    found.sort_by_key(|(key, _)| key.span().start);
    let entry = |(key, value): (&'a Spanned<_>, &'a Spanned<DeValue<'a>>)| Entry {
        key: AsRef::<str>::as_ref(key.get_ref()),
        value: value.get_ref(),
        place: source.place(key.span().start),
    };
    found.into_iter().map(entry).collect()
}

fn is_string(value: &Spanned<DeValue<'_>>) -> bool {
    value.get_ref().as_str().is_some()
}

impl Entry<'_> {
    /// Takes up the value of a setting.
    pub(super) fn insert(&self, setting: &dyn Known, values: &mut Values) -> Result<(), Error> {
        let text = match (self.value, setting.bare()) {
            (DeValue::String(text), _) => text.clone().into_owned(),
            (DeValue::Boolean(on), Bare::Booleans) => on.to_string(),
            (DeValue::Integer(number), Bare::Numbers) => {
                match i64::from_str_radix(number.as_str(), number.radix()) {
                    Ok(number) => number.to_string(),
                    Err(_) => number.to_string(),
                }
            }
            (DeValue::Float(number), Bare::Numbers) => number.to_string(),
            (DeValue::Array(list), Bare::Lists) if list.iter().all(is_string) => {
                let items: Vec<_> = list
                    .iter()
                    .filter_map(|item| item.get_ref().as_str())
                    .collect();
                items.join(",")
            }
            _ => {
                let example = setting.default().unwrap_or("http://127.0.0.1:5000");
                return Err(
                    self.wrong_type(format_args!("{}, such as {example:?}", setting.form()))
                );
            }
        };
        values.insert(setting, text, self.place.clone())
    }

    pub(super) fn error(&self, what: impl fmt::Display) -> Error {
        Error::at(&self.place, what)
    }

    /// `value`, or why there is none, with this key.
    pub(super) fn parsed<T>(&self, value: Result<T, String>) -> Result<T, Error> {
        value.map_err(|why| self.error(format_args!("{}: {why}", self.key)))
    }

    pub(super) fn wrong_type(&self, right: impl fmt::Display) -> Error {
        self.error(format_args!(
            "{}: wrong type, {}; use {right}",
            self.key,
            self.value.type_str()
        ))
    }

    pub(super) fn unknown(&self, near: Option<&str>, owner: &str, keys: &[&str]) -> Error {
        match near {
            Some(near) => self.error(format_args!(
                "unknown key {:?}; did you mean {near}?",
                self.key
            )),
            None => self.error(format_args!(
                "unknown key {:?}; the keys of {owner} are {}",
                self.key,
                keys.join(", ")
            )),
        }
    }
}
