//! Puts the parts together and runs them until the end.

use std::net::SocketAddr;
use std::process::ExitCode;

use tokio::runtime::Runtime;

use crate::admin::{self, recorder};
use crate::config::{Config, Error, FreePorts, Opening, Reread};
use crate::descriptors::{self, For};
use crate::listener::{self, Answers, Tcp, Terms};
use crate::listening::{self, Listening};
use crate::log::{self, Log};
use crate::otel::{self, Tracer};
use crate::reload::Reload;
use crate::renewal::Renewal;
use crate::shutdown::Shutdown;
use crate::stack::plan::{self, Plan};
use crate::stack::router::Router;
use crate::state::{State, store};
use crate::stop::{self, Signals};
use crate::supervisor;
use crate::workers::{self, Threads, Workers};

/// Serves until told to stop.
///
/// # Errors
///
/// When it cannot start: an address in use, an upstream that cannot be.
pub(crate) fn run(
    config: Config,
    opening: &Opening,
    reread: Option<Reread>,
) -> Result<ExitCode, Error> {
    runtime()?.block_on(async {
        let gateway = Gateway::build(config, opening, FreePorts::default(), reread).await?;
        let router = gateway.router.clone();
        Ok(gateway.serve(router).await)
    })
}

/// What answers the admin listener, and waits for signals. Clients have [`workers`].
///
/// # Errors
///
/// When the operating system gives no descriptors.
pub(crate) fn runtime() -> Result<Runtime, Error> {
    workers::runtime().map_err(|error| Error::at("runtime", error))
}

fn count_cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// A gateway that listens, and is yet to accept clients.
pub(crate) struct Gateway {
    pub(crate) listening: Vec<Listening>,
    /// That of the admin listener, if there is one.
    pub(crate) admin_address: Option<SocketAddr>,
    pub(crate) router: Router,
    pub(crate) state: State,
    workers: Workers,
    _threads: Threads,
    signals: Signals,
    reload: Reload,
    /// Writes what is left of the log when it goes.
    _log: Log,
}

impl Gateway {
    /// Builds all parts, and has the admin listener answer.
    ///
    /// # Errors
    ///
    /// When it cannot start: an address in use, an upstream that cannot be.
    pub(crate) async fn build(
        config: Config,
        opening: &Opening,
        free_ports: FreePorts,
        reread: Option<Reread>,
    ) -> Result<Self, Error> {
        let log = log::init(config.gateway.log_format, config.log_filter.clone())?;
        opening.log();
        let open_files = descriptors::raise_limit();
        let metrics = recorder::install()?;
        let (signals, renewal) = (Signals::listen()?, Renewal::listen()?);
        let threads = config.gateway.threads.unwrap_or_else(count_cores);
        let (workers, threads) =
            workers::start(threads).map_err(|error| Error::at("--threads", error))?;
        let store = store::connect(&config).await?;
        let tracer = Tracer::start(config.gateway.otel)?;
        let state = State::new(&config, store, tracer);
        let plan = Plan::new(&config, &state)?;

        state.relays.use_these(plan.relays.clone());
        let router = Router::new(plan, &config.gateway);
        let listening = listening::bind_all(&config, free_ports.listen, &router)?;
        let addresses: Vec<_> = listening.iter().map(|one| one.address.clone()).collect();
        plan::refuse_circles(&config, &addresses)?;
        let reload = Reload::new(
            reread,
            router.clone(),
            state.clone(),
            addresses,
            config.clone(),
        );
        let certificates = listening.iter().filter_map(|one| one.certificates.clone());
        tokio::spawn(renewal.run(certificates.collect(), reload.clone()));
        descriptors::divide(open_files)?;
        let mut admin_address = None;
        if let Some(admin_listen) = config.gateway.admin_listen {
            let gone_after = config.gateway.client_gone_timeout;
            let bind = match free_ports.admin_listen {
                true => Tcp::bind_or_free,
                false => Tcp::bind,
            };
            let (listener, address) = bind(admin_listen, gone_after, "--admin-listen")?;
            let terms = Terms::new(For::Admin, gone_after);
            admin_address = Some(address);
            let admin = admin::router(
                metrics,
                &state,
                reload.clone(),
                workers.clone(),
                &config.gateway,
            );
            let server = listener::start(
                terms,
                listener,
                move || admin.clone(),
                Workers::here(),
                Shutdown::new(),
            );
            // It answers until the process ends, so that the drain can be watched.
            tokio::spawn(server.await);
        }
        Ok(Gateway {
            listening,
            admin_address,
            router,
            state,
            workers,
            _threads: threads,
            signals,
            reload,
            _log: log,
        })
    }

    /// Has clients served by this service until told to stop.
    pub(crate) async fn serve(self, service: impl Answers + Sync) -> ExitCode {
        let State {
            shutdown,
            drain,
            relays,
            tracer,
            ..
        } = self.state;
        let urls: Vec<_> = self.listening.iter().map(Listening::url).collect();
        let mut servers = Vec::new();
        for listening in self.listening {
            let (workers, shutdown) = (self.workers.clone(), shutdown.clone());
            servers.push(listening.start(service.clone(), workers, shutdown).await);
        }
        let its_relays = relays.clone();
        let server = tokio::spawn(async move {
            for server in servers {
                server.await;
            }
            its_relays.finish_answers().await;
        });
        if let Some(address) = self.admin_address {
            tracing::info!("admin on http://{address}");
        }
        for url in &urls {
            tracing::info!("listening on {url}");
        }
        supervisor::ready(&format!("listening on {}", urls.join(", ")));
        let code = stop::when_told(self.signals, shutdown, drain, &self.reload, server).await;
        relays.leave().await;
        if let Some(tracer) = tracer {
            supervisor::still_stopping("exporting the last spans", otel::LAST_SPANS * 2);
            tracer.finish().await;
        }
        code
    }
}
