//! Few HTTP/2 connections to one upstream, shared by all requests.
//!
//! One connection, until it is closed or the upstream allows no more streams on it: event streams are long, so a limit
//! of a hundred streams is soon reached, and what comes then must not wait for one of them to end.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::proxy::failure::Failure;
use crate::proxy::request_body::RequestBody;

use super::body::{Lease, UpstreamBody};
use super::connect::Connector;
use super::{NoResponse, copy_if_safe};

pub(super) struct Shared {
    connector: Connector,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    connections: Vec<Connection>,
    /// The last attempt to connect, when it failed: whoever waited for it meanwhile fails with it.
    failed: Option<(Instant, Failure)>,
}

struct Connection {
    sender: SendRequest<RequestBody>,
    load: Arc<Load>,
}

struct Load {
    open: AtomicUsize,
    limit: AtomicUsize,
}

/// Counts one stream of a connection for as long as it lives.
pub(super) struct Stream(Arc<Load>);

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Shared {
    pub(super) fn new(connector: Connector) -> Self {
        Self {
            connector,
            state: Mutex::default(),
        }
    }

    pub(super) async fn send(
        &self,
        request: Request<RequestBody>,
    ) -> Result<Response<UpstreamBody>, NoResponse> {
        let (mut sender, stream) = match self.stream().await {
            Ok(found) => found,
            Err(failure) => return Err(NoResponse::unsent(failure, request)),
        };
        let copy = copy_if_safe(&request);
        let again = match sender.try_send_request(request).await {
            Ok(response) => return Ok(with_stream(response, stream)),
            Err(mut error) => match (error.take_message(), copy) {
                (Some(unsent), _) => unsent,
                (None, copy) => {
                    let failure = Failure::sending(error.error());
                    match copy {
                        Some(copy) if failure.is_unprocessed() => copy,
                        _ => return Err(failure.into()),
                    }
                }
            },
        };
        // The connection ended, or is about to, just when the request was written: another one, once.
        self.forget(&stream).await;
        drop(stream);
        let (mut sender, stream) = match self.stream().await {
            Ok(found) => found,
            Err(failure) => return Err(NoResponse::unsent(failure, again)),
        };
        match sender.send_request(again).await {
            Ok(response) => Ok(with_stream(response, stream)),
            Err(error) => Err(Failure::sending(&error).into()),
        }
    }

    /// Takes a connection out of use; its other streams go on.
    async fn forget(&self, stream: &Stream) {
        let mut state = self.state.lock().await;
        state
            .connections
            .retain(|one| !Arc::ptr_eq(&one.load, &stream.0));
    }

    /// A place on a connection that has one, or on a new connection. Holding the lock while connecting makes it one
    /// attempt for all who wait.
    async fn stream(&self) -> Result<(SendRequest<RequestBody>, Stream), Failure> {
        let came = Instant::now();
        let mut state = self.state.lock().await;
        state.connections.retain(|one| !one.sender.is_closed());
        if let Some(found) = state.connections.iter().find_map(Connection::claim) {
            return Ok(found);
        }
        if let Some((_, failure)) = state.failed.as_ref().filter(|(at, _)| *at >= came) {
            return Err(failure.clone());
        }
        if state.connections.len() >= MAX_CONNECTIONS {
            return Err(Failure::other(
                "every connection has all the streams it may have",
            ));
        }
        match self.connect().await {
            Ok(connection) => {
                state.failed = None;
                let found = connection.claim();
                state.connections.push(connection);
                found.ok_or_else(|| Failure::other("the upstream allows no streams"))
            }
            Err(failure) => {
                state.failed = Some((Instant::now(), failure.clone()));
                Err(failure)
            }
        }
    }

    async fn connect(&self) -> Result<Connection, Failure> {
        let io = self.connector.connect(None).await?;
        let (sender, connection) = Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buf_size(SEND_BUFFER)
            .max_header_list_size(MAX_HEADERS)
            .handshake(io)
            .await
            .map_err(|error| Failure::sending(&error))?;
        let load = Arc::new(Load {
            open: AtomicUsize::new(0),
            limit: AtomicUsize::new(connection.current_max_send_streams()),
        });
        let watched = Arc::clone(&load);
        tokio::spawn(async move {
            let mut connection = pin!(connection);
            let ended = poll_fn(|cx| {
                let polled = connection.as_mut().poll(cx);
                let limit = connection.current_max_send_streams();
                watched.limit.store(limit, Ordering::Relaxed);
                polled
            });
            if let Err(error) = ended.await {
                tracing::debug!(%error, "upstream connection closed");
            }
        });
        Ok(Connection { sender, load })
    }
}

fn with_stream(response: Response<Incoming>, stream: Stream) -> Response<UpstreamBody> {
    response.map(|body| UpstreamBody::new(body, Lease::Http2(stream)))
}

impl Connection {
    fn claim(&self) -> Option<(SendRequest<RequestBody>, Stream)> {
        let limit = self.load.limit.load(Ordering::Relaxed);
        self.load
            .open
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |open| {
                (open < limit).then_some(open + 1)
            })
            .ok()?;
        Some((self.sender.clone(), Stream(Arc::clone(&self.load))))
    }
}

const MAX_CONNECTIONS: usize = 256;
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
const STREAM_WINDOW: u32 = 64 * 1024;
/// A receiver that leaves many small frames unread loses the whole connection, and what it may leave unread grows with
/// this window: the wider it is, the more clients can stop reading without harm to the others.
const CONNECTION_WINDOW: u32 = 16 * 1024 * 1024;
const SEND_BUFFER: usize = 64 * 1024;
const MAX_HEADERS: u32 = 64 * 1024;
