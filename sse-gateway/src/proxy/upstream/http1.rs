//! A pool of HTTP/1.1 connections to one upstream.
//!
//! A connection carries one request at a time. It comes back when its response has ended and hyper says that it can
//! carry another; what is not used for a while is closed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use http::{Request, Response};
use hyper::client::conn::http1::{Builder, SendRequest};
use tokio::time::Instant;

use crate::descriptors::Expected;
use crate::proxy::failure::Failure;
use crate::proxy::request_body::RequestBody;

use super::body::{Lease as BodyLease, UpstreamBody};
use super::connect::Connector;
use super::copy_if_safe;

type Sender = SendRequest<RequestBody>;

pub(super) struct Pool {
    connector: Connector,
    idle: Arc<Idle>,
}

impl Pool {
    pub(super) fn new(connector: Connector) -> Self {
        Self {
            connector,
            idle: Arc::default(),
        }
    }

    /// Sends a request on an idle connection, or on a new one.
    ///
    /// An upstream may close an idle connection just when a request is written to it. A request that was not written
    /// yet is then sent on another one, and so is a safe one without a body (RFC 9110 section 9.2.2), once.
    pub(super) async fn send(
        &self,
        mut request: Request<RequestBody>,
    ) -> Result<Response<UpstreamBody>, Failure> {
        let expected: Option<Arc<Expected>> = request.extensions_mut().remove();
        let expected = expected.as_deref();
        while let Some(sender) = self.idle.take() {
            if let Some(expected) = expected {
                expected.came();
            }
            let copy = copy_if_safe(&request);
            match self.attempt(sender, request).await {
                Ok(response) => return Ok(response),
                Err(Attempt::Unsent(unsent)) => request = *unsent,
                Err(Attempt::Failed(failure)) => match copy {
                    Some(copy) if failure.is_reset() => {
                        request = copy;
                        break;
                    }
                    _ => return Err(failure),
                },
            }
        }
        let sender = self.connect(expected).await?;
        match self.attempt(sender, request).await {
            Ok(response) => Ok(response),
            Err(Attempt::Failed(failure)) => Err(failure),
            Err(Attempt::Unsent(_)) => Err(Failure::reset("closed before the request was sent")),
        }
    }

    async fn connect(&self, expected: Option<&Expected>) -> Result<Sender, Failure> {
        let io = self.connector.connect(expected).await?;
        let (sender, connection) = Builder::new()
            .max_buf_size(MAX_BUFFER)
            .max_headers(MAX_LINES)
            .handshake(io)
            .await
            .map_err(|error| Failure::sending(&error))?;
        tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "upstream connection closed");
            }
        });
        Ok(sender)
    }

    async fn attempt(
        &self,
        mut sender: Sender,
        request: Request<RequestBody>,
    ) -> Result<Response<UpstreamBody>, Attempt> {
        match sender.try_send_request(request).await {
            Ok(response) => {
                let lease = Lease {
                    sender,
                    idle: Arc::downgrade(&self.idle),
                };
                Ok(response.map(|body| UpstreamBody::new(body, BodyLease::Http1(lease))))
            }
            Err(mut error) => Err(match error.take_message() {
                Some(unsent) => Attempt::Unsent(Box::new(unsent)),
                None => Attempt::Failed(Failure::sending(error.error())),
            }),
        }
    }
}

enum Attempt {
    Unsent(Box<Request<RequestBody>>),
    Failed(Failure),
}

/// A connection that is in use.
pub(super) struct Lease {
    sender: Sender,
    idle: Weak<Idle>,
}

impl Lease {
    /// Gives the connection back as soon as it can carry another request.
    pub(super) fn release(mut self) {
        if self.sender.is_closed() {
        } else if self.sender.is_ready() {
            Idle::put(&self.idle, self.sender);
        } else {
            // The connection's task has yet to see the end, or is still writing the request.
            tokio::spawn(async move {
                if self.sender.ready().await.is_ok() {
                    Idle::put(&self.idle, self.sender);
                }
            });
        }
    }
}

#[derive(Default)]
struct Idle(Mutex<State>);

#[derive(Default)]
struct State {
    /// The one used last is at the end and is taken first, so that the others can grow old.
    connections: Vec<(Sender, Instant)>,
    /// Whether a task looks after old connections. There is none while there are no connections.
    swept: bool,
}

impl Idle {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Option<Sender> {
        let mut state = self.lock();
        while let Some((sender, since)) = state.connections.pop() {
            if sender.is_ready() && since.elapsed() < MAX_IDLE_TIME {
                return Some(sender);
            }
        }
        None
    }

    fn put(idle: &Weak<Self>, sender: Sender) {
        let Some(this) = idle.upgrade() else { return };
        let mut state = this.lock();
        if state.connections.len() >= MAX_IDLE {
            return;
        }
        state.connections.push((sender, Instant::now()));
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
            state
                .connections
                .retain(|(sender, since)| sender.is_ready() && since.elapsed() < MAX_IDLE_TIME);
            if state.connections.is_empty() {
                state.connections = Vec::new();
                state.swept = false;
                return;
            }
        }
    }
}

/// Bounds a response head, and what is read ahead of a slow client.
const MAX_BUFFER: usize = 64 * 1024;
/// Of a response head.
/// Not 256: hyper reads the lines into memory that it gives back, and a block of it as large as a read buffer would become one,
/// with all of its pages in use: 4 KiB a connection.
const MAX_LINES: usize = 320;
const MAX_IDLE: usize = 256;
const MAX_IDLE_TIME: Duration = Duration::from_secs(30);
