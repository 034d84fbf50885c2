//! The proxies, and how each is started.

use std::path::PathBuf;

use crate::{
    Error, haproxy,
    parts::{
        nginx::{self, Nginx},
        server::Server,
        target,
    },
};

/// What the load connects to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// The upstream itself: what the two ends of the bench and the kernel add to each latency.
    Direct,
    Plain,
    Nginx,
    Haproxy,
    Gateway,
    /// Another program of the gateway.
    Other {
        name: String,
        program: PathBuf,
    },
}

impl Target {
    /// Whether it is a program of the gateway.
    pub(crate) fn is_gateway(&self) -> bool {
        matches!(self, Self::Gateway | Self::Other { .. })
    }
}

impl target::Target for Target {
    const ALL: &'static [Self] = &[
        Self::Direct,
        Self::Plain,
        Self::Nginx,
        Self::Haproxy,
        Self::Gateway,
    ];

    fn name(&self) -> &str {
        match self {
            Self::Direct => "direct",
            Self::Plain => "plain",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Gateway => "gateway",
            Self::Other { name, .. } => name,
        }
    }

    fn title(&self) -> String {
        match self {
            Self::Direct => "no proxy".into(),
            Self::Plain => "plain hyper".into(),
            Self::Nginx => nginx::version()
                .map_or_else(|_| "nginx".into(), |version| format!("nginx {version}")),
            Self::Haproxy => haproxy::version()
                .map_or_else(|_| "HAProxy".into(), |version| format!("HAProxy {version}")),
            Self::Gateway => "**sse-gateway**, all stages".into(),
            Self::Other { name, .. } => format!("sse-gateway, {name}"),
        }
    }
}

/// Starts a proxy before the upstream at this address, and waits until it can be connected to. `None` where there is no
/// proxy.
///
/// # Errors
///
/// When it does not start.
pub(crate) fn start(target: &Target, upstream: &str) -> Result<Option<Server>, Error> {
    match target {
        Target::Direct => return Ok(None),
        Target::Plain => Server::part("plain-proxy", &[upstream]),
        Target::Nginx => start_nginx(upstream),
        Target::Haproxy => haproxy::start(upstream),
        Target::Gateway | Target::Other { .. } => start_gateway(target, upstream, &[]),
    }
    .map(Some)
}

/// The same for one that [is a gateway](Target::is_gateway), with flags.
///
/// # Errors
///
/// When it does not start.
pub(crate) fn start_gateway(
    target: &Target,
    upstream: &str,
    flags: &[&str],
) -> Result<Server, Error> {
    match target {
        Target::Other { program, .. } => Server::gateway_of(program, upstream, flags),
        _ => Server::gateway(upstream, flags),
    }
}

fn start_nginx(upstream: &str) -> Result<Server, Error> {
    Nginx {
        workers: nginx::workers(),
        module: None,
        http: &format!(
            "
    upstream streams {{
        server {upstream};
        keepalive 64;
    }}"
        ),
        server: "
        location / {
            proxy_pass http://streams;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_set_header Host $http_host;
            proxy_buffering off;
            proxy_read_timeout 1h;
        }",
    }
    .start()
}
