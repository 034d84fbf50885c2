//! What does an event cost for each client of a relay, and what does a client hold?
//!
//! `cargo bench --bench relay --features metrics,relay`
//!
//! One source, and clients that are tasks of their own on one thread, as a server's connections are. Each row is a run of
//! its own under callgrind (Debian: `apt install valgrind`), which counts the instructions of [`read_all`] alone:
//! the slope between few clients and many, so that what the source and the history take once is not in it. The
//! scheduling of the clients' tasks is. Sockets are not: for those, see the bench `fanout`.

mod streams;

use std::convert::Infallible;
use std::env;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};

use allocation_counter::measure;
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use http_body_util::channel::{Channel, Sender};
use streams::callgrind;
use tokio::runtime::Runtime;
use tower::service_fn;
use tower::util::BoxCloneService;
use tower_layer::Layer;
use tower_service::Service;
use tower_sse::EventLayer;
use tower_sse::relay::{CleanEnd, Key, RelayLayer};

const EVENTS: usize = 320;
const FEW: usize = 100;
const MANY: usize = 300;

/// How events come, and what is done for each client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Case {
    Live,
    LiveWithStages,
    /// As it is for those who were busy meanwhile: many are ready at once.
    Behind,
    BehindWithStages,
}

impl Case {
    const ALL: [Case; 4] = [
        Case::Live,
        Case::LiveWithStages,
        Case::Behind,
        Case::BehindWithStages,
    ];

    fn name(self) -> &'static str {
        match self {
            Case::Live => "one by one | none",
            Case::LiveWithStages => "one by one | `Metrics`, `Retry`, `IdleTimeout`, `Heartbeat`",
            Case::Behind => "80 at once | none",
            Case::BehindWithStages => "80 at once | the same",
        }
    }

    fn chunks(self) -> Vec<Bytes> {
        let event = streams::event(200);
        match self {
            Case::Live | Case::LiveWithStages => streams::chunks(&event, EVENTS, 1),
            Case::Behind | Case::BehindWithStages => streams::chunks(&event, EVENTS, 80),
        }
    }
}

fn main() {
    let words: Vec<String> = env::args().collect();
    if let [_, flag, case, clients] = &words[..] {
        if flag == "--run" {
            return run(case, clients.parse().expect("a number of clients"));
        }
    }
    println!("| events | stages of each client | instructions per event and client |");
    println!("|---|---|---:|");
    for case in Case::ALL {
        let more = count(case, MANY) - count(case, FEW);
        let deliveries = (EVENTS * (MANY - FEW)) as u64;
        println!("| {} | {} |", case.name(), more / deliveries);
    }
    println!("\n| a client that waits for the next event | bytes on the heap |");
    println!("|---|---:|");
    println!("| no stages | {} |", held(Case::Live));
    println!(
        "| `Metrics`, `Retry`, `IdleTimeout`, `Heartbeat` | {} |",
        held(Case::LiveWithStages)
    );
}

/// The child, under callgrind.
fn run(case: &str, clients: usize) {
    let case = Case::ALL.into_iter().find(|one| format!("{one:?}") == case);
    let case = case.expect("a case");
    streams::record_metrics();
    let runtime = streams::runtime();
    let mut service = Clients::new(case);
    let bodies: Vec<_> = runtime.block_on(async {
        let mut bodies = Vec::new();
        for _ in 0..clients {
            bodies.push(service.join().await);
        }
        bodies
    });
    let len = read_all(&runtime, bodies, service.source, case.chunks());
    assert!(
        len >= 200 * EVENTS * clients,
        "all clients get all events, not {len} bytes"
    );
}

type Client = Pin<Box<dyn Body<Data = Bytes, Error = Infallible> + Send>>;

/// The benches count instructions in here and nowhere else.
#[inline(never)]
fn read_all(
    runtime: &Runtime,
    bodies: Vec<Client>,
    mut source: Source,
    chunks: Vec<Bytes>,
) -> usize {
    runtime.block_on(async {
        let tasks: Vec<_> = bodies
            .into_iter()
            .map(|body| tokio::spawn(streams::read(body)))
            .collect();
        // Tasks run in the order in which they were woken: all clients wait, then the relay reads, then they do.
        tokio::task::yield_now().await;
        for chunk in chunks {
            source.send_data(chunk).await.expect("the relay reads");
            for _ in 0..4 {
                tokio::task::yield_now().await;
            }
        }
        drop(source);
        let mut len = 0;
        for task in tasks {
            len += task.await.expect("a client reads to the end");
        }
        len
    })
}

type Source = Sender<Bytes, Infallible>;

type Joining = BoxCloneService<Request<Full<Bytes>>, Response<Client>, Infallible>;

/// Makes clients of one relay.
struct Clients {
    service: Joining,
    source: Source,
}

impl Clients {
    fn new(case: Case) -> Self {
        let (source, events) = Channel::new(1);
        let events = Arc::new(Mutex::new(Some(events)));
        let upstream = service_fn(move |_: Request<Full<Bytes>>| {
            let events = events.lock().expect("nobody panics").take();
            let events = events.expect("a relay asks once");
            let response = Response::builder().header("content-type", "text/event-stream");
            std::future::ready(Ok(response.body(events).expect("a valid head")))
        });
        let relay = RelayLayer::shared(Key::default()).with_clean_end(CleanEnd::Finished);
        let relay = relay.with_metrics("/").layer(upstream);
        let service = match case {
            Case::Live | Case::Behind => boxed(relay),
            Case::LiveWithStages | Case::BehindWithStages => {
                boxed(EventLayer::new(streams::four_of_ours()).layer(relay))
            }
        };
        Clients { service, source }
    }

    async fn join(&mut self) -> Client {
        let request = Request::get("/").header("accept", "text/event-stream");
        let request = request.body(Full::default()).expect("a request");
        let Ok(response) = self.service.call(request).await;
        response.into_body()
    }
}

fn boxed<S, B>(mut service: S) -> Joining
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
    B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
{
    BoxCloneService::new(service_fn(move |request| {
        let answer = service.call(request);
        async { Ok(answer.await?.map(|body| Box::pin(body) as Client)) }
    }))
}

/// Bytes that each client more holds while it waits.
fn held(case: Case) -> i64 {
    let runtime = streams::runtime();
    let mut clients = Clients::new(case);
    let mut join = || {
        runtime.block_on(async {
            let mut body = clients.join().await;
            let mut cx = Context::from_waker(Waker::noop());
            // Some have something to say first.
            while body.as_mut().poll_frame(&mut cx).is_ready() {}
            body
        })
    };
    let first: Vec<Client> = (0..FEW).map(|_| join()).collect();
    let mut more = Vec::with_capacity(FEW);
    let info = measure(|| (0..FEW).for_each(|_| more.push(join())));
    drop((first, more));
    info.bytes_current / FEW as i64
}

/// Counts the instructions of one case.
fn count(case: Case, clients: usize) -> u64 {
    let words = ["--run", &format!("{case:?}"), &clients.to_string()];
    callgrind::count("*read_all*", &words)
}
