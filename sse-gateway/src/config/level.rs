//! The settings at the top of a file or in a route: their keys, and the tables with more of them.

use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::file::{Entry, line_at};
use super::setting::{Scope, Setting, Settings};
use super::suggest::nearest;
use super::{Error, Place, Values, route_entry};

/// Where in the file we are, and what may stand there.
#[derive(Clone, Copy)]
pub(super) struct Level<'a> {
    pub(super) settings: &'a Settings,
    /// Of the file, with its text: for the lines of errors.
    pub(super) name: &'a Arc<str>,
    pub(super) text: &'a str,
    /// `Gateway` at the top.
    pub(super) scope: Scope,
}

impl Level<'_> {
    pub(super) fn place(&self, at: usize) -> Place {
        Place::Line(Arc::clone(self.name), line_at(self.text.as_bytes(), at))
    }

    /// The entries of a table from top to bottom, so that the first mistake in the file is the one that is told.
    pub(super) fn entries<'t>(&self, table: &'t DeTable<'t>) -> Vec<Entry<'t>> {
        let mut found: Vec<_> = table.iter().collect();
        found.sort_by_key(|(key, _)| key.span().start);
        let entry = |(key, value): (&'t Spanned<_>, &'t Spanned<DeValue<'t>>)| Entry {
            key: AsRef::<str>::as_ref(key.get_ref()),
            value: value.get_ref(),
            place: self.place(key.span().start),
        };
        found.into_iter().map(entry).collect()
    }

    /// Takes up a setting, or a table of them.
    ///
    /// # Errors
    ///
    /// When the key is unknown or belongs elsewhere, or the value is bad.
    pub(super) fn take(&self, entry: &Entry<'_>, values: &mut Values) -> Result<(), Error> {
        let name = entry.key;
        if let Some(setting) = self.find(None, name) {
            return self.insert(setting, entry, values);
        }
        if self.settings.within(Some(name)).next().is_none() {
            return Err(self.unknown(entry));
        }
        let line = self.line_of(name);
        let Some(table) = entry.value.as_table() else {
            return Err(entry.wrong_type(name, format_args!("a table, below a line {line}")));
        };
        for entry in self.entries(table) {
            match self.find(Some(name), entry.key) {
                Some(setting) => self.insert(setting, &entry, values)?,
                None => return Err(self.unknown_in(name, &entry)),
            }
        }
        Ok(())
    }

    fn find(&self, table: Option<&str>, key: &str) -> Option<&'static Setting> {
        let mut settings = self.settings.within(table);
        settings.find(|setting| setting.key() == key)
    }

    fn insert(
        &self,
        setting: &Setting,
        entry: &Entry<'_>,
        values: &mut Values,
    ) -> Result<(), Error> {
        let path = setting.path();
        if !self.allows(setting) {
            return Err(entry.error(format_args!(
                "{path} holds for the whole gateway; move it above the first [[route]]"
            )));
        }
        let Some(text) = entry.text(setting.bare) else {
            let example = setting.default.unwrap_or("http://127.0.0.1:5000");
            let right = format!("{}, such as {example:?}", setting.form);
            return Err(entry.wrong_type(&path, right));
        };
        values.insert(setting, text, entry.place.clone())
    }

    fn allows(&self, setting: &Setting) -> bool {
        self.scope == Scope::Gateway || setting.scope == Scope::Route
    }

    fn unknown(&self, entry: &Entry<'_>) -> Error {
        let key = entry.key;
        let of_routes = route_entry::KEYS;
        let (owner, first, last) = match self.scope {
            Scope::Gateway if of_routes.contains(&key) => {
                return entry.error(format_args!(
                    "{key} belongs to a route; write it below a line [[route]]"
                ));
            }
            Scope::Gateway => ("the file", &[][..], &["route"][..]),
            Scope::Route => ("a route", &of_routes[..], &[][..]),
        };
        let allowed = || self.settings.iter().filter(|setting| self.allows(setting));
        let mut keys = first.to_vec();
        for key in allowed().map(|setting| setting.table.unwrap_or(setting.name)) {
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        keys.extend(last);
        // What belongs elsewhere is told what it was meant to be, too: `[[path]]` or a `metods` above the routes, and
        // `tls_cert` or `cert` for `cert` in `[tls]`.
        let within = allowed().find(|setting| setting.key() == key);
        let names = allowed().map(|setting| setting.name);
        let candidates = keys.iter().copied().chain(of_routes).chain(names);
        let near = within
            .map(|setting| setting.name)
            .or_else(|| nearest(key, candidates));
        let Some(setting) = near.and_then(|near| self.settings.named(near)) else {
            return entry.unknown(near, owner, &keys);
        };
        entry.unknown(Some(&self.written(setting)), owner, &keys)
    }

    fn unknown_in(&self, table: &str, entry: &Entry<'_>) -> Error {
        let (key, line) = (entry.key, self.line_of(table));
        if self.find(None, key).is_some() || route_entry::KEYS.contains(&key) {
            return entry.error(format_args!(
                "{key} does not belong to {line}; move it above that line"
            ));
        }
        let keys: Vec<_> = self
            .settings
            .within(Some(table))
            .map(Setting::key)
            .collect();
        entry.unknown(nearest(key, keys.iter().copied()), &line, &keys)
    }

    /// How a setting is written here.
    fn written(&self, setting: &Setting) -> String {
        match setting.table {
            Some(table) => format!("{} in {}", setting.key(), self.line_of(table)),
            None => setting.name.to_owned(),
        }
    }

    /// How a table begins here.
    fn line_of(&self, table: &str) -> String {
        match self.scope {
            Scope::Gateway => format!("[{table}]"),
            Scope::Route => format!("[route.{table}]"),
        }
    }
}

