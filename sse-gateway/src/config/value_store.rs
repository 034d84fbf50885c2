//! The same for the settings of a store that several gateways share.

use std::fmt;

use tower_sse::store::{Acknowledge, RedisStore, WhenAway};

use super::tls;
use super::value::{Parsed, choices, or_wrong};

/// Where the store is. It is not shown, since it may have a password.
#[derive(Clone, PartialEq)]
pub(crate) struct StoreUrl(pub(crate) String);

impl StoreUrl {
    pub(crate) fn is_tls(&self) -> bool {
        ["rediss", "valkeys"]
            .iter()
            .any(|tls| self.0.starts_with(tls))
    }
}

/// Certificates or a key, as a file has them. They are not shown.
#[derive(Clone, PartialEq)]
pub(crate) struct StorePem(pub(crate) Vec<u8>);

/// What all gateways that share streams know. It is not shown.
#[derive(Clone, PartialEq)]
pub(crate) struct StoreSecret(pub(crate) Vec<u8>);

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreUrl")
    }
}

impl fmt::Debug for StorePem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StorePem")
    }
}

impl fmt::Debug for StoreSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreSecret")
    }
}

/// The least that a secret has.
const LEAST: usize = 32;

pub(crate) fn url(text: &str) -> Parsed<StoreUrl> {
    if let Some(path) = text.strip_prefix("file:") {
        let url = read(path)?;
        let url = String::from_utf8(url).map_err(|_| format!("{path:?} is no text"))?;
        return known(url).map_err(|why| format!("{path:?}: {why}"));
    }
    if has_password(text) {
        return Err("the URL holds a password, which would be shown; write it into a file, and use file:FILE".into());
    }
    known(text.to_owned()).map_err(|why| format!("{text:?}: {why}"))
}

/// What is wrong is said without it.
fn known(url: String) -> Parsed<StoreUrl> {
    let checked = match url.contains(char::is_whitespace) {
        true => Err("a URL has no spaces".to_owned()),
        false => RedisStore::check_url(&url).map_err(|error| error.to_string()),
    };
    let form = "use one such as redis://127.0.0.1:6379, rediss://host or unix:///run/redis.sock";
    checked.map_err(|why| format!("{why}; {form}"))?;
    Ok(StoreUrl(url))
}

pub(crate) fn secret(path: &str) -> Parsed<StoreSecret> {
    let bytes = read(path).map_err(|why| match path.contains('.') || path.starts_with('/') {
        true => why,
        // It may be the secret itself.
        false => "it is the name of a file that holds the secret, and there is no such file".into(),
    })?;
    match bytes.len() {
        LEAST.. => Ok(StoreSecret(bytes)),
        len => Err(format!(
            "{path:?}: a secret has at least {LEAST} bytes, and this has {len}; `openssl rand -hex 32` makes one"
        )),
    }
}

/// A file with certificates that are trusted.
pub(crate) fn ca(path: &str) -> Parsed<StorePem> {
    tls::ca_file(path)?;
    read(path).map(StorePem)
}

/// A file with a certificate, and those that lead from it to one that the server knows.
pub(crate) fn cert(path: &str) -> Parsed<StorePem> {
    tls::cert_file(path)?;
    read(path).map(StorePem)
}

/// A file with a private key.
pub(crate) fn key(path: &str) -> Parsed<StorePem> {
    tls::key_file(path)?;
    read(path).map(StorePem)
}

/// It stands in front of a tag in braces.
pub(crate) fn prefix(text: &str) -> Parsed<String> {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_:.".contains(letter);
    let is_valid = !text.is_empty() && text.len() <= 64 && text.chars().all(is_plain);
    let why = "is not a prefix; use up to 64 letters, digits, -, _, : and ., such as sse";
    or_wrong(is_valid.then(|| text.to_owned()), text, why)
}

fn read(path: &str) -> Parsed<Vec<u8>> {
    let read = std::fs::read(path);
    let bytes = read.map_err(|error| format!("{path:?} cannot be read: {error}"))?;
    Ok(bytes.trim_ascii().to_vec())
}

/// Whether it has one in front of its host, or in its query. One that is not escaped may look like anything.
fn has_password(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let user = rest.rsplit_once('@').map_or("", |(user, _)| user);
    user.contains(':') || url.contains("pass=")
}

choices! {
    ack: Acknowledge { "primary": Acknowledge::Primary, "replica": Acknowledge::Replica, "disk": Acknowledge::Disk }
}

choices! {
    down: WhenAway { "wait": WhenAway::Wait, "local": WhenAway::Local }
}
