//! The head of a request that needs no hyper, as hyper reads it: with its parser, and into the same request.

use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HOST, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version};

use crate::fields::has_token;

/// Of a head; one with more is left to hyper.
const MOST_LINES: usize = 64;

/// As many fields are added on the way to the upstream, at most; without room for them the map would be made twice.
const ADDED_LINES: usize = 5;

/// A GET of HTTP/1.1 without a body that asks for nothing of the connection but its end, and the length of its head.
///
/// None when there is any doubt: when the head is not whole, not valid, or only almost.
pub(super) fn head(bytes: &[u8]) -> Option<(Request<()>, usize)> {
    // hyper takes empty lines in front of a head too.
    if !bytes.starts_with(b"GET ") {
        return None;
    }
    let mut lines = [httparse::EMPTY_HEADER; MOST_LINES];
    let mut parsed = httparse::Request::new(&mut lines);
    let Ok(httparse::Status::Complete(length)) = parsed.parse(bytes) else {
        return None;
    };
    if parsed.version != Some(1) || has_bare_line_feed(&bytes[..length]) {
        return None;
    }
    let mut request = Request::new(());
    *request.method_mut() = Method::GET;
    *request.uri_mut() = Uri::try_from(parsed.path?.as_bytes()).ok()?;
    *request.version_mut() = Version::HTTP_11;
    let headers = request.headers_mut();
    headers.reserve(parsed.headers.len() + ADDED_LINES);
    for line in &*parsed.headers {
        // Copied, so that a head that is kept does not keep what it was read into.
        let name = HeaderName::from_bytes(line.name.as_bytes()).ok()?;
        headers.append(name, HeaderValue::from_bytes(line.value).ok()?);
    }
    is_plain(headers).then_some((request, length))
}

fn is_plain(headers: &HeaderMap) -> bool {
    let not_here = [CONTENT_LENGTH, TRANSFER_ENCODING, EXPECT, UPGRADE];
    headers.get_all(HOST).iter().count() == 1
        && !not_here.iter().any(|name| headers.contains_key(name))
        && !has_token(headers, &CONNECTION, "upgrade")
}

fn has_bare_line_feed(head: &[u8]) -> bool {
    memchr::memchr_iter(b'\n', head).any(|at| at == 0 || head[at - 1] != b'\r')
}
