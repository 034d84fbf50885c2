//! What `check` prints: each setting with the place that decides it, and the routes with what is their own.

use std::path::Path;

use super::given::{Layers, Place};
use super::setting::Setting;
use super::{Config, Route, Sources, known, needless};

/// The report on `path`, which `sources` hold and `config` was made from.
pub(crate) fn of(sources: &Sources, config: &Config, path: &Path) -> String {
    let top = sources.top();
    let mut settings = vec![["SETTING", "VALUE", "FROM"].map(str::to_owned).to_vec()];
    for setting in known::ALL.iter() {
        let (text, place) = match Layers(&top).given(setting) {
            Some(given) => (one_line(&given.text), given.place),
            None => ("none".to_owned(), Place::Default),
        };
        settings.push(vec![setting.path(), text, place.to_string()]);
    }

    let mut routes = vec![
        ["ROUTE", "MATCHES", "UPSTREAM", "OF ITS OWN"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for (route, entry) in config.routes.iter().zip(&sources.file.routes) {
        let own: Vec<_> = entry
            .values
            .iter()
            .filter(|(key, _)| *key != Setting::upstream().name)
            .map(|(key, given)| format!("{key} {}", one_line(&given.text)))
            .collect();
        routes.push(row(route, own.join(", ")));
    }
    routes.push(match &config.fallback {
        Some(route) => row(route, String::new()),
        None => ["-", "all else", "none: answered with 404", ""]
            .map(str::to_owned)
            .to_vec(),
    });
    let warnings = needless::warnings(sources, config);
    let warnings: String = warnings
        .iter()
        .map(|warning| format!("warning: {warning}\n"))
        .collect();
    let blank = if warnings.is_empty() { "" } else { "\n" };
    format!(
        "{}\n{}\n{warnings}{blank}{}: ok\n",
        table(&settings),
        table(&routes),
        path.display()
    )
}

fn row(route: &Route, own: String) -> Vec<String> {
    let methods: Vec<_> = route
        .methods
        .iter()
        .flatten()
        .map(http::Method::as_str)
        .collect();
    let matches = match methods.is_empty() {
        true => route.matcher.to_string(),
        false => format!("{} {}", methods.join(","), route.matcher),
    };
    vec![
        route.name.clone(),
        matches,
        route.settings.upstream.to_string(),
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
