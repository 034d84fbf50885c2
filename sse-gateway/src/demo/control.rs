//! The page, its buttons, and what it is told of what goes on behind it.

use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;

use crate::admin::trust;
use crate::answer::answer;

use super::{Demo, page, query::parameter, seen::unix_millis};

impl Demo {
    /// Answers the page and its buttons; `None` for what belongs to the proxy.
    pub(super) fn control<B>(&self, request: &Request<B>) -> Option<Response<Full<Bytes>>> {
        let path = request.uri().path();
        let method = match path {
            "/" | "/demo/state" => Method::GET,
            "/demo/cut" | "/demo/drop" | "/demo/restart" | "/demo/drain" => Method::POST,
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
            let allow = match method == Method::GET {
                true => HeaderValue::from_static("GET, HEAD"),
                false => HeaderValue::from_static("POST"),
            };
            response.headers_mut().insert(header::ALLOW, allow);
            return Some(response);
        }
        if method == Method::POST {
            // A page of another site is not to press them.
            if let Err(refusal) = trust::check_page(request) {
                return Some(answer(refusal.status, TEXT, refusal.why));
            }
        }
        match path {
            "/" => return Some(self.page()),
            "/demo/cut" => {
                let client = parameter(request.uri().query(), "client").unwrap_or_default();
                if self.inner.cuts.cut(&client) == 0 {
                    let why = "no stream of this client is open\n";
                    return Some(text(StatusCode::NOT_FOUND, why));
                }
            }
            "/demo/drop" => self.inner.upstream.cut(),
            "/demo/restart" => self.inner.upstream.restart(),
            "/demo/drain" => match self.inner.buttons.get() {
                Some(buttons) => (buttons.drain)(),
                None => return Some(text(StatusCode::NOT_IMPLEMENTED, "nothing to drain here\n")),
            },
            _ => {}
        }
        Some(self.state())
    }

    fn page(&self) -> Response<Full<Bytes>> {
        let page = page::with_upstream(self.addr());
        let mut response = answer(StatusCode::OK, "text/html; charset=utf-8", page);
        response.headers_mut().insert(
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static(page::POLICY),
        );
        response
    }

    fn state(&self) -> Response<Full<Bytes>> {
        let upstream = self.inner.upstream.state();
        let buttons = self.inner.buttons.get();
        let streams = buttons.map_or_else(Vec::new, |buttons| (buttons.streams)());
        // A page counts events, and is not to see who else reads them.
        let streams = streams
            .iter()
            .map(|stream| [&stream["number"], &stream["events"]]);
        let body = serde_json::json!({
            // The page's clock may be another one.
            "now": unix_millis(SystemTime::now()),
            "upstream": {
                "up": upstream.up,
                "restarts": upstream.restarts,
                "requests": upstream.requests,
            },
            "relays": buttons.map_or_else(Vec::new, |buttons| (buttons.relays)()),
            "streams": streams.collect::<Vec<_>>(),
        });
        answer(StatusCode::OK, "application/json", body.to_string())
    }
}

fn text(status: StatusCode, body: &'static str) -> Response<Full<Bytes>> {
    answer(status, TEXT, body)
}

