//! Asks the hops on the way not to hold events back.
//!
//! It sets `x-accel-buffering: no`, which nginx heeds, and `cache-control: no-cache, no-transform`, which
//! keeps caches from answering and compressing proxies from collecting bytes. What the upstream set stays
//! where it is stricter (`no-store`, `private`), and goes where it is not (`max-age`, `public`).
//!
//! # Example
//!
//! ```
//! use tower_sse::{EventLayer, stage::NoBuffering};
//!
//! let layer = EventLayer::new(NoBuffering);
//! # let _ = layer.clone();
//! ```

use http::{HeaderMap, HeaderName, HeaderValue, header, response};

use super::{Outbox, Stage, Times};

/// Asks the hops on the way not to hold events back. See the [module docs](self).
#[derive(Clone, Copy, Debug, Default)]
pub struct NoBuffering;

const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
/// What is kept of the upstream's `cache-control`.
const STRICT: [&str; 3] = ["no-store", "private", "must-revalidate"];

impl Stage for NoBuffering {
    fn on_response(&mut self, response: &mut response::Parts, _: &Times, _: &mut Outbox) {
        let headers = &mut response.headers;
        let value = cache_control(headers);
        headers.insert(header::CACHE_CONTROL, value);
        headers.insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
    }

    #[inline]
    fn passes(&self) -> bool {
        true
    }
}

fn cache_control(headers: &HeaderMap) -> HeaderValue {
    let mut kept = [false; STRICT.len()];
    for value in headers.get_all(header::CACHE_CONTROL) {
        for directive in value.as_bytes().split(|byte| *byte == b',') {
            for (name, kept) in STRICT.iter().zip(&mut kept) {
                *kept |= directive.trim_ascii().eq_ignore_ascii_case(name.as_bytes());
            }
        }
    }
    if kept == [false; STRICT.len()] {
        return HeaderValue::from_static("no-cache, no-transform");
    }
    let mut all: Vec<&str> = STRICT
        .iter()
        .zip(kept)
        .filter_map(|(name, kept)| kept.then_some(*name))
        .collect();
    all.extend(["no-cache", "no-transform"]);
    HeaderValue::from_str(&all.join(", ")).expect("directives are ASCII")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stricter_of_both_is_kept() {
        for (upstream, expected) in [
            ("", "no-cache, no-transform"),
            ("public, max-age=600", "no-cache, no-transform"),
            ("No-Store", "no-store, no-cache, no-transform"),
            ("no-cache", "no-cache, no-transform"),
            (
                "private, max-age=0, must-revalidate",
                "private, must-revalidate, no-cache, no-transform",
            ),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(upstream));
            assert_eq!(cache_control(&headers), expected);
        }
    }
}
