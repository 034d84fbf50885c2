//! Values of the settings that say who may read.

use std::fmt;
use std::path::PathBuf;

use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Uri};

use ring::digest;

use super::upstream::Upstream;
use super::value::{Parsed, line, or_wrong};
use super::{CertificatePart, Origins, jwt_keys};
use crate::client::claims;

/// Of a parameter or a cookie.
pub(super) fn name(text: &str) -> Parsed<String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.~".contains(c);
    let is_name = !text.is_empty() && text.chars().all(is_plain);
    let why = "is not a name; use letters, digits, - _ . ~ as in access_token";
    or_wrong(is_name.then(|| text.to_owned()), text, why)
}

pub(super) fn origins(text: &str) -> Parsed<Origins> {
    if text == "*" {
        return Ok(Origins::Any);
    }
    let origins = text.split(',').map(|item| origin(item.trim()));
    origins.collect::<Parsed<_>>().map(Origins::These)
}

/// In the form in which browsers send it (RFC 6454 section 6.2).
fn origin(text: &str) -> Parsed<HeaderValue> {
    let right =
        "use origins such as https://app.example or http://localhost:3000, or * alone for all";
    if text == "*" {
        return Err(format!("* does not go with other origins; {right}"));
    }
    let uri: Option<Uri> = text.parse().ok();
    let parts = uri
        .as_ref()
        .and_then(|uri| Some((uri.scheme_str()?, uri.authority()?)));
    let Some((scheme @ ("http" | "https"), authority)) = parts else {
        return or_wrong(None, text, &format!("is not an origin; {right}"));
    };
    if authority.as_str().contains('*') {
        return Err(format!(
            "{text:?} has a star, and stands for itself alone; name each origin, or use * alone for all"
        ));
    }
    let host = authority.host().to_ascii_lowercase();
    let default = if scheme == "https" { 443 } else { 80 };
    let port = match authority.port_u16().filter(|port| *port != default) {
        Some(port) => format!(":{port}"),
        None => String::new(),
    };
    let written = format!("{scheme}://{host}{port}");
    let is_bare = text.eq_ignore_ascii_case(&format!("{scheme}://{authority}"));
    if !is_bare || authority.as_str().contains('@') {
        let why = format!("has more than scheme, host and port; use {written:?}");
        return or_wrong(None, text, &why);
    }
    let value = HeaderValue::try_from(written).ok();
    or_wrong(value, text, &format!("is not an origin; {right}"))
}

/// What an operator shows at the admin listener. It is not kept, only what tells it.
#[derive(Clone, PartialEq)]
pub(crate) struct AdminToken([u8; 32]);

impl AdminToken {
    pub(crate) fn new(token: &str) -> Self {
        AdminToken(hash(token))
    }

    /// Takes a time that says nothing of the token: hashes are compared.
    pub(crate) fn is(&self, token: &str) -> bool {
        self.0 == hash(token)
    }
}

fn hash(token: &str) -> [u8; 32] {
    let hash = digest::digest(&digest::SHA256, token.as_bytes());
    hash.as_ref().try_into().expect("32 bytes")
}

impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminToken")
    }
}

/// The least that it has.
const LEAST: usize = 16;

pub(super) fn admin_token(path: &str) -> Parsed<AdminToken> {
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|error| format!("{path:?} cannot be read: {error}"))?;
    let token = text.trim();
    // RFC 6750, section 2.1.
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._~+/=".contains(c);
    let make = "`openssl rand -hex 32` makes one";
    if token.len() < LEAST {
        let len = token.len();
        return Err(format!(
            "{path:?}: a token has at least {LEAST} characters, and this has {len}; {make}"
        ));
    }
    match token.chars().all(is_plain) {
        true => Ok(AdminToken::new(token)),
        false => Err(format!(
            "{path:?}: a token is one line of letters, digits, and - . _ ~ + / =; {make}"
        )),
    }
}

/// Where another service is asked for something.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ServiceUrl {
    pub(crate) server: Upstream,
    pub(crate) target: PathAndQuery,
}

