//! The head of a response, without what is one client's own.

use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header, response};

use super::NoUpstream;
use super::keyed::value;
use crate::stage::ABOUT_THE_BYTES;

/// The head of a response as all clients of a relay are given it. Its fields are copies: those of the response pin the
/// buffer that they were read into.
#[derive(Debug)]
pub(super) struct Head {
    status: StatusCode,
    headers: HeaderMap,
    no_upstream: Option<NoUpstream>,
}

impl Head {
    /// What of this head is for all.
    pub(super) fn for_all(response: &response::Parts) -> Self {
        let mut headers = HeaderMap::new();
        for (name, field) in &response.headers {
            if ABOUT_THE_BYTES.contains(name) || is_of_one_response(name, field) {
                continue;
            }
            if let Some(copy) = value(field.as_bytes()) {
                headers.append(name.clone(), copy);
            }
        }
        Head {
            status: response.status,
            headers,
            no_upstream: response.extensions.get().copied(),
        }
    }

    /// One of ours, while there is none of the upstream.
    pub(super) fn own() -> Self {
        let event_stream = HeaderValue::from_static("text/event-stream");
        let no_cache = HeaderValue::from_static("no-cache");
        let fields = [
            (header::CONTENT_TYPE, event_stream),
            (header::CACHE_CONTROL, no_cache),
        ];
        Head {
            headers: fields.into_iter().collect(),
            ..Self::status(StatusCode::OK)
        }
    }

    pub(super) fn status(status: StatusCode) -> Self {
        Head {
            status,
            headers: HeaderMap::new(),
            no_upstream: None,
        }
    }

    /// One that says that there is no answer to be had.
    pub(super) fn no_upstream() -> Self {
        Head {
            no_upstream: Some(NoUpstream),
            ..Self::status(StatusCode::BAD_GATEWAY)
        }
    }

    pub(super) fn response<B>(&self, body: B) -> Response<B> {
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers.clone();
        if let Some(mark) = self.no_upstream {
            response.extensions_mut().insert(mark);
        }
        response
    }

    /// What it is made of.
    pub(super) fn parts(&self) -> (StatusCode, &HeaderMap) {
        (self.status, &self.headers)
    }

    /// One that is made of this.
    pub(super) fn of(status: StatusCode, headers: HeaderMap) -> Self {
        Head {
            headers,
            ..Self::status(status)
        }
    }

    /// How many bytes are held for it.
    pub(super) fn bytes(&self) -> usize {
        let field =
            |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len() + 64;
        self.headers.iter().map(field).sum()
    }
}

/// The head of the response for who asked: with all that is its own, and without what is no more true of the bytes.
pub(super) fn of_who_asked(mut response: response::Parts) -> response::Parts {
    for name in ABOUT_THE_BYTES {
        response.headers.remove(name);
    }
    response
}

/// Whether a field of a response is of one response, and so of one client: what names a request, a session or a person,
/// says when or how fast it was answered, or holds what is to be used once.
fn is_of_one_response(name: &HeaderName, value: &HeaderValue) -> bool {
    const EXACT: [&str; 9] = [
        "age",
        "authentication-info",
        "authorization",
        "clear-site-data",
        "date",
        "last-modified",
        "server-timing",
        "x-runtime",
        "x-served-by",
    ];
    const PARTS: [&str; 16] = [
        "x-auth",
        "cookie",
        "correlation",
        "csrf",
        "cf-ray",
        "nonce",
        "requestid",
        "secret",
        "session",
        "token",
        "trace",
        "user",
        "xsrf",
        "x-envoy-",
        "x-response-time",
        "x-timer",
    ];
    let name = name.as_str();
    EXACT.contains(&name)
        || name.ends_with("-id")
        || PARTS.iter().any(|part| name.contains(part)) && !name.starts_with("access-control-")
        || name.starts_with("content-security-policy")
            && value
                .as_bytes()
                .windows(7)
                .any(|at| at.eq_ignore_ascii_case(b"'nonce-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_of_one_response_goes_to_nobody_else() {
        let mut response = Response::builder().status(200);
        let own = [
            ("set-cookie", "a=b"),
            ("date", "today"),
            ("server-timing", "db;dur=5"),
            ("x-request-id", "7"),
            ("x-amzn-requestid", "7"),
            ("x-amz-cf-id", "7"),
            ("cf-ray", "7"),
            ("traceparent", "00-7"),
            ("mcp-session-id", "7"),
            ("x-csrf-token", "7"),
            ("x-auth-token", "7"),
            ("x-user", "alice"),
            ("content-security-policy", "script-src 'nonce-abc'"),
            ("content-length", "7"),
            ("etag", "7"),
        ];
        let all = [
            ("content-type", "text/event-stream"),
            ("content-security-policy-report-only", "default-src 'self'"),
            ("access-control-allow-origin", "https://a.example"),
            (
                "access-control-allow-headers",
                "authorization, x-csrf-token",
            ),
            ("vary", "origin"),
            ("x-upstream", "1"),
        ];
        for (name, value) in own.iter().chain(&all) {
            response = response.header(*name, *value);
        }
        let (parts, ()) = response.body(()).unwrap().into_parts();
        let head = Head::for_all(&parts);
        let mut names: Vec<_> = head.headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        let mut expected = all.map(|(name, _)| name);
        expected.sort_unstable();
        assert_eq!(names, expected);
    }
}
