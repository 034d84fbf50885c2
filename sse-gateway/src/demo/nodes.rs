//! Two more gateways, which share streams by a store, behind a balancer that knows nothing of streams; and their end.
//!
//! Each is a gateway of its own: a thread, connections and an instance that the others know. One that is killed says goodbye to
//! nobody, neither to clients nor to the store.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};

use super::cut::Cuts;
use super::{Demo, settings_of_nodes};
use crate::config::{Config, Error};
use crate::descriptors::For;
use crate::listener::{self, Tcp, Terms};
use crate::stack::plan::Plan;
use crate::stack::router::Router;
use crate::state::relays::Relays;
use crate::state::{State, store};
use crate::workers::{self, Workers};

/// Two gateways and the balancer before them. Clones are one and the same.
#[derive(Clone)]
pub(crate) struct Nodes {
    inner: Arc<Inner>,
}

struct Inner {
    config: Config,
    nodes: Mutex<[Option<Node>; 2]>,
    turn: AtomicUsize,
    /// Where the balancer listens.
    port: u16,
}

/// A gateway that runs until this is dropped.
struct Node {
    address: SocketAddr,
    relays: Relays,
    cuts: Cuts,
    _alive: oneshot::Sender<()>,
}

impl Nodes {
    /// Starts both, and the balancer.
    ///
    /// # Errors
    ///
    /// When there is no store that can be used, or no port.
    pub(super) async fn start(config: Config, demo: &Demo) -> Result<Self, Error> {
        let balancer = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let balancer = balancer.map_err(|error| Error::at("demo", error))?;
        let address = balancer.local_addr();
        let address = address.map_err(|error| Error::at("demo", error))?;
        let nodes = Nodes {
            inner: Arc::new(Inner {
                config,
                nodes: Mutex::default(),
                turn: AtomicUsize::new(0),
                port: address.port(),
            }),
        };
        settings_of_nodes::check_store(&nodes.inner.config.gateway).await?;
        for number in 0..2 {
            nodes.begin(number, demo).await?;
        }
        tokio::spawn(balance(balancer, nodes.clone()));
        Ok(nodes)
    }

    pub(super) fn port(&self) -> u16 {
        self.inner.port
    }

    /// Starts one, unless it runs.
    ///
    /// # Errors
    ///
    /// When there is no such one, or no store that can be used.
    pub(super) async fn begin(&self, number: usize, demo: &Demo) -> Result<(), Error> {
        if self.lock().get(number).is_none_or(Option::is_some) {
            return Ok(());
        }
        let (started, begun) = oneshot::channel();
        let (config, demo) = (self.inner.config.clone(), demo.clone());
        thread::spawn(move || run(&config, demo, started));
        let node = begun.await.unwrap_or_else(|_| {
            let why = "the gateway has ended at its start";
            Err(Error::at("demo", why))
        })?;
        if let Some(place) = self.lock().get_mut(number) {
            *place = Some(node);
        }
        Ok(())
    }

    /// Ends one in the middle of whatever it does. Whether it ran.
    pub(super) fn kill(&self, number: usize) -> bool {
        let node = self.lock().get_mut(number).and_then(Option::take);
        node.is_some()
    }

    /// Cuts what this client has open, and says how much that was.
    pub(super) fn cut(&self, client: &str) -> usize {
        let nodes = self.lock();
        let cut = nodes.iter().flatten().map(|node| node.cuts.cut(client));
        cut.sum()
    }

    pub(super) fn to_json(&self) -> Value {
        let nodes = self.lock();
        let told = nodes.iter().map(|node| match node {
            None => json!({ "up": false, "owns": false, "clients": [] }),
            Some(node) => {
                let instance = node.relays.instance();
                let is_owner = |relay: &Value| relay["owner"].as_str() == instance.as_deref();
                json!({
                    "up": true,
                    "instance": instance,
                    "owns": node.relays.to_json().iter().any(is_owner),
                    "clients": node.cuts.clients(),
                })
            }
        });
        json!({ "port": self.inner.port, "nodes": told.collect::<Vec<_>>() })
    }

    /// Those that run, each time with another one first.
    fn in_turn(&self) -> Vec<SocketAddr> {
        let turn = self.inner.turn.fetch_add(1, Ordering::Relaxed);
        let nodes = self.lock();
        let mut all: Vec<_> = nodes.iter().flatten().map(|node| node.address).collect();
        let first = turn % all.len().max(1);
        all.rotate_left(first);
        all
    }

    fn lock(&self) -> MutexGuard<'_, [Option<Node>; 2]> {
        let nodes = self.inner.nodes.lock();
        nodes.unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread of a gateway.
fn run(config: &Config, demo: Demo, started: oneshot::Sender<Result<Node, Error>>) {
    let runtime = match workers::runtime() {
        Ok(runtime) => runtime,
        Err(error) => return drop(started.send(Err(Error::at("demo", error)))),
    };
    let (alive, killed) = oneshot::channel();
    runtime.block_on(async {
        let node = serve(config, demo, alive).await;
        let runs = node.is_ok();
        if started.send(node).is_ok() && runs {
            let _ = killed.await;
        }
    });
    runtime.shutdown_timeout(Duration::ZERO);
}

async fn serve(config: &Config, demo: Demo, alive: oneshot::Sender<()>) -> Result<Node, Error> {
    let state = State::new(config, store::connect(config).await?, None);
    let plan = Plan::new(config, &state)?;
    state.relays.use_these(plan.relays.clone());
    let gone_after = config.gateway.client_gone_timeout;
    let terms = Terms::new(For::Clients, gone_after);
    let (listener, address) = Tcp::bind((Ipv4Addr::LOCALHOST, 0).into(), gone_after, "demo")?;
    let cuts = Cuts::default();
    let service = demo.around_with(cuts.clone(), Router::new(plan, &config.gateway));
    let make = move || service.clone();
    let workers = Workers::here();
    let server = listener::start(terms, listener, make, workers, state.shutdown).await;
    tokio::spawn(server);
    Ok(Node {
        address,
        relays: state.relays,
        cuts,
        _alive: alive,
    })
}

/// Gives each connection to a gateway that takes it.
async fn balance(listener: TcpListener, nodes: Nodes) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    while let Ok(permit) = room.clone().acquire_owned().await {
        let Ok((mut client, _)) = listener.accept().await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let nodes = nodes.clone();
        tokio::spawn(async move {
            for address in nodes.in_turn() {
                if let Ok(mut node) = TcpStream::connect(address).await {
                    let _ = copy_bidirectional(&mut client, &mut node).await;
                    break;
                }
            }
            drop(permit);
        });
    }
}

const MAX_CONNECTIONS: usize = 256;
/// Behind an error, as when no descriptors are left.
const PAUSE: Duration = Duration::from_millis(200);
