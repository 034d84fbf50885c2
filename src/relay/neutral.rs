//! Request fields that say nothing of what a client is to be given.
//!
//! A neutral field is not part of a default key, and is not sent upstream in a request that is made for all. The list is
//! short on purpose: a field that is not on it counts. What names a person, as `cf-access-jwt-assertion`,
//! `x-amzn-oidc-data` and `x-ms-client-principal` do, is never on it.

use http::{HeaderMap, HeaderName, header};

/// What the client's program and its caches say of themselves.
const CLIENT: &[&str] = &[
    "accept",
    "accept-charset",
    "accept-encoding",
    "cache-control",
    "device-memory",
    "dnt",
    "downlink",
    "dpr",
    "ect",
    "if-modified-since",
    "if-none-match",
    "last-event-id",
    "pragma",
    "priority",
    "purpose",
    "referer",
    "rtt",
    "save-data",
    "sec-gpc",
    "sec-purpose",
    "upgrade-insecure-requests",
    "user-agent",
    "viewport-width",
    "width",
];

/// Ids of requests and traces, each another.
const TRACE: &[&str] = &[
    "b3",
    "baggage",
    "correlation-id",
    "elastic-apm-traceparent",
    "newrelic",
    "request-id",
    "sentry-trace",
    "traceparent",
    "tracestate",
    "uber-trace-id",
    "x-client-trace-id",
    "x-cloud-trace-context",
    "x-correlation-id",
    "x-ot-span-context",
    "x-queue-start",
    "x-request-id",
    "x-request-start",
    "x-trace-id",
];

/// The way that a request came, and from which address.
const HOPS: &[&str] = &[
    "cdn-loop",
    "client-ip",
    "forwarded",
    "max-forwards",
    "true-client-ip",
    "via",
    "x-client-ip",
    "x-client-port",
    "x-cluster-client-ip",
    "x-envoy-attempt-count",
    "x-envoy-expected-rq-timeout-ms",
    "x-envoy-external-address",
    "x-forwarded-for",
    "x-forwarded-port",
    "x-forwarded-server",
    "x-original-forwarded-for",
    "x-real-ip",
];

const CLOUDFLARE: &[&str] = &[
    "cf-connecting-ip",
    "cf-connecting-ipv6",
    "cf-ew-via",
    "cf-ipcity",
    "cf-ipcontinent",
    "cf-ipcountry",
    "cf-iplatitude",
    "cf-iplongitude",
    "cf-metro-code",
    "cf-postal-code",
    "cf-pseudo-ipv4",
    "cf-ray",
    "cf-region",
    "cf-region-code",
    "cf-request-id",
    "cf-timezone",
    "cf-visitor",
    "cf-warp-tag-id",
    "cf-worker",
];

const CLOUDFRONT: &[&str] = &["x-amz-cf-id"];

const FASTLY: &[&str] = &[
    "fastly-client",
    "fastly-client-ip",
    "fastly-ff",
    "fastly-ssl",
    "fastly-temp-xff",
    "x-timer",
    "x-varnish",
];

const ALB: &[&str] = &[
    "x-amzn-tls-cipher-suite",
    "x-amzn-tls-version",
    "x-amzn-trace-id",
];

const AZURE: &[&str] = &[
    "disguised-host",
    "was-default-hostname",
    "x-appgw-trace-id",
    "x-arr-log-id",
    "x-arr-ssl",
    "x-azure-clientip",
    "x-azure-fdid",
    "x-azure-ja4-fingerprint",
    "x-azure-ref",
    "x-azure-requestchain",
    "x-azure-socketip",
    "x-fd-healthprobe",
    "x-ms-request-id",
    "x-site-deployment-id",
    "x-waws-unencoded-url",
];

const OTHERS: &[&str] = &[
    "akamai-origin-hop",
    "do-connecting-ip",
    "fly-client-ip",
    "fly-forwarded-port",
    "fly-region",
    "fly-request-id",
    "x-akamai-edgescape",
    "x-nf-client-connection-ip",
    "x-nf-request-id",
    "x-vercel-forwarded-for",
    "x-vercel-id",
];

/// `cloudfront-` tells of the viewer's address, country, device and TLS, and of nothing else.
const PREFIXES: &[&str] = &[
    "cloudfront-",
    "sec-ch-",
    "sec-fetch-",
    "x-b3-",
    "x-datadog-",
];

const GROUPS: [&[&str]; 9] = [
    CLIENT, TRACE, HOPS, CLOUDFLARE, CLOUDFRONT, FASTLY, ALB, AZURE, OTHERS,
];

pub(super) fn is_neutral(name: &HeaderName) -> bool {
    let name = name.as_str();
    PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        || GROUPS
            .iter()
            .any(|group| group.binary_search(&name).is_ok())
}

/// Whether it tells of the client's address or way: then an answer that depends on it is for nobody else.
pub(super) fn is_of_the_way(name: &HeaderName) -> bool {
    let name = name.as_str();
    name.starts_with("cloudfront-")
        || [HOPS, CLOUDFLARE, CLOUDFRONT, FASTLY, ALB, AZURE, OTHERS]
            .iter()
            .any(|group| group.binary_search(&name).is_ok())
}

/// Fields that belong to one connection, or frame its message, and so are not the request's (RFC 9110 section 7.6.1).
pub(super) fn of_the_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    let mut names = vec![
        header::CONNECTION,
        HeaderName::from_static("keep-alive"),
        HeaderName::from_static("proxy-connection"),
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
        header::CONTENT_LENGTH,
        header::EXPECT,
    ];
    for value in headers.get_all(header::CONNECTION) {
        let named = value.as_bytes().split(|byte| *byte == b',');
        names.extend(named.filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok()));
    }
    // Without it a message means something else; no honest sender names it.
    names.retain(|name| *name != header::HOST);
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_can_be_searched() {
        for group in GROUPS {
            assert!(group.is_sorted(), "{group:?}");
        }
    }

    #[test]
    fn what_names_a_person_counts() {
        for name in [
            "authorization",
            "cookie",
            "proxy-authorization",
            "x-api-key",
            "x-auth-token",
            "x-forwarded-user",
            "x-forwarded-email",
            "x-forwarded-client-cert",
            "mcp-session-id",
            "accept-language",
            "origin",
            "cf-access-jwt-assertion",
            "cf-access-authenticated-user-email",
            "x-amzn-oidc-data",
            "x-amzn-oidc-identity",
            "x-amzn-mtls-clientcert",
            "x-ms-client-principal",
            "x-forwarded-host",
            "x-forwarded-proto",
            "x-original-url",
            "x-tenant",
            "idempotency-key",
            "range",
        ] {
            assert!(!is_neutral(&HeaderName::from_static(name)), "{name}");
        }
        for name in [
            "user-agent",
            "sec-fetch-site",
            "cf-ray",
            "cloudfront-viewer-country",
        ] {
            assert!(is_neutral(&HeaderName::from_static(name)), "{name}");
        }
    }
}
