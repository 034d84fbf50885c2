//! Puts the parts together and runs them until the end.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::net::SocketAddr;
use std::process::ExitCode;

use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use tower_service::Service;
use tower_sse::stage::DrainHandle;

use crate::admin::Admin;
use crate::admin::recorder;
use crate::admin::relays::Relays;
use crate::admin::streams::Streams;
use crate::config::upstream::Upstream;
use crate::config::{Config, Error, NoAnswer, Opening, Route};
use crate::descriptors;
use crate::descriptors::For;
use crate::listener::{self, Tcp};
use crate::log::{self, Log};
use crate::proxy::circle;
use crate::proxy::forward::Proxy;
use crate::proxy::upstream::{Timeouts, UpstreamClient};
use crate::proxy::upstream_side::UpstreamSide;
use crate::shutdown::Shutdown;
use crate::stack;
use crate::stack::router::Router;
use crate::stop::{self, Signals};

type BoxError = Box<dyn StdError + Send + Sync>;

/// Serves until told to stop.
///
/// # Errors
///
/// When it cannot start: an address in use, an upstream that cannot be.
pub(crate) fn run(config: Config, opening: &Opening) -> Result<ExitCode, Error> {
    runtime()?.block_on(async {
        let gateway = Gateway::start(config, opening)?;
        let router = gateway.router.clone();
        Ok(gateway.serve(router).await)
    })
}

/// What the gateway runs on.
///
/// # Errors
///
/// When the operating system gives no threads.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Error> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::at("runtime", error))
}

/// A gateway that listens, and is yet to accept clients.
pub(crate) struct Gateway {
    pub(crate) address: SocketAddr,
    pub(crate) router: Router,
    pub(crate) drain: DrainHandle,
    #[cfg(feature = "demo")]
    pub(crate) relays: Relays,
    config: Config,
    listener: Tcp,
    signals: Signals,
    shutdown: Shutdown,
    /// Writes what is left of the log when it goes.
    _log: Log,
}

impl Gateway {
    /// Builds all parts, and has the admin listener answer.
    ///
    /// # Errors
    ///
    /// When it cannot start: an address in use, an upstream that cannot be.
    pub(crate) fn start(config: Config, opening: &Opening) -> Result<Self, Error> {
        let log = log::init(config.log_format, config.log_filter.clone())?;
        opening.log();
        let open_files = descriptors::raise_limit();
        let metrics = recorder::install()?;
        let signals = Signals::listen()?;
        let shutdown = Shutdown::new();
        let drain = DrainHandle::new();
        let streams = Streams::default();
        let mut relays = Relays::new(config.history_budget, config.secret.clone());
        let routes = routes(&config, &shutdown, &drain, &streams, &mut relays)?;

        let (listener, address) = Tcp::bind(config.listen, "--listen")?;
        refuse_circles(&config, address)?;
        descriptors::divide(open_files)?;
        if let Some(admin_listen) = config.admin_listen {
            let (listener, address) = Tcp::bind(admin_listen, "--admin-listen")?;
            let admin = Admin::new(
                metrics,
                streams,
                relays.clone(),
                drain.clone(),
                shutdown.clone(),
                &config.admin_hosts,
            );
            tracing::info!("admin on http://{address}");
            // It answers until the process ends, so that the drain can be watched.
            tokio::spawn(listener::run(
                For::Admin,
                listener,
                move || admin.clone(),
                Shutdown::new(),
            ));
        }
        let router = Router::new(routes, config.trusted_proxy.clone());
        Ok(Gateway {
            address,
            router,
            drain,
            #[cfg(feature = "demo")]
            relays,
            config,
            listener,
            signals,
            shutdown,
            _log: log,
        })
    }

    /// Has clients served by this service until told to stop.
    pub(crate) async fn serve<S, B>(self, service: S) -> ExitCode
    where
        S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
        S::Error: Into<BoxError>,
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        tracing::info!("listening on http://{}", self.address);
        let server = tokio::spawn(listener::run(
            For::Clients,
            self.listener,
            move || service.clone(),
            self.shutdown.clone(),
        ));
        stop::when_told(
            self.signals,
            self.shutdown,
            self.drain,
            &self.config,
            server,
        )
        .await
    }
}

/// The stack of each route. Routes with the same upstream share its connections.
fn routes(
    config: &Config,
    shutdown: &Shutdown,
    drain: &DrainHandle,
    streams: &Streams,
    relays: &mut Relays,
) -> Result<Vec<(Route, stack::Stack)>, Error> {
    let timeouts = Timeouts {
        connect: config.connect_timeout,
    };
    let mut clients: HashMap<&str, UpstreamClient> = HashMap::new();
    let mut routes = Vec::new();
    for route in config.routes.iter().chain(&config.fallback) {
        let client = match clients.get(route.upstream.as_str()) {
            Some(client) => client.clone(),
            None => {
                let client = Upstream::parse(&route.upstream)
                    .and_then(|upstream| UpstreamClient::new(upstream, timeouts))
                    .map_err(|error| Error::at("upstream", error))?;
                clients.insert(&route.upstream, client.clone());
                client
            }
        };
        let retry_statuses = match route.stream.no_answer {
            NoAnswer::Answer => Vec::new(),
            NoAnswer::Close | NoAnswer::Hold => route.stream.retry_statuses.clone(),
        };
        let proxy = Proxy::new(client, route.head_timeout, retry_statuses, shutdown.clone());
        let upstream = UpstreamSide::new(proxy, &route.name, route.id_tag());
        let relay = relays.layer(route);
        let drain = stack::drain(drain, config);
        let stack = stack::build(route, upstream, relay, drain, streams)?;
        routes.push((route.clone(), stack));
    }
    Ok(routes)
}

/// A request to an upstream that is the gateway itself would come back until there are no descriptors left.
fn refuse_circles(config: &Config, listen: SocketAddr) -> Result<(), Error> {
    for route in config.routes.iter().chain(&config.fallback) {
        let upstream = Upstream::parse(&route.upstream);
        if upstream.is_ok_and(|upstream| circle::leads_to(&upstream, listen)) {
            let (upstream, name) = (&route.upstream, &route.name);
            return Err(Error::at(
                "upstream",
                format_args!(
                    "{upstream} of route {name:?} is the gateway itself, which listens on {listen}; use the \
                     application's address"
                ),
            ));
        }
    }
    Ok(())
}
