//! Values of the settings that say who may read.

use http::{HeaderValue, Uri};

use super::Origins;
use super::value::{Parsed, or_wrong};

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
