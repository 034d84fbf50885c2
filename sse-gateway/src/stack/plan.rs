//! What the settings make of requests: which route takes one, and what is on it.

use std::sync::Arc;

use http::HeaderName;
use tower_sse::stage::Drain;

use crate::config::trusted_proxies::TrustedProxies;
use crate::config::{Config, Error, ListenAddress, Matcher, NoAnswer, Route};
use crate::otel::RouteName;
use crate::policy::limits::Limits;
use crate::policy::path::Spellings;
use crate::policy::rate::Requests as ClientRates;
use crate::proxy::circle;
use crate::proxy::forward::Proxy;
use crate::proxy::upstream_side::UpstreamSide;
use crate::stack::requests::{NO_ROUTE, Requests};
use crate::stack::{self, Stack};
use crate::state::State;
use crate::state::relays::Made;

/// All that comes of the settings and may be changed with them.
pub(crate) struct Plan {
    /// In order; the first that matches wins.
    pub(crate) routes: Vec<(Route, Stack, Requests)>,
    /// Those that no route takes.
    pub(crate) other_requests: Requests,
    /// What no spelling of a request is to get around.
    pub(crate) spellings: Spellings,
    pub(crate) trusted: TrustedProxies,
    /// The connections that clients have opened, where these are counted.
    pub(crate) connections: Option<ClientRates>,
    /// What relays the streams of the routes. Once the plan is in use.
    pub(crate) relays: Vec<Made>,
}

impl Plan {
    /// Builds the routes around what stays.
    ///
    /// # Errors
    ///
    /// When an upstream or a name of an event cannot be one.
    pub(crate) fn new(config: &Config, state: &State) -> Result<Self, Error> {
        let mut relays = Vec::new();
        let is_logged = config.gateway.access_log;
        let routes = config.routes.iter().chain(&config.fallback);
        let routes = routes.map(|route| {
            let made = state.relays.layer(route);
            let stack = stack(route, made.as_ref(), config, state)?;
            relays.extend(made);
            let requests = Requests::of(name_of(route), is_logged, state.tracer.clone());
            Ok((route.clone(), stack, requests))
        });
        let no_route = RouteName {
            name: NO_ROUTE.into(),
            path: None,
        };
        Ok(Plan {
            routes: routes.collect::<Result<_, Error>>()?,
            spellings: Spellings::of(config.routes.iter().chain(&config.fallback)),
            other_requests: Requests::of(no_route, is_logged, state.tracer.clone()),
            trusted: config.gateway.trusted_proxy.clone(),
            connections: config
                .gateway
                .max_connection_rate_per_client
                .map(|rate| state.counts.connections(rate)),
            relays,
        })
    }
}

fn name_of(route: &Route) -> RouteName {
    let path = match &route.matcher {
        Matcher::Any => None,
        matcher => Some(matcher.to_string().into()),
    };
    RouteName {
        name: route.name.as_str().into(),
        path,
    }
}

fn stack(
    route: &Route,
    relay: Option<&Made>,
    config: &Config,
    state: &State,
) -> Result<Stack, Error> {
    let upstreams = state.upstreams(&route.settings)?;
    let retry_statuses = match route.settings.no_answer {
        NoAnswer::Answer => Vec::new(),
        NoAnswer::Close | NoAnswer::Hold => route.settings.retry_statuses.clone(),
    };
    let shutdown = state.shutdown.clone();
    let proxy = Proxy::new(
        upstreams,
        route.settings.head_timeout,
        retry_statuses,
        shutdown,
    );
    let upstream = UpstreamSide::new(proxy, name_of(route), route.id_tag(), state.tracer.clone());
    let drain = Drain::on(&state.drain)
        .with_window(config.gateway.drain_window)
        .with_deadline(config.gateway.drain_deadline);
    stack::build(
        route,
        upstream,
        relay.map(|made| made.layer.clone()),
        drain,
        &state.streams,
        limits(route, config, state),
        own_fields(route, config),
    )
}

/// What the upstream is told in these is not the client's to say.
fn own_fields(route: &Route, config: &Config) -> Arc<[HeaderName]> {
    let of_certificate = config.gateway.tls_client_fields.iter();
    let of_token = route.settings.jwt_fields.iter();
    let of_service = route.settings.forward_auth_fields.iter();
    of_certificate
        .map(|(field, _)| field)
        .chain(of_token.map(|(field, _)| field))
        .chain(of_service)
        .cloned()
        .collect()
}

fn limits(route: &Route, config: &Config, state: &State) -> Limits {
    Limits {
        all: config.gateway.max_streams,
        route: route.settings.max_streams_per_route,
        client: config.gateway.max_streams_per_client,
        field: route.settings.max_streams_per_field.clone(),
        counts: state.counts.clone(),
        requests: config
            .gateway
            .max_rate_per_client
            .map(|rate| state.counts.requests(rate)),
        of_route: state.counts.of_route(&route.name),
    }
}

/// A request to an upstream that is the gateway itself would come back until there are no descriptors left.
///
/// # Errors
///
/// When there is such an upstream.
pub(crate) fn refuse_circles(config: &Config, listen: &[ListenAddress]) -> Result<(), Error> {
    for route in config.routes.iter().chain(&config.fallback) {
        let (settings, name) = (&route.settings, &route.name);
        let auth = settings.forward_auth_url.as_ref();
        let auth = auth.map(|url| ("forward_auth.url", &url.server));
        let upstreams = settings.upstream.iter();
        let upstreams = upstreams.map(|upstream| ("upstream", upstream));
        for (key, upstream) in upstreams.chain(auth) {
            let mut listen = listen.iter();
            let Some(listen) = listen.find(|listen| circle::leads_to(upstream, listen)) else {
                continue;
            };
            return Err(Error::at(
                key,
                format_args!(
                    "{upstream} of route {name:?} is the gateway itself, which listens on {listen}; use the \
                     application's address"
                ),
            ));
        }
    }
    Ok(())
}
