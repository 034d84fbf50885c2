//! The head of a response, as hyper reads it: with its parser and within its bounds (RFC 9112).

use std::fmt;

use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use hyper::ext::ReasonPhrase;

use super::chunked::Chunked;

/// Of all lines of a head together.
pub(super) const MAX_HEAD: usize = 64 * 1024;
/// Of a head, and of trailers.
/// Not 256: hyper reads the lines into memory that it gives back, and a block of it as large as a read buffer would become one,
/// with all of its pages in use: 4 KiB a connection.
pub(super) const MAX_LINES: usize = 320;
/// Enough for most heads; one with more is parsed again with room for all that are allowed.
const FEW_LINES: usize = 48;

/// How long a body is.
#[derive(Debug)]
pub(super) enum Framing {
    Length(u64),
    Chunked(Chunked),
    /// As long as the connection.
    UntilClose,
}

/// What a head says.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) response: Response<()>,
    pub(super) framing: Framing,
    /// Whether the connection can carry another request behind the body.
    pub(super) keeps: bool,
}

/// It is no head of a response.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Invalid {
    TooLarge,
    Because(String),
}

/// The head of the final response, and its length with that of the interim ones in front of it. None when it is not whole yet.
pub(super) fn head(bytes: &[u8]) -> Result<Option<(Head, usize)>, Invalid> {
    let mut at = 0;
    loop {
        let mut few = [httparse::EMPTY_HEADER; FEW_LINES];
        let parsed = match parse(&bytes[at..], &mut few) {
            Err(httparse::Error::TooManyHeaders) => {
                let mut all = vec![httparse::EMPTY_HEADER; MAX_LINES];
                parse(&bytes[at..], &mut all)
            }
            parsed => parsed,
        };
        match parsed {
            Ok(None) => return Ok(None),
            Ok(Some((head, length))) => {
                at += length;
                if let Some(head) = head? {
                    return Ok(Some((head, at)));
                }
            }
            Err(httparse::Error::TooManyHeaders) => return Err(Invalid::TooLarge),
            Err(error) => {
                return Err(Invalid::Because(error.to_string()));
            }
        }
    }
}

/// What a head says, and its length.
type Parsed = (Result<Option<Head>, Invalid>, usize);

fn parse<'a>(
    bytes: &'a [u8],
    lines: &mut [httparse::Header<'a>],
) -> Result<Option<Parsed>, httparse::Error> {
    let mut response = httparse::Response::new(lines);
    match response.parse(bytes)? {
        httparse::Status::Complete(length) => Ok(Some((read(&response), length))),
        httparse::Status::Partial => Ok(None),
    }
}

/// None for an interim response.
fn read(parsed: &httparse::Response<'_, '_>) -> Result<Option<Head>, Invalid> {
    let status = parsed.code.and_then(|code| StatusCode::from_u16(code).ok());
    let status = status.ok_or_else(|| because("its status is none"))?;
    if status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(because("it switches protocols unasked"));
    }
    if status.is_informational() {
        return Ok(None);
    }
    let mut response = Response::new(());
    *response.status_mut() = status;
    let reason = parsed.reason.unwrap_or_default();
    if Some(reason) != status.canonical_reason() {
        if let Ok(reason) = ReasonPhrase::try_from(reason.as_bytes()) {
            response.extensions_mut().insert(reason);
        }
    }
    let headers = response.headers_mut();
    headers.reserve(parsed.headers.len());
    for line in &*parsed.headers {
        // Copied, so that a head that is kept does not keep what it was read into.
        let name = HeaderName::from_bytes(line.name.as_bytes());
        let value = HeaderValue::from_bytes(line.value);
        let (Ok(name), Ok(value)) = (name, value) else {
            return Err(because("a field is none"));
        };
        headers.append(name, value);
    }
    let is_old = parsed.version != Some(1);
    let framing = framing(status, headers, is_old)?;
    let keeps = !is_old && is_plainly_framed(headers) && !closes(headers);
    Ok(Some(Head {
        response,
        framing,
        keeps,
    }))
}

/// RFC 9112, section 6.3.
fn framing(status: StatusCode, headers: &HeaderMap, is_old: bool) -> Result<Framing, Invalid> {
    if [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&status) {
        return Ok(Framing::Length(0));
    }
    if headers.contains_key(TRANSFER_ENCODING) {
        return match (is_old, is_chunked(headers)) {
            (true, _) => Err(because("it is HTTP/1.0 and has Transfer-Encoding")),
            (false, true) => Ok(Framing::Chunked(Chunked::new(MAX_LINES as u32))),
            (false, false) => Ok(Framing::UntilClose),
        };
    }
    let length = content_length(headers)?;
    Ok(length.map_or(Framing::UntilClose, Framing::Length))
}

/// Whether it is the last coding of the last field.
fn is_chunked(headers: &HeaderMap) -> bool {
    let last = headers.get_all(TRANSFER_ENCODING).iter().next_back();
    let last = last.and_then(|value| value.to_str().ok()?.rsplit(',').next());
    last.is_some_and(|coding| coding.trim().eq_ignore_ascii_case("chunked"))
}

/// Whether there can be no two opinions of where the body ends.
fn is_plainly_framed(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => headers.get_all(CONTENT_LENGTH).iter().count() <= 1,
        (Some(coding), None) => {
            coding.as_bytes().eq_ignore_ascii_case(b"chunked")
                && !headers.contains_key(CONTENT_LENGTH)
        }
        (Some(_), Some(_)) => false,
    }
}

fn closes(headers: &HeaderMap) -> bool {
    let values = headers.get_all(CONNECTION).iter();
    let mut tokens = values.flat_map(|value| value.to_str().unwrap_or("close").split(','));
    tokens.any(|token| token.trim().eq_ignore_ascii_case("close"))
}

/// # Errors
///
/// When it is no length, or there are two that differ.
pub(super) fn content_length(headers: &HeaderMap) -> Result<Option<u64>, Invalid> {
    let invalid = || because("its Content-Length is none");
    let mut length = None;
    for value in headers.get_all(CONTENT_LENGTH) {
        for text in value.to_str().map_err(|_| invalid())?.split(',') {
            let text = text.trim();
            // A number may have a sign, a length may not.
            if !text.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(invalid());
            }
            let this = text.parse().map_err(|_| invalid())?;
            if length.is_some_and(|length| length != this) {
                return Err(invalid());
            }
            length = Some(this);
        }
    }
    Ok(length)
}

fn because(why: &str) -> Invalid {
    Invalid::Because(why.to_owned())
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge => f.write_str("the head of the response is too large"),
            Self::Because(why) => write!(f, "the head of the response is invalid: {why}"),
        }
    }
}

impl std::error::Error for Invalid {}
