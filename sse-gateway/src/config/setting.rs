//! What a setting is, and a table of them.

/// One thing that can be set, described once for flags, variables, files and the help.
///
/// The table `known` adds a function for each: `Setting::heartbeat()`.
#[derive(Clone, Copy)]
pub(crate) struct Setting {
    /// With that of its table in front: `tls_cert`.
    pub(crate) name: &'static str,
    /// The table of the file that it stands in, if any.
    pub(crate) table: Option<&'static str>,
    /// What the help lists it under.
    pub(crate) heading: &'static str,
    /// How its value is written, for the help.
    pub(crate) form: &'static str,
    pub(crate) default: Option<&'static str>,
    /// One sentence for the help.
    pub(crate) about: &'static str,
    pub(crate) scope: Scope,
    pub(crate) bare: Bare,
    /// Whether a text is a value of this setting.
    pub(crate) check: fn(&str) -> Result<(), String>,
    /// Without which it has no effect.
    pub(crate) needs: Option<Needs>,
}

/// Where in a file a setting may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// At the top only.
    Gateway,
    /// At the top, and in a route for that route.
    Route,
}

/// What a file may give beside a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bare {
    Nothing,
    Numbers,
    Booleans,
    /// Lists of strings. The flag may be repeated, and its value is a comma list.
    Lists,
}

/// What a setting may need to have an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Needs {
    /// Streams that are shared or resumable.
    Relay,
    /// Such streams on some route.
    AnyRelay,
    Sharing,
    /// Ids that are not those of a relay.
    IdsOfItsOwn,
    Heartbeat,
    Retry,
    IdleTimeout,
    Admin,
    Tls,
    /// Clients that show certificates.
    ClientCa,
    /// A listener on a Unix socket.
    UnixListener,
    /// An upstream that speaks TLS.
    UpstreamTls,
    Jwt,
    ForwardAuth,
    /// A store that several gateways share.
    Store,
    /// One that speaks TLS.
    StoreTls,
}

impl Setting {
    /// Its name within its table: `cert`.
    pub(crate) fn key(&self) -> &'static str {
        let within = |table| self.name.strip_prefix(table)?.strip_prefix('_');
        self.table.and_then(within).unwrap_or(self.name)
    }

    /// Its name in errors and reports: `tls.cert`.
    pub(crate) fn path(&self) -> String {
        match self.table {
            Some(table) => format!("{table}.{}", self.key()),
            None => self.name.to_owned(),
        }
    }

    /// `--tls-cert`
    pub(crate) fn flag(&self) -> String {
        format!("--{}", self.name.replace('_', "-"))
    }

    /// `SSE_GATEWAY_TLS_CERT`
    pub(crate) fn variable(&self) -> String {
        format!("SSE_GATEWAY_{}", self.name.to_ascii_uppercase())
    }
}

/// Settings, in the order of the help.
pub(crate) struct Settings {
    pub(crate) all: &'static [Setting],
}

impl Settings {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &'static Setting> + use<> {
        self.all.iter()
    }

    pub(crate) fn named(&self, name: &str) -> Option<&'static Setting> {
        self.iter().find(|setting| setting.name == name)
    }

    /// Those in a table of the file, or outside of tables.
    pub(crate) fn within(&self, table: Option<&str>) -> impl Iterator<Item = &'static Setting> {
        self.iter().filter(move |setting| setting.table == table)
    }
}
