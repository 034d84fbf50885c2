//! A request that needs no hyper, as hyper reads it: with its parser, and into the same request.

use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HOST, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version};

use crate::fields::has_token;

/// Of a head; one with more is left to hyper.
const MOST_LINES: usize = 64;

/// As many fields are added on the way to the upstream, at most; without room for them the map would be made twice.
const ADDED_LINES: usize = 5;

/// Of a body; a longer one is left to hyper.
const MOST_BODY: usize = 64 * 1024;

/// A request of HTTP/1.1 that asks for nothing of the connection but its end: a GET without a body, or a POST whose body has
/// a length.
pub(crate) struct Plain {
    pub(crate) request: Request<()>,
    /// The length of its head,
    pub(crate) head: usize,
    /// and of the body behind it, which may not be there yet.
    pub(crate) body: usize,
}

impl Plain {
    /// Where the next request begins.
    pub(crate) fn length(&self) -> usize {
        self.head + self.body
    }
}

/// The request that these bytes begin with, up to the end of its head.
///
/// None when there is any doubt: when the head is not whole, not valid, or only almost.
pub(super) fn read(bytes: &[u8]) -> Option<Plain> {
    // hyper takes empty lines in front of a head too.
    let method = match bytes {
        [b'G', b'E', b'T', b' ', ..] => Method::GET,
        [b'P', b'O', b'S', b'T', b' ', ..] => Method::POST,
        _ => return None,
    };
    let mut lines = [httparse::EMPTY_HEADER; MOST_LINES];
    let mut parsed = httparse::Request::new(&mut lines);
    let Ok(httparse::Status::Complete(head)) = parsed.parse(bytes) else {
        return None;
    };
    if parsed.version != Some(1) || has_bare_line_feed(&bytes[..head]) {
        return None;
    }
    let mut request = Request::new(());
    *request.method_mut() = method;
    *request.uri_mut() = Uri::try_from(parsed.path?.as_bytes()).ok()?;
    *request.version_mut() = Version::HTTP_11;
    let headers = request.headers_mut();
    headers.reserve(parsed.headers.len() + ADDED_LINES);
    for line in &*parsed.headers {
        // Copied, so that a head that is kept does not keep what it was read into.
        let name = HeaderName::from_bytes(line.name.as_bytes()).ok()?;
        headers.append(name, HeaderValue::from_bytes(line.value).ok()?);
    }
    if !is_plain(headers) {
        return None;
    }
    let body = match *request.method() {
        Method::POST => content_length(request.headers())?,
        _ => match request.headers().contains_key(CONTENT_LENGTH) {
            true => return None,
            false => 0,
        },
    };
    Some(Plain {
        request,
        head,
        body,
    })
}

fn is_plain(headers: &HeaderMap) -> bool {
    let not_here = [TRANSFER_ENCODING, EXPECT, UPGRADE];
    headers.get_all(HOST).iter().count() == 1
        && !not_here.iter().any(|name| headers.contains_key(name))
        && !has_token(headers, &CONNECTION, "upgrade")
}

/// A length that is said once, as a number and nothing else.
fn content_length(headers: &HeaderMap) -> Option<usize> {
    let mut values = headers.get_all(CONTENT_LENGTH).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return None;
    };
    // A number may have a sign, a length may not.
    let digits = value.to_str().ok()?;
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    let length = is_number.then(|| digits.parse().ok()).flatten();
    length.filter(|length| *length <= MOST_BODY)
}

fn has_bare_line_feed(head: &[u8]) -> bool {
    memchr::memchr_iter(b'\n', head).any(|at| at == 0 || head[at - 1] != b'\r')
}
