//! One `[[listen]]` of a file.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::file::Entry;
use super::level::Level;
use super::setting::Setting;
use super::suggest::nearest;
use super::{Error, Place, Values, listen};

/// A listener as it stands in the file; what it does not say is taken from elsewhere.
#[derive(Clone, Debug)]
pub(crate) struct ListenEntry {
    pub(crate) place: Place,
    /// The address is among them, as `listen`.
    pub(crate) values: Values,
}

/// Its keys, and the settings that they are.
const KEYS: [(&str, Setting); 6] = [
    ("address", Setting::listen()),
    ("mode", Setting::listen_mode()),
    ("proxy_protocol", Setting::proxy_protocol()),
    ("tls_cert", Setting::tls_cert()),
    ("tls_key", Setting::tls_key()),
    ("tls_client_ca", Setting::tls_client_ca()),
];

impl ListenEntry {
    fn read(level: &Level<'_>, place: Place, table: &DeTable<'_>) -> Result<Self, Error> {
        let mut values = Values::default();
        for entry in level.entries(table) {
            let Some((key, setting)) = KEYS.iter().find(|(key, _)| *key == entry.key) else {
                let keys = KEYS.map(|(key, _)| key);
                return Err(entry.unknown(nearest(entry.key, keys), "a listener", &keys));
            };
            let text = entry.text(setting.bare);
            let example = setting.default.unwrap_or_default();
            let right = format!("{}, such as {example:?}", setting.form);
            let text = text.ok_or_else(|| entry.wrong_type(key, right))?;
            if setting.name == Setting::listen().name {
                entry.parsed(listen::address(&text))?;
            }
            entry.parsed((setting.check)(&text))?;
            values.insert(setting, text, entry.place.clone())?;
        }
        if values.get(&Setting::listen()).is_none() {
            let why = "the listener has no address; add address = \"127.0.0.1:8080\" or address = \"unix:/run/sse-gateway.sock\"";
            return Err(Error::at(&place, why));
        }
        Ok(ListenEntry { place, values })
    }

    fn address(&self) -> &str {
        let address = self.values.get(&Setting::listen());
        address.map_or("", |given| &given.text)
    }

    /// The key of a setting that it has, and where that stands.
    pub(super) fn key_of(&self, setting: &Setting) -> Option<(&'static str, &Place)> {
        let given = self.values.get(setting)?;
        let (key, _) = KEYS.iter().find(|(_, one)| one.name == setting.name)?;
        Some((key, &given.place))
    }

    /// What it says beside the address, for `check`.
    pub(super) fn own(&self) -> String {
        let own = KEYS[1..].iter().filter_map(|(key, setting)| {
            let given = self.values.get(setting)?;
            Some(format!("{key} {}", given.text))
        });
        own.collect::<Vec<_>>().join(", ")
    }
}

/// All of them, if that is what stands below `listen`: it may have addresses alone, as a flag has. These are then what `listen`
/// is at the top.
pub(super) fn read_all(
    top: &Level<'_>,
    entry: &Entry<'_>,
    values: &mut Values,
) -> Result<Vec<ListenEntry>, Error> {
    let list = entry.value.as_array().map_or(&[][..], |list| list);
    let is_tables = list.iter().any(|item| item.get_ref().is_table());
    if !is_tables && !entry.value.is_table() {
        top.take(entry, values)?;
        return Ok(Vec::new());
    }
    let wrong = || {
        entry.error("listen is not a list of tables; begin each listener with a line [[listen]]")
    };
    let read = |item: &Spanned<DeValue<'_>>| {
        let table = item.get_ref().as_table().ok_or_else(wrong)?;
        ListenEntry::read(top, top.place(item.span().start), table)
    };
    let entries: Vec<_> = list.iter().map(read).collect::<Result<_, _>>()?;
    let first = entries.first().ok_or_else(wrong)?;
    let addresses: Vec<_> = entries.iter().map(ListenEntry::address).collect();
    values.insert(&Setting::listen(), addresses.join(","), first.place.clone())?;
    Ok(entries)
}