impl ServiceUrl {
    /// # Errors
    ///
    /// When it is no URL of an HTTP server, or has a user in it.
    pub(crate) fn parse(text: &str) -> Parsed<Self> {
        let right = "use one such as http://auth:9000/check or https://login.example/keys.json";
        let start = text.find("://").map_or(0, |at| at + 3);
        let end = text[start..].find(['/', '?']).map(|at| start + at);
        let (server, target) = text.split_at(end.unwrap_or(text.len()));
        if server.starts_with("unix:") || target.contains('#') {
            return or_wrong(None, text, &format!("is not the URL of a service; {right}"));
        }
        // What would be right for an upstream is not all of it here.
        let server = Upstream::parse(server).map_err(|error| {
            let what = error.split("; use one such as").next().unwrap_or_default();
            format!("{what}; {right}")
        })?;
        let target = match target.starts_with('/') {
            true => target.parse().ok(),
            false => format!("/{target}").parse().ok(),
        };
        let why = format!("has a path that cannot be one; {right}");
        Ok(ServiceUrl {
            server,
            target: or_wrong(target, text, &why)?,
        })
    }
}

/// A field that is not of one connection, and says nothing of the way or of the body.
pub(super) fn own_field(text: &str) -> Parsed<HeaderName> {
    let name = HeaderName::try_from(text).ok();
    // Services that decide who may read use it for who that is. It is not believed of a client any more than the others are.
    let is_claim =
        |name: &HeaderName| claims::is_claim(name) && !OF_A_USER.contains(&name.as_str());
    let name = name.filter(|name| !NOT_OWN.contains(&name.as_str()) && !is_claim(name));
    let why = "is not a field that can be given; use one such as X-User or X-Api-Key";
    or_wrong(name, text, why)
}

const OF_A_USER: [&str; 5] = [
    "x-forwarded-email",
    "x-forwarded-groups",
    "x-forwarded-preferred-username",
    "x-forwarded-roles",
    "x-forwarded-user",
];

const NOT_OWN: [&str; 11] = [
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "last-event-id",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
];

/// Where the keys are by which tokens can be checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeysAt {
    File(PathBuf),
    /// A key set, which is fetched.
    Url(ServiceUrl),
}

pub(super) fn keys_at(text: &str) -> Parsed<KeysAt> {
    match text.contains("://") {
        true => ServiceUrl::parse(text).map(KeysAt::Url),
        false => jwt_keys::read(text.as_ref()).map(|_| KeysAt::File(text.into())),
    }
}

pub(super) fn text(text: &str) -> Parsed<String> {
    match text {
        "" => Err("is empty; use a text, such as https://login.example/".to_owned()),
        _ => line(text, "is not one line"),
    }
}

/// A claim and its value.
pub(super) fn claim(text: &str) -> Parsed<(String, String)> {
    let halves = text.split_once('=').filter(|(claim, _)| !claim.is_empty());
    let why = "is not a claim and its value; use such as scope=read";
    or_wrong(
        halves.map(|(claim, value)| (claim.to_owned(), value.to_owned())),
        text,
        why,
    )
}

/// A field and the claim that it is made of.
pub(super) fn field_of_claim(text: &str) -> Parsed<(HeaderName, String)> {
    let halves = text.split_once('=').filter(|(_, claim)| !claim.is_empty());
    let halves = halves.and_then(|(field, claim)| Some((field.parse().ok()?, claim.to_owned())));
    let is_free = |(field, _): &(HeaderName, String)| {
        !TAKEN.contains(field) && own_field(field.as_str()).is_ok()
    };
    let why = "is not a field and its claim; use such as x-user=sub";
    or_wrong(halves.filter(is_free), text, why)
}

/// A field and what of a certificate it is made of.
pub(super) fn field_of_certificate(text: &str) -> Parsed<(HeaderName, CertificatePart)> {
    let right = "use such as x-client=cn or x-client-cert=fingerprint";
    let halves = text.split_once('=');
    let why = format!("is not a field and a part of a certificate; {right}");
    let (field, part) = or_wrong(halves, text, &why)?;
    let part = match part {
        "cn" => Some(CertificatePart::CommonName),
        "dns" => Some(CertificatePart::Dns),
        "uri" => Some(CertificatePart::Uri),
        "email" => Some(CertificatePart::Email),
        "fingerprint" => Some(CertificatePart::Fingerprint),
        _ => None,
    };
    let why = "has no part of a certificate; use cn, dns, uri, email or fingerprint";
    Ok((own_field(field)?, or_wrong(part, text, why)?))
}

/// Fields by which the client is known otherwise, or says what it takes.
const TAKEN: [HeaderName; 2] = [http::header::AUTHORIZATION, http::header::ACCEPT];
