//! Connections that wait for a request.

use std::sync::{Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Waker};
use std::thread::{self, ThreadId};
use std::time::Duration;

use http::Request;
use hyper::client::conn::http1::SendRequest;
use tokio::time::Instant;

use super::connect::Io;
use crate::fields::accepts_event_stream;
use crate::proxy::request_body::RequestBody;

/// A connection that can be given a request.
pub(super) trait Connection: Send + 'static {
    /// Whether it still can.
    fn is_usable(&mut self) -> bool;

    /// The thread whose runtime has its socket: on another, each read would wake that one first.
    fn thread(&self) -> ThreadId;
}

/// One that is driven by a task of hyper's.
pub(super) struct Sender {
    pub(super) sender: SendRequest<RequestBody>,
    pub(super) thread: ThreadId,
}

impl Connection for Sender {
    fn is_usable(&mut self) -> bool {
        self.sender.is_ready()
    }

    fn thread(&self) -> ThreadId {
        self.thread
    }
}

impl Connection for Io {
    fn thread(&self) -> ThreadId {
        self.thread
    }

    /// It cannot once it has ended, or has sent what nobody asked for.
    fn is_usable(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        self.poll_read_with(&mut cx, |_| ()).is_pending()
    }
}

/// Which connections will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// Those of this thread, for what stays open.
    ThisThreads,
    AnyThreads,
}

impl Whose {
    /// For a stream of events a new connection here is better than one that wakes another thread for each of them.
    pub(super) fn of<B>(request: &Request<B>) -> Self {
        match accepts_event_stream(request.headers()) {
            true => Whose::ThisThreads,
            false => Whose::AnyThreads,
        }
    }
}

/// The idle connections of one kind to one upstream.
pub(super) struct Idle<C>(Mutex<State<C>>);

struct State<C> {
    /// The one used last is at the end and is taken first, so that the others can grow old.
    connections: Vec<(C, Instant)>,
    /// Whether a task looks after old connections. There is none while there are no connections.
    swept: bool,
}

impl<C> Default for Idle<C> {
    fn default() -> Self {
        Idle(Mutex::new(State {
            connections: Vec::new(),
            swept: false,
        }))
    }
}

impl<C: Connection> Idle<C> {
    fn lock(&self) -> MutexGuard<'_, State<C>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One of this thread; or else of another, if that will do.
    pub(super) fn take(&self, whose: Whose) -> Option<C> {
        let thread = thread::current().id();
        let is_here = |(connection, _): &(C, _)| connection.thread() == thread;
        let mut state = self.lock();
        loop {
            let connections = &state.connections;
            let any = || connections.len().checked_sub(1);
            let here = connections.iter().rposition(is_here);
            let last = match whose {
                Whose::ThisThreads => here,
                Whose::AnyThreads => here.or_else(any),
            }?;
            let (mut connection, since) = state.connections.remove(last);
            if since.elapsed() < MAX_IDLE_TIME && connection.is_usable() {
                return Some(connection);
            }
        }
    }

    pub(super) fn put(idle: &Weak<Self>, connection: C) {
        let Some(this) = idle.upgrade() else { return };
        let mut state = this.lock();
        if state.connections.len() >= MAX_IDLE {
            return;
        }
        state.connections.push((connection, Instant::now()));
        if !state.swept {
            state.swept = true;
            tokio::spawn(Self::sweep(idle.clone()));
        }
    }

    async fn sweep(idle: Weak<Self>) {
        loop {
            tokio::time::sleep(MAX_IDLE_TIME / 4).await;
            let Some(this) = idle.upgrade() else { return };
            let mut state = this.lock();
            state.connections.retain_mut(|(connection, since)| {
                since.elapsed() < MAX_IDLE_TIME && connection.is_usable()
            });
            if state.connections.is_empty() {
                state.connections = Vec::new();
                state.swept = false;
                return;
            }
        }
    }
}

const MAX_IDLE: usize = 256;
const MAX_IDLE_TIME: Duration = Duration::from_secs(30);