const TEXT: &str = "text/plain; charset=utf-8";

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use http_body_util::BodyExt;
    use serde_json::{Value, json};

    use super::super::Buttons;
    use super::*;

    async fn ask(demo: &Demo, method: Method, target: &str) -> Option<(StatusCode, String)> {
        let request = Request::builder()
            .method(method)
            .uri(target)
            .body(())
            .expect("a request");
        let response = demo.control(&request)?;
        let status = response.status();
        let body = response.into_body().collect().await;
        let body = body.expect("a whole body").to_bytes();
        Some((status, String::from_utf8_lossy(&body).into_owned()))
    }

    #[tokio::test]
    async fn what_is_not_the_demos_is_left_to_the_proxy() {
        let demo = Demo::start().await.expect("a free port");
        for path in [
            "/clock",
            "/news",
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
    async fn the_page_has_the_gateways_settings_with_the_upstream_that_is() {
        let demo = Demo::start().await.expect("a free port");
        let request = Request::builder().uri("/").body(()).expect("a request");
        let response = demo.control(&request).expect("an answer");
        let headers = response.headers();
        assert_eq!(headers[header::CONTENT_TYPE], "text/html; charset=utf-8");
        assert!(headers.contains_key(header::CONTENT_SECURITY_POLICY));
        let (_, page) = ask(&demo, Method::GET, "/").await.expect("an answer");
        let upstream = format!("\nupstream = \"http://{}\"\n", demo.addr());
        assert_eq!(page.matches(&upstream).count(), 1);
        assert!(page.contains("\nshare = \"path\"") && page.contains("\nresume = true"));
    }

    #[tokio::test]
    async fn the_state_is_told_as_json() {
        let demo = Demo::start().await.expect("a free port");
        demo.stands_before(Buttons {
            drain: Box::new(|| {}),
            relays: Box::new(|| vec![json!({ "clients": 2 })]),
            streams: Box::new(|| vec![json!({ "number": 7, "client": "10.0.0.1", "events": 3 })]),
        });
        let (status, told) = ask(&demo, Method::GET, "/demo/state")
            .await
            .expect("an answer");
        let mut told: Value = serde_json::from_str(&told).expect("JSON");
        assert!(told["now"].as_u64() > Some(1_600_000_000_000));
        told["now"] = 0.into();
        let upstream = json!({ "up": true, "restarts": 0, "requests": [] });
        let relays = json!([{ "clients": 2 }]);
        let state =
            json!({ "now": 0, "upstream": upstream, "relays": relays, "streams": [[7, 3]] });
        assert_eq!((status, told), (StatusCode::OK, state));
    }

    #[tokio::test]
    async fn buttons_are_pressed_by_post_alone() {
        let demo = Demo::start().await.expect("a free port");
        for button in ["cut?client=a", "drop", "restart", "drain"] {
            let path = format!("/demo/{button}");
            let (status, _) = ask(&demo, Method::GET, &path).await.expect("an answer");
            assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
        }
        let (status, _) = ask(&demo, Method::POST, "/").await.expect("an answer");
        assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    }

    #[tokio::test]
    async fn buttons_are_not_pressed_by_pages_of_other_sites() {
        let demo = Demo::start().await.expect("a free port");
        let press = |origin: &str| {
            let request = Request::post("/demo/drop")
                .header(header::HOST, "127.0.0.1:8080")
                .header(header::ORIGIN, origin)
                .body(())
                .expect("a request");
            demo.control(&request).expect("an answer").status()
        };
        assert_eq!(press("http://evil.example"), StatusCode::FORBIDDEN);
        assert_eq!(press("http://127.0.0.1:8080"), StatusCode::OK);
    }

    #[tokio::test]
    async fn a_client_that_has_no_stream_cannot_be_cut() {
        let demo = Demo::start().await.expect("a free port");
        let cut = || ask(&demo, Method::POST, "/demo/cut?client=a%20b");
        let status = |answer: Option<(StatusCode, String)>| answer.expect("an answer").0;
        assert_eq!(status(cut().await), StatusCode::NOT_FOUND);
        let _open = demo.inner.cuts.enter("a b".to_owned());
        assert_eq!(status(cut().await), StatusCode::OK);
    }

    #[tokio::test]
    async fn drain_does_what_the_gateway_said() {
        let demo = Demo::start().await.expect("a free port");
        let drain = || ask(&demo, Method::POST, "/demo/drain");
        let (status, _) = drain().await.expect("an answer");
        assert_eq!(status, StatusCode::NOT_IMPLEMENTED);

        let drained = Arc::new(AtomicUsize::new(0));
        let count = drained.clone();
        demo.stands_before(Buttons {
            drain: Box::new(move || {
                count.fetch_add(1, Ordering::Relaxed);
            }),
            relays: Box::new(Vec::new),
            streams: Box::new(Vec::new),
        });
        let (status, _) = drain().await.expect("an answer");
        let drained = drained.load(Ordering::Relaxed);
        assert_eq!((status, drained), (StatusCode::OK, 1));
    }
}
