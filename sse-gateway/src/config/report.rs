//! What `check` prints: each setting with the place that decides it, and the routes with what is their own.

use std::path::Path;

use http::Method;

use super::given::{Layers, Place};
use super::listen_entry::ListenEntry;
use super::{Config, Route, Sources, known, needless, own, preset};

/// The report on `path`, which `sources` hold and `config` was made from.
pub(crate) fn of(sources: &Sources, config: &Config, path: &Path) -> String {
    let [flags, variables, file] = sources.top();
    let preset = preset::values(Layers(&sources.top()));
    let top = [flags, variables, file, &preset];
    let mut settings = vec![cells(["SETTING", "VALUE", "FROM"])];
    for setting in known::ALL.iter() {
        let (text, place) = match Layers(&top).given(setting) {
            Some(given) => (one_line(&given.text), given.place),
            None => ("none".to_owned(), Place::Default),
        };
        settings.push(vec![setting.path(), text, place.to_string()]);
    }
    let mut listeners = vec![cells(["LISTENER", "PROTOCOL", "OF ITS OWN"])];
    for (at, listener) in config.listeners.iter().enumerate() {
        let entry = sources.file.listeners.get(at);
        let entry = entry.filter(|_| sources.has_listen_entries());
        let protocol = match listener.key_pairs.is_empty() {
            true => "http",
            false => "https",
        };
        let own = entry.map_or_else(String::new, ListenEntry::own);
        let address = listener.address.to_string();
        listeners.push(vec![address, protocol.to_owned(), own]);
    }
    let mut routes = vec![cells(["ROUTE", "MATCHES", "UPSTREAM", "OF ITS OWN"])];
    for (route, entry) in config.routes.iter().zip(&sources.file.routes) {
        routes.push(row(route, own::told(sources, entry).join(", ")));
    }
    routes.push(match &config.fallback {
        Some(route) => row(route, String::new()),
        None => cells(["-", "all else", "none: answered with 404", ""]),
    });
    let mut report = [settings, listeners, routes]
        .map(|rows| table(&rows) + "\n")
        .concat();
    let warnings = needless::warnings(sources, config);
    for warning in &warnings {
        report += &format!("warning: {warning}\n");
    }
    let blank = if warnings.is_empty() { "" } else { "\n" };
    format!("{report}{blank}{}: ok\n", path.display())
}

fn cells<const N: usize>(texts: [&str; N]) -> Vec<String> {
    texts.map(str::to_owned).to_vec()
}

fn row(route: &Route, own: String) -> Vec<String> {
    let methods = route.methods.iter().flatten().map(Method::as_str);
    let methods = methods.collect::<Vec<_>>().join(",");
    let matches = format!("{methods} {}", route.matcher);
    let upstream = route.settings.upstream.to_string();
    vec![
        route.name.clone(),
        matches.trim_start().to_owned(),
        upstream,
        own,
    ]
}

fn one_line(text: &str) -> String {
    text.escape_debug().to_string()
}

/// Columns as wide as their widest cell, two blanks between them.
fn table(rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let mut text = String::new();
    for row in rows {
        let cells = row
            .iter()
            .enumerate()
            .map(|(column, cell)| format!("{cell:<width$}", width = width(column)));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}
