//! Streams whose events are written to all of them in one go: which are, and that each client reads what it would have read.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::BoxError;
use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response, header};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full, StreamBody};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::{sleep, timeout};
use tower::{Layer, ServiceExt, service_fn};
use tower_service::Service;
use tower_sse::EventLayer;
use tower_sse::relay::{CleanEnd, Key, RelayLayer};
use tower_sse::stage::{EventIds, Heartbeat};

use super::walk;
use crate::descriptors::For;
use crate::listener::{ClientBody, Tcp, Terms, start};
use crate::shutdown::Shutdown;
use crate::workers::Workers;

const CLIENTS: usize = 20;
const PATIENCE: Duration = Duration::from_secs(30);
const PACE: Duration = Duration::from_millis(2);

/// The one stream of a relay, that gives what is sent.
fn upstream(
    events: Receiver<Bytes>,
) -> impl Service<
    Request<Full<Bytes>>,
    Response = Response<impl Body<Data = Bytes, Error = Infallible> + Send + 'static>,
    Error = Infallible,
    Future: Send + 'static,
> + Clone
+ Send
+ 'static {
    let events = Arc::new(Mutex::new(Some(events)));
    service_fn(move |_: Request<Full<Bytes>>| {
        let events = events.lock().expect("no panic").take();
        async move {
            let events = events.expect("it is asked once");
            let frames = stream::unfold(events, |mut events| async {
                let data = events.recv().await?;
                Some((Ok::<_, Infallible>(Frame::data(data)), events))
            });
            let mut response = Response::new(StreamBody::new(frames));
            let value = "text/event-stream".parse().expect("a value");
            response.headers_mut().insert(header::CONTENT_TYPE, value);
            Ok::<_, Infallible>(response)
        }
    })
}

fn relay() -> RelayLayer {
    // The upstream is there once.
    RelayLayer::shared(Key::default()).with_clean_end(CleanEnd::Finished)
}

fn heartbeat() -> EventLayer<Heartbeat> {
    EventLayer::new(Heartbeat::every(Duration::from_secs(15)))
}

struct Scene {
    address: SocketAddr,
    events: Sender<Bytes>,
    clients: Vec<TcpStream>,
}

impl Scene {
    async fn open<S, B>(service: impl FnOnce(Receiver<Bytes>) -> S) -> Self
    where
        S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send + 'static,
        B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        let (events, receiver) = channel(16);
        let without_body = |request: Request<ClientBody>| request.map(|_| Full::default());
        let service = service(receiver).map_request(without_body);
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        let (listener, address) = Tcp::bind(free, PATIENCE, "--listen").expect("binds");
        let make = move || service.clone();
        let (workers, shutdown) = (Workers::here(), Shutdown::new());
        let server = start(
            Terms::new(For::Clients, PATIENCE),
            listener,
            make,
            workers,
            shutdown,
        )
        .await;
        tokio::spawn(server);
        let mut scene = Scene {
            address,
            events,
            clients: Vec::new(),
        };
        for _ in 0..CLIENTS {
            scene.enter().await;
        }
        scene
    }

    /// One more client, which takes little of what it does not read.
    async fn enter(&mut self) {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4096).expect("an option");
        let mut client = socket.connect(self.address).await.expect("connects");
        let head = "GET / HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n\r\n";
        client.write_all(head.as_bytes()).await.expect("room");
        let mut read = Vec::new();
        while !read.ends_with(b"\r\n\r\n") {
            read.push(client.read_u8().await.expect("a head"));
        }
        self.clients.push(client);
    }

    async fn send(&self, event: impl Into<Bytes>) {
        self.events.send(event.into()).await.expect("it is read");
        sleep(PACE).await;
    }

    /// Sends so many events, and says how many streams had lent their sockets in between, at most.
    async fn send_many(&self, count: usize) -> usize {
        let mut most = 0;
        for number in 0..count {
            self.send(format!("data: {number}\n\n")).await;
            most = most.max(walk::members());
        }
        most
    }

    /// What each client has read when all has ended.
    async fn ends(self) -> Vec<String> {
        drop(self.events);
        let mut all = Vec::new();
        for client in self.clients {
            all.push(rest(client).await);
        }
        all
    }
}

