//! Pages of which origins may read a route.

use http::header::{HOST, ORIGIN};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, request};
use tower_http::cors::{AllowHeaders, AllowMethods, AllowOrigin, CorsLayer};

use crate::answer::Refusal;
use crate::config::Origins;
use crate::fields::tokens;

const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// What answers a browser that asks whether a page may read this, and tells it so with each answer.
pub(super) fn layer(origins: &Origins) -> CorsLayer {
    let layer = CorsLayer::new()
        .allow_methods(AllowMethods::mirror_request())
        .allow_headers(AllowHeaders::mirror_request())
        .max_age(MAX_AGE);
    match origins {
        // With credentials there is no such answer (Fetch, section 3.3.5).
        Origins::Any => layer.allow_origin(AllowOrigin::any()),
        Origins::These(origins) => layer
            .allow_origin(AllowOrigin::list(origins.iter().cloned()))
            .allow_credentials(true),
    }
}

/// A browser asks again after this long. Most keep an answer no longer than two hours.
const MAX_AGE: std::time::Duration = std::time::Duration::from_secs(2 * 60 * 60);

/// Refuses what a page of another origin has made its browser ask: the cookies that come with it are not the page's.
///
/// # Errors
///
/// When the request names an origin that is neither listed nor the gateway's own.
pub(super) fn check(parts: &request::Parts, origins: &Origins) -> Result<(), Refusal> {
    let Origins::These(origins) = origins else {
        return Ok(());
    };
    match parts.headers.get(ORIGIN) {
        Some(origin) if !origins.contains(origin) && !is_own(origin, &parts.headers) => {
            Err(FOREIGN)
        }
        _ => Ok(()),
    }
}

const FOREIGN: Refusal = Refusal::new(
    StatusCode::FORBIDDEN,
    "Pages of this origin may not ask for this.\n",
);

/// Refuses what a page of any other origin has made its browser ask.
///
/// # Errors
///
/// When the request says that there is such a page.
pub(super) fn check_own(parts: &request::Parts) -> Result<(), Refusal> {
    let headers = &parts.headers;
    let mut sites = headers.get_all(SEC_FETCH_SITE).iter().peekable();
    // It knows the host that it has asked, whatever an edge has made of that.
    let is_own = match sites.peek() {
        Some(_) => sites.all(|site| site == "same-origin" || site == "none"),
        None => {
            let mut origins = headers.get_all(ORIGIN).iter();
            origins.all(|origin| is_own(origin, headers))
        }
    };
    is_own.then_some(()).ok_or(FOREIGN)
}

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Whether the page came from the host that it asks. With which scheme it did so is not known behind an edge.
fn is_own(origin: &HeaderValue, headers: &HeaderMap) -> bool {
    let origin = Uri::try_from(origin.as_bytes()).ok();
    let Some(authority) = origin.as_ref().and_then(Uri::authority) else {
        return false;
    };
    // What an edge in front has made of it is there only where that edge is believed.
    let hosts = [HOST, X_FORWARDED_HOST];
    let mut hosts = hosts.iter().flat_map(|name| tokens(headers, name));
    hosts.any(|host| authority.as_str().as_bytes().eq_ignore_ascii_case(host))
}
