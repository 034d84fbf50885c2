//! What the admin listener does for whom: what changes something is for those on this machine, or for who shows a token.

use std::net::IpAddr;

use http::header::AUTHORIZATION;
use http::{HeaderMap, Method, StatusCode};

use super::trust::Refusal;
use crate::config::AdminToken;

/// What has client addresses in it.
const STREAMS: &str = "/streams";

/// Whether a request of this address is carried out.
///
/// # Errors
///
/// When it changes something, or tells of clients, and does not show the token; or there is no token, it changes something and
/// does not come from this machine.
pub(super) fn check(
    token: Option<&AdminToken>,
    (method, path): (&Method, &str),
    peer: Option<IpAddr>,
    headers: &HeaderMap,
) -> Result<(), Refusal> {
    let changes = !method.is_safe();
    let Some(token) = token else {
        let is_here = peer.is_some_and(|peer| peer.to_canonical().is_loopback());
        return match changes && !is_here {
            true => Err(Refusal {
                status: StatusCode::FORBIDDEN,
                why: format!(
                    "{method} {path} is taken from this machine alone: ask 127.0.0.1 there, or start the gateway with --admin-token FILE\n"
                ),
            }),
            false => Ok(()),
        };
    };
    if !changes && path != STREAMS {
        return Ok(());
    }
    let why = match bearer(headers) {
        Some(shown) if token.is(shown) => return Ok(()),
        Some(_) => "The bearer token is not the one of --admin-token.\n".to_owned(),
        None => format!(
            "{method} {path} needs the token of --admin-token: send Authorization: Bearer TOKEN\n"
        ),
    };
    Err(Refusal {
        status: StatusCode::UNAUTHORIZED,
        why,
    })
}

/// RFC 6750, section 2.1. The scheme's case does not count (RFC 9110, section 11.1).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let is_bearer = scheme.eq_ignore_ascii_case("bearer");
    is_bearer.then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(token: Option<&str>, method: Method, path: &str, peer: &str, shown: &str) -> u16 {
        let token = token.map(AdminToken::new);
        let mut headers = HeaderMap::new();
        if !shown.is_empty() {
            headers.insert(AUTHORIZATION, shown.parse().expect("a value"));
        }
        let peer = peer.parse().ok();
        match check(token.as_ref(), (&method, path), peer, &headers) {
            Ok(()) => 200,
            Err(refusal) => refusal.status.as_u16(),
        }
    }

    #[test]
    fn without_a_token_who_is_elsewhere_changes_nothing() {
        for (peer, drain) in [
            ("127.0.0.1", 200),
            ("127.9.9.9", 200),
            ("::1", 200),
            ("::ffff:127.0.0.1", 200),
            ("10.0.0.7", 403),
            ("::ffff:10.0.0.7", 403),
            ("fd00::1", 403),
            ("unknown", 403),
        ] {
            for path in ["/drain", "/reload", "/unknown"] {
                assert_eq!(status(None, Method::POST, path, peer, ""), drain, "{peer}");
                assert_eq!(status(None, Method::PUT, path, peer, ""), drain, "{peer}");
            }
            for path in ["/", "/metrics", "/streams"] {
                assert_eq!(status(None, Method::GET, path, peer, ""), 200, "{peer}");
            }
        }
    }

    #[test]
    fn with_a_token_it_is_shown_for_what_changes_something_and_for_the_streams() {
        let token = Some("a-token-of-the-operator");
        for peer in ["127.0.0.1", "10.0.0.7"] {
            for (shown, expected) in [
                ("", 401),
                ("Bearer", 401),
                ("Bearer a-token-of-the-operator", 200),
                ("bearer  a-token-of-the-operator", 200),
                ("Bearer a-token-of-the-operato", 401),
                ("Bearer a-token-of-the-operators", 401),
                ("Bearer A-token-of-the-operator", 401),
                ("Basic a-token-of-the-operator", 401),
                ("a-token-of-the-operator", 401),
            ] {
                let all = [
                    status(token, Method::POST, "/drain", peer, shown),
                    status(token, Method::POST, "/reload", peer, shown),
                    status(token, Method::GET, "/streams", peer, shown),
                ];
                assert_eq!(all, [expected; 3], "{shown}");
                assert_eq!(status(token, Method::GET, "/metrics", peer, shown), 200);
            }
        }
    }
}
