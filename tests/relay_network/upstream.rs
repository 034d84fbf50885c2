//! The upstream: a server of hyper that sends its feed as its kind does, and dies at any byte.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Channel, Either, Empty, channel::Sender};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::time::sleep;
use turmoil::net::TcpListener;

use crate::feed::{Feed, number_of_id};
use crate::plan::{Kind, pick};
use crate::random::Random;
use crate::socket::Socket;
use crate::world::{State, World};

type Body = Either<Channel<Bytes, Broken>, Empty<Bytes>>;

/// A body that ends in the middle.
#[derive(Debug)]
struct Broken;

pub(crate) async fn serve(world: Arc<World>) -> turmoil::Result {
    let listener = TcpListener::bind("0.0.0.0:80").await?;
    let mut random = world.random();
    loop {
        let (stream, _) = listener.accept().await?;
        let mut socket = Socket::new(stream);
        if !world.is_calm() && random.below(3) == 0 {
            let most = pick(&mut random, &[300, 3_000, 30_000]);
            socket.writes = Some(random.below(most) as usize);
        }
        let world = world.clone();
        tokio::spawn(async move {
            let answer = service_fn(|request| answer(world.clone(), request));
            let io = TokioIo::new(socket);
            // It fails when the connection is cut.
            let _ = http1::Builder::new().serve_connection(io, answer).await;
        });
    }
}

/// What a stream gives.
enum Source {
    Feed,
    /// The answer to this request, which has an end.
    Answer(String),
}

async fn answer(
    world: Arc<World>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let (head, body) = request.into_parts();
    let mut random = world.random();
    if body.collect().await.is_err() {
        return Ok(status(StatusCode::BAD_REQUEST));
    }
    sleep(Duration::from_millis(pick(&mut random, &[0, 0, 50, 700]))).await;
    let refused = world.state().refuses;
    if let Some(code) = refused {
        return Ok(status(StatusCode::from_u16(code).unwrap()));
    }
    let (source, next) = if head.method == Method::POST {
        let name = head.headers["x-request"].to_str().unwrap().to_owned();
        let next = begin_answer(&world, &name, &head.headers, &mut random);
        (Source::Answer(name), next)
    } else {
        (Source::Feed, begin(&world, &head.headers))
    };
    let (sender, body) = Channel::new(4);
    tokio::spawn(stream(world, source, next, sender, random));
    let response = Response::builder().header("content-type", "text/event-stream");
    Ok(response.body(Either::Left(body)).unwrap())
}

fn status(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Either::Right(Empty::new()));
    *response.status_mut() = status;
    response
}

/// The number of the first event that this client is sent.
fn begin(world: &World, headers: &HeaderMap) -> u64 {
    let id = headers.get("last-event-id").map(|id| id.as_bytes());
    let len = world.state().feed.len();
    match world.plan.kind {
        Kind::Resumes | Kind::ResumesSome => id.map_or(len, |id| {
            let number = number_of_id(id).expect("an id of ours");
            assert!(number <= len, "{number} was never sent");
            number
        }),
        Kind::Inclusive => id.map_or(len, |id| {
            let number = number_of_id(id).expect("an id of ours");
            assert!(number <= len, "{number} was never sent");
            number - 1
        }),
        Kind::Anew => 0,
        Kind::Live => len,
        Kind::OneId => {
            assert!(id.is_none_or(|id| id == b"one"));
            len
        }
        Kind::NoIds => {
            assert_eq!(id, None, "there are no ids");
            len
        }
    }
    .saturating_add(1)
}

/// The same for a POST: what it asks for is done once.
fn begin_answer(world: &World, name: &str, headers: &HeaderMap, random: &mut Random) -> u64 {
    let mut state = world.state();
    if let Some(id) = headers.get("last-event-id") {
        assert!(state.answers.contains_key(name), "{name} was never asked");
        let number = number_of_id(id.as_bytes()).expect("an id of ours");
        let is_inclusive = world.plan.kind == Kind::Inclusive;
        return number + u64::from(!is_inclusive);
    }
    let mut answer = Feed::new(&world.plan, name, Random::new(random.below(u64::MAX)));
    if !world.plan.kind.resumes() {
        answer = answer.without_ids();
    }
    for _ in 0..1 + random.below(60) {
        answer.push(false);
    }
    let before = state.answers.insert(name.into(), answer);
    assert!(before.is_none(), "{name} was asked twice");
    1
}

async fn stream(
    world: Arc<World>,
    source: Source,
    mut next: u64,
    mut sender: Sender<Bytes, Broken>,
    mut random: Random,
) {
    let mut news = world.news.subscribe();
    let ends = news.borrow().ends;
    let most = pick(&mut random, &[7, 60, 400, 4_000]);
    let heartbeat = Duration::from_millis(200 + random.below(600));
    let comment = pick(&mut random, &[":hb\n", ":\n\n"]).replace('\n', world.plan.ending);
    loop {
        let at_once = match source {
            Source::Feed => 1 + random.below(30),
            Source::Answer(_) => 1 + random.below(3),
        };
        let mut bytes = Bytes::from(events(&world.state(), &source, &mut next, at_once));
        let is_over = matches!(source, Source::Answer(_)) && bytes.is_empty();
        while !bytes.is_empty() {
            // In the calm there is no need to take long.
            let most = if world.is_calm() { 4_000 } else { most };
            let len = (1 + random.below(most) as usize).min(bytes.len());
            if sender.send_data(bytes.split_to(len)).await.is_err() {
                return;
            }
            if random.below(20) == 0 {
                sleep(Duration::from_millis(random.below(90))).await;
            }
            if news.borrow().ends != ends {
                break;
            }
        }
        let told = *news.borrow_and_update();
        if told.ends != ends {
            // A clean end is that of an answer, whatever is missing: nobody could tell.
            let cleanly = told.cleanly && matches!(source, Source::Feed);
            return end(sender, cleanly, &mut random).await;
        }
        if is_over {
            return;
        }
        if let Source::Answer(_) = source {
            sleep(Duration::from_millis(random.below(150))).await;
            continue;
        }
        if next <= told.events {
            continue;
        }
        tokio::select! {
            biased;
            _ = news.changed() => {}
            () = sleep(heartbeat) => {
                if sender.send_data(comment.clone().into()).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// The next events, at most so many.
fn events(state: &State, source: &Source, next: &mut u64, most: u64) -> Vec<u8> {
    let feed = match source {
        Source::Feed => &state.feed,
        Source::Answer(name) => &state.answers[name],
    };
    let mut bytes = Vec::new();
    for _ in 0..most {
        let Some(event) = feed.event(*next) else {
            break;
        };
        bytes.extend_from_slice(event);
        *next += 1;
    }
    bytes
}

/// Ends a stream where it is, or in an event that never becomes whole.
async fn end(mut sender: Sender<Bytes, Broken>, cleanly: bool, random: &mut Random) {
    if random.below(2) == 0 {
        let half = "id: row-999999\ndata: 999999 half an ev";
        let _ = sender.send_data(half.into()).await;
    }
    if !cleanly {
        sender.abort(Broken);
    }
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the upstream broke")
    }
}

impl std::error::Error for Broken {}
