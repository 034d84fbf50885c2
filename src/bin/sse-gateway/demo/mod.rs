//! What `sse-gateway demo` puts around the gateway: an upstream to stand in front of, and a page to look at it with.
//!
//! The upstream ([`upstream`], [`streams`]) is an ordinary little server which knows nothing of heartbeats or reconnection
//! times, as most do. The page shows an event stream as an `EventSource` dispatches it, beside its bytes as they come off
//! the wire, and has buttons that break things. Those buttons, and the page itself, are answered by [`Demo::control`],
//! which is asked before the proxy; everything else goes through the gateway to the upstream.

mod streams;
mod upstream;

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;

use streams::Pace;
use upstream::Upstream;

/// The demo's upstream and the buttons that act on it. Clones are handles of the same one, which ends with the last of them.
#[derive(Clone)]
pub(crate) struct Demo {
    inner: Arc<Inner>,
}

struct Inner {
    upstream: Upstream,
    drain: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl Demo {
    /// Starts the upstream on a free port of the loopback address.
    ///
    /// # Errors
    ///
    /// When no port can be bound.
    pub(crate) async fn start() -> io::Result<Self> {
        Self::with_pace(Pace::default()).await
    }

    async fn with_pace(pace: Pace) -> io::Result<Self> {
        Ok(Self {
            inner: Arc::new(Inner {
                upstream: Upstream::start(pace).await?,
                drain: OnceLock::new(),
            }),
        })
    }

    /// Where the upstream listens, also across a restart.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.inner.upstream.addr()
    }

    /// Says what the "Drain" button does. The first call counts.
    pub(crate) fn on_drain(&self, drain: impl Fn() + Send + Sync + 'static) {
        let _ = self.inner.drain.set(Box::new(drain));
    }

    /// Resets every connection of the upstream that carries an open event stream.
    pub(crate) fn cut(&self) {
        self.inner.upstream.cut();
    }

    /// Takes the upstream away, with all its connections, and brings it back on the same port about a second later.
    pub(crate) fn restart(&self) {
        self.inner.upstream.restart();
    }

    /// Answers the page and its buttons; `None` for what belongs to the proxy.
    pub(crate) fn control<B>(&self, request: &Request<B>) -> Option<Response<Full<Bytes>>> {
        let path = request.uri().path();
        let method = match path {
            "/" | "/demo/state" => Method::GET,
            "/demo/cut" | "/demo/restart" | "/demo/drain" => Method::POST,
            _ => return None,
        };
        // A HEAD is a GET to us: hyper leaves out the body.
        let asked = match *request.method() {
            Method::HEAD => &Method::GET,
            ref other => other,
        };
        if asked != method {
            let mut response = text(
                StatusCode::METHOD_NOT_ALLOWED,
                "the demo does not know this method here\n",
            );
            let allow = header::HeaderValue::from_static(if method == Method::GET {
                "GET, HEAD"
            } else {
                "POST"
            });
            response.headers_mut().insert(header::ALLOW, allow);
            return Some(response);
        }
        match path {
            "/" => return Some(page()),
            "/demo/cut" => self.cut(),
            "/demo/restart" => self.restart(),
            "/demo/drain" => match self.inner.drain.get() {
                Some(drain) => drain(),
                None => return Some(text(StatusCode::NOT_IMPLEMENTED, "nothing to drain here\n")),
            },
            _ => {}
        }
        Some(self.state())
    }

    fn state(&self) -> Response<Full<Bytes>> {
        let state = self.inner.upstream.state();
        let body = serde_json::json!({
            "upstream_up": state.up,
            "streams": state.streams,
            "restarts": state.restarts,
        });
        answer(StatusCode::OK, "application/json", body.to_string())
    }
}

fn page() -> Response<Full<Bytes>> {
    let mut response = answer(StatusCode::OK, "text/html; charset=utf-8", PAGE);
    response.headers_mut().insert(
        header::CONTENT_SECURITY_POLICY,
        header::HeaderValue::from_static(POLICY),
    );
    response
}

fn text(status: StatusCode, body: &'static str) -> Response<Full<Bytes>> {
    answer(status, "text/plain; charset=utf-8", body)
}

