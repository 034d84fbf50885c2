//! Accepts connections, as far as there are descriptors.

use std::convert::Infallible;
use std::fmt::Display;
use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use metrics::counter;
use tokio::sync::{Mutex as AsyncMutex, mpsc};

use super::connected::Connected;
use super::connection::Serving;
use super::silent::{self, Silent};
use super::unless::unless;
use super::{Answers, Connection, Listener};
use crate::descriptors::{Descriptor, For};
use crate::log::limiter::{self, Limiter};
use crate::shutdown::{Phase, Shutdown};
use crate::workers::{Here, Workers};

pub(crate) const ACCEPT_PAUSES: &str = "sse_accept_pauses_total";
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// What holds for all connections of a listener.
#[derive(Clone)]
pub(crate) struct Terms {
    pub(crate) whose: For,
    /// How long the other end may give no sign of life when it is asked for one.
    pub(crate) gone_after: Duration,
    /// Whether one from here may be opened. Not asked where a balancer says later who it is from.
    pub(crate) admits: Option<Admits>,
}

pub(crate) type Admits = Arc<dyn Fn(IpAddr) -> bool + Send + Sync>;

impl Terms {
    pub(crate) fn new(whose: For, gone_after: Duration) -> Self {
        Terms {
            whose,
            gone_after,
            admits: None,
        }
    }
}

/// Begins to serve connections until `shutdown` begins. What it gives resolves when the last of them is gone.
///
/// Where no descriptors are left for those that it is for, connections wait in its queue. `make` gives the service of a
/// new connection, and one of the workers serves it.
pub(crate) async fn start<L, F, S>(
    terms: Terms,
    listener: L,
    make: F,
    workers: Workers,
    shutdown: Shutdown,
) -> impl Future<Output = ()> + Send + 'static
where
    L: Listener,
    F: Fn() -> S + Send + Sync + 'static,
    S: Answers,
{
    let accepting = Arc::new(Accepting {
        terms,
        listener,
        make,
        shutdown: shutdown.clone(),
        turn: AsyncMutex::default(),
        pauses: Pauses::default(),
    });
    let (begins, mut all_watch) = mpsc::channel(1);
    let all = workers.on_some(ACCEPTORS, |here| {
        accepting.clone().accept(here, begins.clone())
    });
    drop((accepting, begins));
    all_watch.recv().await;
    async move {
        for one in all {
            // One that has panicked is over as well.
            let _ = one.await;
        }
        shutdown.idle().await;
    }
}

/// Dropped by each that has begun to look for connections.
type Begins = mpsc::Sender<Infallible>;

/// Workers that accept: what one accepts it serves itself, as a rule, without waking another thread. There is a second, so that
/// clients do not wait for one that is kept from running; and no third, since all of them are woken for each connection.
const ACCEPTORS: usize = 2;

struct Accepting<L, F> {
    terms: Terms,
    listener: L,
    make: F,
    shutdown: Shutdown,
    /// Held by who accepts, until there is room: one connection at most waits in here for that.
    turn: AsyncMutex<()>,
    pauses: Pauses,
}

impl<L, F, S> Accepting<L, F>
where
    L: Listener,
    F: Fn() -> S + Send + Sync + 'static,
    S: Answers,
{
    /// Until the shutdown begins.
    async fn accept(self: Arc<Self>, here: Here, begins: Begins) {
        let ends = pin!(self.shutdown.reached(Phase::Graceful));
        if let Ok(error) = unless(pin!(self.accept_all(&here, begins)), ends).await {
            tracing::warn!(%error, "a thread accepts no connections any more");
        }
    }

    /// Gives the reason why there are no more.
    async fn accept_all(&self, here: &Here, begins: Begins) -> io::Error {
        let _descriptor = Descriptor::new();
        let watch = loop {
            match self.listener.watch() {
                Ok(watch) => break watch,
                Err(error) => self.pause(&error).await,
            }
        };
        drop(begins);
        loop {
            if let Err(error) = L::ready(&watch).await {
                return error;
            }
            let _turn = self.turn.lock().await;
            match L::accept(&watch) {
                Ok((_, info)) if !self.admits(&info) => {}
                Ok((accepted, info)) => self.serve(accepted, info, here).await,
                // Another one was faster.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // The client left before it was accepted.
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => self.pause(&error).await,
            }
        }
    }

    fn admits(&self, info: &Connection) -> bool {
        let asked = self.terms.admits.as_ref().zip(info.peer);
        asked.is_none_or(|(admits, peer)| admits(peer.ip()))
    }

    async fn serve(&self, accepted: L::Accepted, info: Connection, here: &Here) {
        let whose = self.terms.whose;
        let descriptor = whose.descriptor();
        if !whose.has_room(&descriptor) {
            self.pauses.begin(whose, &"all are in use");
            whose.room(&descriptor, silent::give_way).await;
        }
        let open = self.shutdown.connection();
        let (silent, served) = (whose == For::Clients).then(Silent::new).unzip();
        let service = Connected::new((self.make)(), info, self.terms.gone_after, silent);
        let shutdown = self.shutdown.clone();
        let task = here.serve(|seat| {
            let held = (descriptor, Some(seat));
            Serving::new(move || L::open(accepted), held, service, shutdown, open)
        });
        if let Some(served) = served {
            served.by(task);
        }
    }

    async fn pause(&self, error: &io::Error) {
        self.pauses.begin(self.terms.whose, error);
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}

/// What is told of times in which nothing is accepted.
struct Pauses {
    warnings: Limiter,
}

impl Default for Pauses {
    fn default() -> Self {
        Pauses {
            warnings: Limiter::every(Duration::from_secs(10)),
        }
    }
}

impl Pauses {
    fn begin(&self, whose: For, why: &dyn Display) {
        counter!(ACCEPT_PAUSES).increment(1);
        if let Some(suppressed) = self.warnings.pass("pause") {
            let suppressed = limiter::told(suppressed);
            tracing::warn!(
                listener = ?whose,
                %why,
                suppressed,
                "no descriptors for more connections; they wait until others close"
            );
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}
