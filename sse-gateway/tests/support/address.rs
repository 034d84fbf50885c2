//! Where a server says it listens.

use std::net::SocketAddr;

/// The address behind these words in a line of a log.
pub(crate) fn address_behind(line: &str, words: &str) -> Option<SocketAddr> {
    let (_, after) = line.split_once(words)?;
    let end = after
        .find(|c: char| !c.is_ascii_hexdigit() && !".:[]".contains(c))
        .unwrap_or(after.len());
    after[..end].parse().ok()
}
