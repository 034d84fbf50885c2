//! The page, in one document, so that a saved copy and a machine without a network show the same.

use std::net::SocketAddr;

const PAGE: &str = concat!(
    include_str!("page/index.html"),
    "<style>\n",
    include_str!("page/style.css"),
    "</style>\n<pre hidden id=\"settings-source\">\n",
    include_str!("gateway.toml"),
    "</pre>\n<pre hidden id=\"settings-of-nodes\">\n",
    include_str!("nodes.toml"),
    // The page shows the text of this one, so what it shows is what it runs.
    "</pre>\n<script id=\"resume-source\">\n",
    include_str!("page/resume.js"),
    "</script>\n<script>\n",
    include_str!("page/common.js"),
    include_str!("page/reader.js"),
    include_str!("page/share.js"),
    include_str!("page/several.js"),
    include_str!("page/tokens.js"),
    include_str!("page/wire.js"),
    include_str!("page/main.js"),
    "</script>\n</html>\n"
);

/// The settings of the gateway in the demo.
pub(super) const SETTINGS: &str = include_str!("gateway.toml");

/// The settings of the gateways in it that share streams.
pub(super) const SETTINGS_OF_NODES: &str = include_str!("nodes.toml");

/// Nothing from elsewhere can be loaded, and nothing can be sent elsewhere, but to this port, where gateways share streams.
pub(super) fn policy(port: Option<u16>) -> String {
    let also = port.map_or_else(String::new, |port| format!(" http://*:{port}"));
    format!(
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'{also}; \
         img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}

/// The page, which shows the settings with the upstream that there is.
pub(super) fn with_upstream(addr: SocketAddr) -> String {
    PAGE.replace(UPSTREAM, &addr.to_string())
}

/// Stands in the settings for what is known only when the upstream listens.
const UPSTREAM: &str = "127.0.0.1:5000";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_needs_nothing_from_elsewhere() {
        let own = PAGE.replace("http://www.w3.org/2000/svg", "");
        let own = own.replace("http://127.0.0.1:5000", "");
        for elsewhere in ["http://", "https://", "src=", "@import", "innerHTML"] {
            assert!(!own.contains(elsewhere), "{elsewhere}");
        }
    }

    #[test]
    fn every_id_is_there_once() {
        let mut ids: Vec<_> = PAGE
            .split(" id=\"")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .collect();
        let all = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!((ids.len(), all > 30), (all, true), "{ids:?}");
    }

    #[test]
    fn the_settings_can_stand_in_a_document_as_they_are() {
        assert!(!SETTINGS.contains(['<', '&']));
        assert_eq!(SETTINGS.matches(UPSTREAM).count(), 1);
        crate::demo::settings().expect("the settings are right");
        assert!(!SETTINGS_OF_NODES.contains(['<', '&']));
    }
}
