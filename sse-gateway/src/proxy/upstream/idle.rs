//! Connections that wait for a request.

use std::sync::{Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Waker};
use std::time::Duration;

use hyper::client::conn::http1::SendRequest;
use tokio::time::Instant;

use super::connect::Io;
use crate::proxy::request_body::RequestBody;

/// A connection that can be given a request.
pub(super) trait Connection: Send + 'static {
    /// Whether it still can.
    fn is_usable(&mut self) -> bool;
}

impl Connection for SendRequest<RequestBody> {
    fn is_usable(&mut self) -> bool {
        self.is_ready()
    }
}

impl Connection for Io {
    /// It cannot once it has ended, or has sent what nobody asked for.
    fn is_usable(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        self.poll_read_with(&mut cx, |_| ()).is_pending()
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

    pub(super) fn take(&self) -> Option<C> {
        let mut state = self.lock();
        while let Some((mut connection, since)) = state.connections.pop() {
            if since.elapsed() < MAX_IDLE_TIME && connection.is_usable() {
                return Some(connection);
            }
        }
        None
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