/// The data of all chunks up to the last one.
async fn rest(mut client: TcpStream) -> String {
    let mut read = Vec::new();
    let reading = async {
        while !read.ends_with(b"\r\n0\r\n\r\n") {
            assert_ne!(client.read_buf(&mut read).await.expect("reads"), 0);
        }
    };
    timeout(PATIENCE, reading).await.expect("an end in time");
    let text = String::from_utf8(read).expect("text");
    let (mut rest, mut data) = (&*text, String::new());
    while let Some((size, behind)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).expect("a size");
        let (chunk, behind) = behind.split_at(size);
        data.push_str(chunk);
        rest = behind.strip_prefix("\r\n").expect("the end of a chunk");
    }
    data
}

fn tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

fn data(text: &str) -> Vec<&str> {
    let lines = text.lines();
    lines
        .filter_map(|line| line.strip_prefix("data: "))
        .collect()
}

fn numbers(count: usize) -> Vec<String> {
    (0..count).map(|number| number.to_string()).collect()
}

#[tokio::test]
async fn many_are_written_to_in_one_go_and_read_the_same() {
    let mut scene = Scene::open(|events| heartbeat().layer(relay().layer(upstream(events)))).await;
    assert_eq!(scene.send_many(50).await, CLIENTS);
    // Each by itself reads what is no event with data.
    scene.send(": a comment\n\n").await;
    assert_eq!(scene.send_many(50).await, CLIENTS);
    // One leaves, and one comes.
    drop(scene.clients.pop());
    scene.enter().await;
    let late = scene.send_many(50).await;
    assert_eq!(late, CLIENTS);
    let mut all = scene.ends().await;
    assert_eq!(walk::members(), 0);
    let last = all.pop().expect("who came late");
    assert_eq!(data(&last), numbers(50));
    let sent = [numbers(50), numbers(50), numbers(50)].concat();
    for one in all {
        assert_eq!(data(&one), sent);
        assert!(one.contains(": a comment\n"), "{one}");
    }
}

#[tokio::test]
async fn what_a_client_does_not_take_it_is_given_later() {
    let mut scene = Scene::open(|events| heartbeat().layer(relay().layer(upstream(events)))).await;
    scene.send_many(5).await;
    assert_eq!(walk::members(), CLIENTS);
    let large = "x".repeat(50_000);
    // None of them reads; more than any socket takes.
    for _ in 0..20 {
        scene.send(format!("data: {large}\n\n")).await;
    }
    let late = scene.clients.split_off(CLIENTS / 2);
    drop(late);
    for one in scene.ends().await {
        let data = data(&one);
        assert_eq!(data[..5], numbers(5));
        assert!(data[5..].iter().all(|data| *data == large));
        assert_eq!(data.len(), 25);
    }
    assert_eq!(walk::members(), 0);
}

#[tokio::test]
async fn few_and_slow_ones_read_by_themselves() {
    let mut scene = Scene::open(|events| heartbeat().layer(relay().layer(upstream(events)))).await;
    let alone = tasks();
    scene.send_many(5).await;
    assert_eq!((walk::members(), tasks()), (CLIENTS, alone + 1));
    for _ in 0..2 {
        sleep(Duration::from_secs(1)).await;
        scene.send("data: a\n\n").await;
    }
    assert_eq!(walk::members(), 0, "seconds between two events");
    assert_eq!(tasks(), alone);
    scene.send_many(5).await;
    assert_eq!(walk::members(), CLIENTS);
    scene.clients.truncate(3);
    sleep(PACE).await;
    assert_eq!(walk::members(), 3);
}

#[tokio::test]
async fn streams_that_are_changed_on_the_way_are_never_written_past() {
    let ids = || EventLayer::new(EventIds::sequential().replacing());
    let scene = Scene::open(|events| ids().layer(relay().layer(upstream(events)))).await;
    assert_eq!(scene.send_many(20).await, 0, "a stage that changes each");
    let scene =
        Scene::open(|events| heartbeat().layer(heartbeat().layer(relay().layer(upstream(events)))))
            .await;
    assert_eq!(scene.send_many(20).await, 0, "two layers");
    let scene = Scene::open(|events| relay().layer(upstream(events))).await;
    assert_eq!(scene.send_many(20).await, 0, "no layer");
    let scene = Scene::open(|events| {
        let inner = heartbeat().layer(relay().layer(upstream(events)));
        inner.map_response(|response: Response<_>| response.map(|body| body.map_frame(shouted)))
    })
    .await;
    assert_eq!(scene.send_many(20).await, 0, "a body outside of the layer");
    for one in scene.ends().await {
        assert_eq!(one.matches("DATA: ").count(), 20);
    }
}

fn shouted(frame: Frame<Bytes>) -> Frame<Bytes> {
    frame.map_data(|data| data.to_ascii_uppercase().into())
}
