//! A pool of HTTP/1.1 connections to one upstream.
//!
//! A connection carries one request at a time. It comes back when its response has ended and hyper says that it can
//! carry another; what is not used for a while is closed.

use std::future::poll_fn;
use std::sync::{Arc, Weak};

use http::{Request, Response};
use hyper::client::conn::http1::Builder;

use crate::descriptors::Expected;
use crate::proxy::failure::Failure;
use crate::proxy::request_body::RequestBody;

use super::body::{Lease as BodyLease, UpstreamBody};
use super::connect::{Connector, Io};
use super::exchange::{self, Upload};
use super::idle::{Idle, Sender, Whose};
use super::response_head::MAX_LINES;
use super::{NoResponse, copy_if_safe, raw_body::Kept};

pub(super) struct Pool {
    connector: Connector,
    /// Of those that are driven by hyper.
    idle: Arc<Idle<Sender>>,
    /// Of those that are not.
    raw: Arc<Idle<Io>>,
}

impl Pool {
    pub(super) fn new(connector: Connector) -> Self {
        Self {
            connector,
            idle: Arc::default(),
            raw: Arc::default(),
        }
    }

    /// Sends a request on an idle connection, or on a new one.
    ///
    /// An upstream may close an idle connection just when a request is written to it. A request that was not written
    /// yet is then sent on another one, and so is a safe one without a body (RFC 9110 section 9.2.2), once.
    pub(super) async fn send(
        &self,
        request: Request<RequestBody>,
        expected: Option<&Expected>,
    ) -> Result<Response<UpstreamBody>, NoResponse> {
        match exchange::takes(&request) {
            true => self.exchange(request, expected).await,
            // Boxed, so that the other has no room for it.
            false => Box::pin(self.send_by_hyper(request, expected)).await,
        }
    }

    async fn send_by_hyper(
        &self,
        mut request: Request<RequestBody>,
        expected: Option<&Expected>,
    ) -> Result<Response<UpstreamBody>, NoResponse> {
        while let Some(sender) = self.idle.take(Whose::AnyThreads) {
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
                    _ => return Err(failure.into()),
                },
            }
        }
        let sender = match self.connect(expected).await {
            Ok(sender) => sender,
            Err(failure) => return Err(NoResponse::unsent(failure, request)),
        };
        let closed = || Failure::reset("closed before the request was sent");
        match self.attempt(sender, request).await {
            Ok(response) => Ok(response),
            Err(Attempt::Failed(failure)) => Err(failure.on_new_connection().into()),
            Err(Attempt::Unsent(unsent)) => Err(NoResponse {
                failure: closed().on_new_connection(),
                unsent: Some(unsent),
            }),
        }
    }

    async fn exchange(
        &self,
        mut request: Request<RequestBody>,
        expected: Option<&Expected>,
    ) -> Result<Response<UpstreamBody>, NoResponse> {
        let raw = |response: Response<_>| {
            response.map(|body| UpstreamBody::raw(body, Arc::downgrade(&self.raw)))
        };
        if let Some(io) = self.raw.take(Whose::of(&request)) {
            if let Some(expected) = expected {
                expected.came();
            }
            let copy = copy_if_safe(&request);
            match (exchange::send(io, Upload::of(request)).await, copy) {
                (Ok(response), _) => return Ok(raw(response)),
                (Err(failure), Some(copy)) if failure.is_reset() => request = copy,
                (Err(failure), _) => return Err(failure.into()),
            }
        }
        let io = match self.connector.connect(expected).await {
            Ok(io) => io,
            Err(failure) => return Err(NoResponse::unsent(failure, request)),
        };
        let sent = exchange::send(io, Upload::of(request)).await;
        sent.map(raw)
            .map_err(|failure| failure.on_new_connection().into())
    }

    async fn connect(&self, expected: Option<&Expected>) -> Result<Sender, Failure> {
        let io = self.connector.connect(expected).await?;
        let thread = io.thread;
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
        Ok(Sender { sender, thread })
    }

    async fn attempt(
        &self,
        mut sender: Sender,
        request: Request<RequestBody>,
    ) -> Result<Response<UpstreamBody>, Attempt> {
        match sender.sender.try_send_request(request).await {
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
    idle: Weak<Idle<Sender>>,
}

impl Lease {
    /// Gives the connection back as soon as it can carry another request.
    pub(super) fn release(mut self) {
        let sender = &mut self.sender.sender;
        if sender.is_closed() {
        } else if sender.is_ready() {
            Idle::put(&self.idle, self.sender);
        } else {
            // The connection's task has yet to see the end, or is still writing the request.
            tokio::spawn(async move {
                if self.sender.sender.ready().await.is_ok() {
                    Idle::put(&self.idle, self.sender);
                }
            });
        }
    }
}

/// Keeps a connection on which nobody waits any more, once all of the request is sent.
pub(super) fn keep(idle: &Weak<Idle<Io>>, (mut io, upload): Kept) {
    let Some(mut upload) = upload else {
        return Idle::put(idle, io);
    };
    let idle = idle.clone();
    tokio::spawn(async move {
        if poll_fn(|cx| upload.poll(&mut io, cx)).await.is_ok() {
            Idle::put(&idle, io);
        }
    });
}

/// Bounds a response head, and what is read ahead of a slow client.
const MAX_BUFFER: usize = 64 * 1024;
