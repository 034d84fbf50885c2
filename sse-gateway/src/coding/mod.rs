//! Content codings of event streams: what an upstream encodes is decoded, so that its events can be seen; what a client may have
//! compressed is.

mod compressed;
mod decode;
mod decoded;
mod gzip;

pub(crate) use self::compressed::{accepts_gzip, compressed};
pub(crate) use self::decoded::{DECODED, Decoded};
pub(crate) use self::gzip::Once;

use http::HeaderMap;
use http::header::CONTENT_ENCODING;

/// A content coding that can be decoded (RFC 9110, section 8.4.1; RFC 7932; RFC 9659).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

impl Coding {
    pub(crate) const ALL: [Self; 4] = [Self::Gzip, Self::Deflate, Self::Brotli, Self::Zstd];

    /// As it is written.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
        }
    }

    /// The coding of a message, if it has one alone, and one that is known.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(CONTENT_ENCODING).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return None;
        };
        let name = value.to_str().ok()?.trim();
        let is_named = |coding: &Self| coding.name().eq_ignore_ascii_case(name);
        match name.eq_ignore_ascii_case("x-gzip") {
            true => Some(Self::Gzip),
            false => Self::ALL.into_iter().find(is_named),
        }
    }
}
