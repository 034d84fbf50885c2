//! What a setting is.

/// One thing that can be set, described once for flags, variables, files and the help.
pub(crate) struct Setting<T: 'static> {
    /// In a file; the variable is made from it.
    pub(crate) key: &'static str,
    /// The key with hyphens, behind two of them: clap wants it in one piece.
    pub(crate) flag: &'static str,
    /// What the help lists it under.
    pub(crate) heading: &'static str,
    /// How its value is written, for the help.
    pub(crate) form: &'static str,
    pub(crate) default: Option<&'static str>,
    /// One sentence for the help.
    pub(crate) about: &'static str,
    pub(crate) scope: Scope,
    pub(crate) bare: Bare,
    pub(crate) parse: fn(&str) -> Result<T, String>,
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

/// A setting of whatever type.
pub(crate) trait Known: Sync {
    fn key(&self) -> &'static str;
    /// `--drain-window`
    fn flag(&self) -> &'static str;
    fn heading(&self) -> &'static str;
    fn form(&self) -> &'static str;
    fn default(&self) -> Option<&'static str>;
    fn about(&self) -> &'static str;
    fn scope(&self) -> Scope;
    fn bare(&self) -> Bare;
    /// Whether `text` is a value of this setting.
    fn check(&self, text: &str) -> Result<(), String>;

    /// `SSE_GATEWAY_DRAIN_WINDOW`
    fn variable(&self) -> String {
        format!("SSE_GATEWAY_{}", self.key().to_ascii_uppercase())
    }
}

impl<T> Known for Setting<T> {
    fn key(&self) -> &'static str {
        self.key
    }

    fn flag(&self) -> &'static str {
        self.flag
    }

    fn heading(&self) -> &'static str {
        self.heading
    }

    fn form(&self) -> &'static str {
        self.form
    }

    fn default(&self) -> Option<&'static str> {
        self.default
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn scope(&self) -> Scope {
        self.scope
    }

    fn bare(&self) -> Bare {
        self.bare
    }

    fn check(&self, text: &str) -> Result<(), String> {
        (self.parse)(text).map(drop)
    }
}
