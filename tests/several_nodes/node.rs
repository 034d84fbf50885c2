//! A node with a runtime of its own, that can die at any moment.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::routing::{any, get};
use tokio::runtime::{Builder, Runtime};
use tower_sse::relay::{CleanEnd, Key, OnLeave, RelayLayer};
use tower_sse::store::{RedisOptions, RedisStore, StoreStats};

use crate::server::Server;
use crate::upstream::Upstream;

pub(crate) const SECRET: [u8; 32] = [7; 32];

/// How long a node follows a stream without clients.
const LINGER: Duration = Duration::from_millis(500);
/// How long it waits for a store that is away.
const GIVE_UP: Duration = Duration::from_secs(300);

pub(crate) struct Node {
    runtime: Option<Runtime>,
    address: SocketAddr,
    store: RedisStore,
}

impl Node {
    pub(crate) fn start(server: &Server, upstream: &Upstream) -> Self {
        Self::start_with(server, upstream, &SECRET)
    }

    pub(crate) fn start_with(server: &Server, upstream: &Upstream, secret: &[u8]) -> Self {
        Self::start_as(server, upstream, secret, RedisStore::options())
    }

    pub(crate) fn start_as(
        server: &Server,
        upstream: &Upstream,
        secret: &[u8],
        options: RedisOptions,
    ) -> Self {
        Self::start_at(server.url(), options, upstream, secret)
    }

    /// One that waits so long for a store that is away.
    pub(crate) fn start_patient(server: &Server, upstream: &Upstream, give_up: Duration) -> Self {
        let given = (RedisStore::options(), give_up);
        Self::begin(server.url(), given, upstream, &SECRET)
    }

    pub(crate) fn start_at(
        url: String,
        options: RedisOptions,
        upstream: &Upstream,
        secret: &[u8],
    ) -> Self {
        Self::begin(url, (options, GIVE_UP), upstream, secret)
    }

    fn begin(
        url: String,
        (options, give_up): (RedisOptions, Duration),
        upstream: &Upstream,
        secret: &[u8],
    ) -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let (secret, upstream) = (secret.to_vec(), upstream.clone());
        let (sender, started) = std::sync::mpsc::channel();
        runtime.spawn(async move {
            let store = options.connect(&url, secret).await.unwrap();
            let relays = RelayLayer::shared(Key::default())
                .with_on_leave(OnLeave::Linger(LINGER))
                .with_give_up(give_up)
                .with_clean_end(CleanEnd::Finished)
                .with_store(store.clone());
            let answers = upstream.answers.clone();
            let answer = move |headers: HeaderMap| async move { upstream.answer(&headers) };
            let shared = Router::new().route("/events", get(answer)).layer(relays);
            let relays = RelayLayer::resumable()
                .with_on_leave(OnLeave::Linger(LINGER))
                .with_give_up(give_up)
                .with_store(store.for_route("answers"));
            let answer = move |request: Request| async move {
                answers.answer(request.method(), request.headers())
            };
            let own = Router::new()
                .route("/answer", any(answer.clone()))
                .layer(relays);
            let relays = RelayLayer::shared("default, body".parse().unwrap())
                .with_on_leave(OnLeave::Linger(LINGER))
                .with_give_up(give_up)
                .with_store(store.for_route("questions"));
            let asked = Router::new().route("/question", any(answer)).layer(relays);
            let app = shared.merge(own).merge(asked);
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            sender
                .send((listener.local_addr().unwrap(), store))
                .unwrap();
            axum::serve(listener, app).await.unwrap();
        });
        let (address, store) = tokio::task::block_in_place(|| started.recv().unwrap());
        Node {
            runtime: Some(runtime),
            address,
            store,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn stats(&self) -> StoreStats {
        self.store.stats()
    }

    pub(crate) fn is_owner(&self) -> bool {
        self.stats().owned > 0
    }

    /// Others go on, as when the process is about to end.
    pub(crate) async fn leave(&self) {
        self.store.leave().await;
    }

    /// All at once, and without a word to anybody.
    pub(crate) fn kill(mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
