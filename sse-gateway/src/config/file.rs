//! The TOML file: settings at its top, and `[[listen]]` and `[[route]]` entries.
//!
//! Read as a tree with positions and not through serde: a value is wanted as text with its line, as a flag or a variable is
//! text, and a struct of `Spanned` fields would name each setting again. serde stops at an unknown key of a struct, but does
//! not say what it was meant to be, nor that it belongs into a table or above the routes.

use std::fmt;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::level::Level;
use super::listen_entry::{self, ListenEntry};
use super::route_entry::RouteEntry;
use super::setting::{Bare, Scope, Settings};
use super::{Error, Place, Values, known};

/// What a file says.
#[derive(Clone, Debug, Default)]
pub(crate) struct File {
    pub(crate) values: Values,
    pub(crate) listeners: Vec<ListenEntry>,
    pub(crate) routes: Vec<RouteEntry>,
}

impl File {
    /// # Errors
    ///
    /// When the file cannot be read, is not TOML, or has an unknown key or a bad value.
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        // More than anybody writes, and little enough for memory when the path is that of a device or a log.
        const LARGEST: u64 = 1 << 20;
        let name: Arc<str> = path.display().to_string().into();
        let mut bytes = Vec::new();
        let opened = std::fs::File::open(path);
        let read = opened.and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes));
        if let Err(error) = read {
            let why = format!("cannot be read, {error}; name a readable TOML file");
            return Err(Error::at(name, why));
        }
        if bytes.len() as u64 > LARGEST {
            let why = "is larger than 1 MiB; name a TOML file of settings";
            return Err(Error::at(name, why));
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            let line = line_at(error.as_bytes(), error.utf8_error().valid_up_to());
            let place = Place::Line(Arc::clone(&name), line);
            Error::at(place, "not UTF-8; save the file as UTF-8")
        })?;
        Self::parse(&name, &text)
    }

    /// # Errors
    ///
    /// When it is not TOML, or has an unknown key or a bad value.
    pub(crate) fn parse(name: &Arc<str>, text: &str) -> Result<Self, Error> {
        Self::parse_with(&known::ALL, name, text)
    }

    pub(super) fn parse_with(
        settings: &Settings,
        name: &Arc<str>,
        text: &str,
    ) -> Result<Self, Error> {
        let scope = Scope::Gateway;
        let top = Level {
            settings,
            name,
            text,
            scope,
        };
        let table = DeTable::parse(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            Error::at(top.place(at), format_args!("not TOML, {}", error.message()))
        })?;
        let mut file = Self::default();
        for entry in top.entries(table.get_ref()) {
            match entry.key {
                "listen" => {
                    file.listeners = listen_entry::read_all(&top, &entry, &mut file.values)?;
                }
                "route" => file.routes = routes(&top, &entry)?,
                _ => top.take(&entry, &mut file.values)?,
            }
        }
        Ok(file)
    }
}

fn routes(top: &Level<'_>, entry: &Entry<'_>) -> Result<Vec<RouteEntry>, Error> {
    let wrong =
        || entry.error("route is not a list of tables; begin each route with a line [[route]]");
    let scope = Scope::Route;
    let list = entry.value.as_array().ok_or_else(wrong)?;
    let read = |item: &Spanned<DeValue<'_>>| {
        let table = item.get_ref().as_table().ok_or_else(wrong)?;
        let place = top.place(item.span().start);
        RouteEntry::read(&Level { scope, ..*top }, place, table)
    };
    list.iter().map(read).collect()
}

// ===== entries =====

pub(super) fn line_at(text: &[u8], at: usize) -> usize {
    let before = &text[..at.min(text.len())];
    1 + before.iter().filter(|byte| **byte == b'\n').count()
}

/// A key and its value.
pub(super) struct Entry<'a> {
    pub(super) key: &'a str,
    pub(super) value: &'a DeValue<'a>,
    pub(super) place: Place,
}

impl Entry<'_> {
    /// The text of a value, as a flag would have it; none when it is of a wrong type.
    pub(super) fn text(&self, bare: Bare) -> Option<String> {
        match (self.value, bare) {
            (DeValue::String(text), _) => Some(text.clone().into_owned()),
            (DeValue::Boolean(on), Bare::Booleans) => Some(on.to_string()),
            (DeValue::Integer(number), Bare::Numbers) => {
                let decimal = i64::from_str_radix(number.as_str(), number.radix());
                Some(decimal.map_or_else(|_| number.to_string(), |number| number.to_string()))
            }
            (DeValue::Float(number), Bare::Numbers) => Some(number.to_string()),
            (DeValue::Array(list), Bare::Lists) => {
                let items = list.iter().map(|item| item.get_ref().as_str());
                Some(items.collect::<Option<Vec<_>>>()?.join(","))
            }
            _ => None,
        }
    }

    pub(super) fn error(&self, what: impl fmt::Display) -> Error {
        Error::at(&self.place, what)
    }

    /// `value`, or why there is none, with this key.
    pub(super) fn parsed<T>(&self, value: Result<T, String>) -> Result<T, Error> {
        value.map_err(|why| self.error(format_args!("{}: {why}", self.key)))
    }

    pub(super) fn wrong_type(&self, key: &str, right: impl fmt::Display) -> Error {
        let found = self.value.type_str();
        self.error(format_args!("{key}: wrong type, {found}; use {right}"))
    }

    /// What this was meant to be, or all that it could be.
    pub(super) fn unknown(&self, near: Option<&str>, owner: &str, keys: &[&str]) -> Error {
        let right = match near {
            Some(near) => format!("did you mean {near}?"),
            None => format!("the keys of {owner} are {}", keys.join(", ")),
        };
        self.error(format_args!("unknown key {:?}; {right}", self.key))
    }
}