fn answer(
    status: StatusCode,
    media_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static(media_type),
    );
    headers.insert(
        header::CACHE_CONTROL,
        header::HeaderValue::from_static("no-store"),
    );
    response
}

/// One document, so that a saved copy and a machine without a network show the same.
const PAGE: &str = concat!(
    include_str!("page.html"),
    "<style>\n",
    include_str!("page.css"),
    "</style>\n<script>\n",
    include_str!("wire.js"),
    include_str!("page.js"),
    "</script>\n</html>\n"
);

/// Nothing from elsewhere can be loaded, and nothing can be sent elsewhere.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
                      connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use http_body_util::BodyExt;

    use super::*;

    async fn ask(demo: &Demo, method: Method, path: &str) -> Option<(StatusCode, String)> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .body(())
            .expect("a request");
        let response = demo.control(&request)?;
        let status = response.status();
        let body = response
            .into_body()
            .collect()
            .await
            .expect("a whole body")
            .to_bytes();
        Some((status, String::from_utf8_lossy(&body).into_owned()))
    }

    #[tokio::test]
    async fn what_is_not_the_demos_is_left_to_the_proxy() {
        let demo = Demo::start().await.expect("a free port");
        for path in [
            "/clock",
            "/notices",
            "/tokens",
            "/demo",
            "/demo/other",
            "/index.html",
        ] {
            assert_eq!(ask(&demo, Method::GET, path).await, None, "{path}");
        }
    }

    #[tokio::test]
    async fn the_page_needs_nothing_from_elsewhere() {
        let demo = Demo::start().await.expect("a free port");
        let request = Request::builder().uri("/").body(()).expect("a request");
        let response = demo.control(&request).expect("an answer");
        assert_eq!(
            response.headers()[header::CONTENT_TYPE],
            "text/html; charset=utf-8"
        );
        assert!(
            response
                .headers()
                .contains_key(header::CONTENT_SECURITY_POLICY)
        );
        let (_, page) = ask(&demo, Method::GET, "/").await.expect("an answer");
        for id in [
            "ready-state",
            "last-event-id",
            "events",
            "raw",
            "reconnects",
            "cut",
            "restart",
            "drain",
            "close",
            "reopen",
            "tab-clock",
            "tab-notices",
            "tab-tokens",
        ] {
            assert_eq!(page.matches(&format!("id=\"{id}\"")).count(), 1, "{id}");
        }
        for elsewhere in ["http://", "https://", "src=", "@import", "innerHTML"] {
            let found = page
                .replace("http://www.w3.org/2000/svg", "")
                .contains(elsewhere);
            assert!(!found, "{elsewhere}");
        }
    }

    #[tokio::test]
    async fn the_state_is_told_as_json() {
        let demo = Demo::start().await.expect("a free port");
        let told = ask(&demo, Method::GET, "/demo/state").await;
        let state = r#"{"restarts":0,"streams":0,"upstream_up":true}"#;
        assert_eq!(told, Some((StatusCode::OK, state.to_owned())));
    }

    #[tokio::test]
    async fn buttons_are_pressed_by_post_alone() {
        let demo = Demo::start().await.expect("a free port");
        for path in ["/demo/cut", "/demo/restart", "/demo/drain"] {
            let (status, _) = ask(&demo, Method::GET, path).await.expect("an answer");
            assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
        }
        let (status, _) = ask(&demo, Method::POST, "/").await.expect("an answer");
        assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    }

    #[tokio::test]
    async fn drain_does_what_the_gateway_said() {
        let demo = Demo::start().await.expect("a free port");
        let (status, _) = ask(&demo, Method::POST, "/demo/drain")
            .await
            .expect("an answer");
        assert_eq!(status, StatusCode::NOT_IMPLEMENTED);

        let drained = Arc::new(AtomicUsize::new(0));
        let count = drained.clone();
        demo.on_drain(move || {
            count.fetch_add(1, Ordering::Relaxed);
        });
        let (status, _) = ask(&demo, Method::POST, "/demo/drain")
            .await
            .expect("an answer");
        assert_eq!(
            (status, drained.load(Ordering::Relaxed)),
            (StatusCode::OK, 1)
        );
    }
}
