//! `Via`, which says what a message came through (RFC 9110 section 7.6.3), and so whether a request goes round in a circle.
//!
//! The name is nobody's address, and each process has its own: gateways may stand behind one another.

use std::sync::LazyLock;

use http::header::VIA;
use http::{HeaderMap, Version};

use crate::client::claims;

static NAME: LazyLock<String> = LazyLock::new(|| {
    let chance = getrandom::u64().expect("the system gives random bytes");
    format!("sse-gateway-{chance:016x}")
});

/// By the version of what was received, in the order of [`VERSIONS`].
static ENTRIES: LazyLock<[String; 3]> =
    LazyLock::new(|| VERSIONS.map(|version| format!("{version} {}", *NAME)));

const VERSIONS: [&str; 3] = ["1.0", "1.1", "2.0"];

/// Adds us to what a request came through.
pub(crate) fn add(headers: &mut HeaderMap, received: Version) {
    claims::append(headers, &VIA, ours(received).as_bytes());
}

/// Whether a request has been through here before.
pub(crate) fn is_known(headers: &HeaderMap) -> bool {
    let hops = headers.get_all(VIA).iter();
    hops.flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .any(|hop| {
            let mut words = hop.split(u8::is_ascii_whitespace);
            let name = words.by_ref().filter(|word| !word.is_empty()).nth(1);
            name == Some(NAME.as_bytes())
        })
}

/// The entry of a request that came by this version.
pub(crate) fn ours(received: Version) -> &'static str {
    &ENTRIES[match received {
        Version::HTTP_10 => 0,
        Version::HTTP_2 => 2,
        _ => 1,
    }]
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn we_are_told_behind_others_and_known_again() {
        let mut headers = HeaderMap::new();
        assert!(!is_known(&headers));
        headers.append(VIA, HeaderValue::from_static("1.0 fred"));
        headers.append(VIA, HeaderValue::from_static("2.0 sse-gateway-0 (x, y)"));
        assert!(!is_known(&headers));
        add(&mut headers, Version::HTTP_2);
        let all = headers["via"].to_str().expect("text").to_owned();
        let before = "1.0 fred, 2.0 sse-gateway-0 (x, y), 2.0 sse-gateway-";
        assert!(all.starts_with(before), "{all}");
        assert!(is_known(&headers));
        let behind = HeaderValue::from_str(&format!("{all} (comment), 1.1 edge"));
        headers.insert(VIA, behind.expect("a value"));
        assert!(is_known(&headers));
    }
}