/// Over settings of which some stand in tables.
#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use crate::config::cases::rows;
    use crate::config::given::{Layers, Values};
    use crate::config::setting::Setting;
    use crate::config::table::settings;
    use crate::config::value::{list_or_off, or, switch, time};
    use crate::config::{Error, File};

    settings! {
        "Streams" top {
            route beat: Option<Duration> = "15s", "TIME|off", or("off", time), "How often.";
        }
        "Encryption" [mtls] {
            gateway mtls_cert: String = "off", "FILE|off", text, "The certificate.";
            gateway mtls_strict: bool = "on", "on|off", switch, bare Booleans, "Whether old clients are refused.";
        }
        "Browsers" [rules] {
            route rules_origins: Vec<String> = "off", "NAMES|off", list_or_off(text), bare Lists, "Who may ask.";
        }
    }

    fn text(text: &str) -> Result<String, String> {
        Ok(text.to_owned())
    }

    fn file(text: &str) -> Result<File, Error> {
        File::parse_with(&ALL, &Arc::from("gateway.toml"), text)
    }

    #[test]
    fn a_table_at_the_top_and_one_of_a_route_give_values() {
        let found = file(
            "mtls.cert = 'a.pem'
            rules = { origins = 'https://a' }
            [[route]]
            path = '/a'
            [route.rules]
            origins = ['https://b', 'https://c']
            [[route]]
            path = '/b'
            beat = '1s'",
        );
        let found = found.expect("the file is right");
        let gateway = GatewaySettings::resolve(Layers(&[&found.values])).expect("is right");
        let expected = GatewaySettings {
            mtls_cert: "a.pem".to_owned(),
            mtls_strict: true,
        };
        assert_eq!(gateway, expected);
        let routes = found.routes.iter().map(|entry| {
            let layers = [&entry.values, &found.values];
            let settings = RouteSettings::resolve(Layers(&layers)).expect("is right");
            (settings.beat, settings.rules_origins.join(" "))
        });
        assert_eq!(
            routes.collect::<Vec<_>>(),
            [
                (
                    Some(Duration::from_secs(15)),
                    "https://b https://c".to_owned()
                ),
                (Some(Duration::from_secs(1)), "https://a".to_owned()),
            ]
        );
    }

    /// A file, where `;` ends a line, the line of the mistake, and what is said about it.
    const MISTAKES: &str = "
        [mtls]; crt = 'a' -> 2: unknown key 'crt'; did you mean cert?
        [mtls]; x = 'a' -> 2: unknown key 'x'; the keys of [mtls] are cert, strict
        [mtlss]; cert = 'a' -> 1: unknown key 'mtlss'; did you mean mtls?
        mtls_cert = 'a' -> 1: unknown key 'mtls_cert'; did you mean cert in [mtls]?
        mtls-crt = 'a' -> 1: unknown key 'mtls-crt'; did you mean cert in [mtls]?
        cert = 'a' -> 1: unknown key 'cert'; did you mean cert in [mtls]?
        colour = 1 -> 1: unknown key 'colour'; the keys of the file are beat, mtls, rules, route
        mtls = 'a' -> 1: mtls: wrong type, string; use a table, below a line [mtls]
        [[mtls]]; cert = 'a' -> 1: mtls: wrong type, array; use a table, below a line [mtls]
        [mtls]; cert = 5 -> 2: mtls.cert: wrong type, integer; use FILE|off, such as 'off'
        [mtls]; strict = 'x' -> 2: mtls.strict: 'x' is neither on nor off; use on or off
        [mtls]; beat = '1s' -> 2: beat does not belong to [mtls]; move it above that line
        [[route]]; [route.mtls]; cert = 'a' -> 3: mtls.cert holds for the whole gateway; move it above the first [[route]]
        [[route]]; rules_origin = 'a' -> 2: unknown key 'rules_origin'; did you mean origins in [route.rules]?
        [[route]]; rules = 'a' -> 2: rules: wrong type, string; use a table, below a line [route.rules]
        [[route]]; [route.rules]; origin = 'a' -> 3: unknown key 'origin'; did you mean origins?
        [[route]]; [route.rules]; path = '/' -> 3: path does not belong to [route.rules]; move it above that line
        [[route]]; colour = 1 -> 2: unknown key 'colour'; the keys of a route are name, path, pattern, methods, beat, rules";

    #[test]
    fn a_mistake_with_a_table_is_told_with_its_line() {
        for [text, expected] in rows(MISTAKES, " -> ") {
            let error = file(&text.replace(';', "\n")).expect_err(text).to_string();
            assert_eq!(
                error.replace('"', "'"),
                format!("gateway.toml:{expected}"),
                "{text}"
            );
        }
    }

    #[test]
    fn a_setting_in_a_table_has_a_flag_and_a_variable() {
        let setting = Setting::mtls_cert();
        assert_eq!(
            [setting.path(), setting.flag()],
            ["mtls.cert", "--mtls-cert"]
        );
        let read = |name: &str| Values::from_environment(&ALL, &[(name.into(), "a.pem".into())]);
        let values = read("SSE_GATEWAY_MTLS_CERT").expect("is right");
        assert_eq!(
            values.get(&setting).map(|given| given.text.as_str()),
            Some("a.pem")
        );
        let error = read("SSE_GATEWAY_MTLS_CRT")
            .expect_err("is misspelt")
            .to_string();
        assert!(
            error.ends_with("did you mean SSE_GATEWAY_MTLS_CERT?"),
            "{error}"
        );
    }
}
