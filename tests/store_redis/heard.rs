//! What is published arrives at another caller.

use std::time::Duration;

use bytes::Bytes;
use tower_sse::store::redis::{Heard, Name, Secret, Tail};
use tower_sse::store::{
    Acquired, Answer, Appended, Command, Fence, Frame, InstanceId, Mark, Message, Stored,
};

use crate::server::Server;

pub(crate) fn name() -> Name {
    Secret::new(&[7; 32]).unwrap().name(b"route", b"key")
}

pub(crate) fn frame(fence: Fence, first: u64, text: &'static str) -> Frame {
    let event = Stored {
        has_data: true,
        sets_id: false,
        is_gap: false,
        upstream: None,
        body: 0,
        bytes: Bytes::from_static(text.as_bytes()),
    };
    Frame {
        epoch: 9,
        fence,
        base: first - 1,
        first,
        sequence: first - 1,
        was: Vec::new(),
        events: vec![event],
    }
}

pub(crate) fn append(frame: &Frame) -> Command {
    Command::Append {
        fence: frame.fence,
        base: frame.base,
        last: frame.last(),
        sequence: frame.last_sequence(),
        keep: 1,
        mark: Mark::None,
        frame: frame.to_bytes(),
    }
}

pub(crate) fn acquire(seen: Option<Fence>) -> Command {
    Command::Acquire {
        seen,
        fence: Fence {
            counter: seen.map_or(0, |fence| fence.counter) + 1,
            random: 5,
        },
        epoch: 9,
        force: false,
    }
}

/// The fence of an instance that owns the stream now.
pub(crate) async fn own(
    connection: &mut tower_sse::store::redis::Connection,
    name: &Name,
    tag: &str,
) -> Fence {
    connection.beat(tag, Vec::new()).await.unwrap();
    match connection.execute(name, acquire(None)).await.unwrap() {
        Answer::Acquired(Acquired::Own(meta)) => meta.fence,
        other => panic!("{other:?}"),
    }
}

/// What is heard next, or a failure where nothing comes.
pub(crate) async fn next(tail: &mut Tail) -> Option<Heard> {
    let next = tokio::time::timeout(Duration::from_secs(60), tail.next());
    next.await.expect("something comes")
}

#[tokio::test]
async fn a_frame_reaches_another_caller_as_it_is_stored() {
    let server = Server::start();
    let (mut owner, name) = (server.connect(1).await, name());
    let fence = own(&mut owner, &name, "0").await;
    let mut tail = server.tail().await;
    tail.subscribe(&[name]).await.unwrap();
    let sent = frame(fence, 1, "data: a\n\n");
    let answer = owner.execute(&name, append(&sent)).await.unwrap();
    assert_eq!(answer, Answer::Appended(Appended::Done));

    let Some(Heard::Message(of, Message::Frame(heard))) = next(&mut tail).await else {
        panic!("no frame");
    };
    assert_eq!((of, Frame::parse(&heard)), (name, Ok(sent)));
    let mut other = server.connect(2).await;
    let read = other.execute(&name, Command::Read { from: 0 }).await;
    let Answer::Read(snapshot) = read.unwrap() else {
        panic!("no snapshot");
    };
    assert_eq!(snapshot.frames, [heard]);
    assert_eq!(
        (tail.reign(), other.reign()),
        (owner.reign(), owner.reign())
    );
}

#[tokio::test]
async fn appends_that_are_under_way_together_are_done_in_their_order() {
    let server = Server::start();
    let (mut owner, name) = (server.connect(1).await, name());
    let fence = own(&mut owner, &name, "0").await;
    let frames = (1..=40).map(|first| frame(fence, first, "data: a\n\n"));
    let appends = frames.map(|frame| {
        let mut connection = owner.clone();
        async move { connection.execute(&name, append(&frame)).await.unwrap() }
    });
    let answers = futures_util::future::join_all(appends).await;
    assert_eq!(answers, vec![Answer::Appended(Appended::Done); 40]);
}

#[tokio::test]
async fn a_stream_is_not_heard_any_more_behind_its_unsubscription() {
    let server = Server::start();
    let (mut caller, secret) = (server.connect(1).await, Secret::new(&[7; 32]).unwrap());
    let names = [1, 2].map(|key| secret.name(b"", &[key]));
    let mut tail = server.tail().await;
    tail.subscribe(&names).await.unwrap();
    tail.unsubscribe(&names[..1]).await.unwrap();
    for name in names {
        caller.execute(&name, Command::Ask).await.unwrap();
    }
    let heard = next(&mut tail).await;
    assert_eq!(heard, Some(Heard::Message(names[1], Message::Asked)));
}

#[tokio::test]
async fn a_tail_whose_connection_is_lost_ends() {
    let server = Server::start();
    let mut tail = server.tail().await;
    tail.subscribe(&[name()]).await.unwrap();
    let mut admin = server.admin().await;
    let killed: u32 = admin.run("CLIENT KILL TYPE pubsub").await;
    assert_eq!(killed, 1);
    assert_eq!(next(&mut tail).await, None);
}

#[tokio::test]
async fn who_is_there_is_seen_by_a_channel_that_it_alone_hears() {
    let server = Server::start();
    let [one, two] = [1, 2].map(InstanceId);
    let mut caller = server.connect(2).await;
    let mut tail = server.tail().await;
    tail.subscribe_own(&["0"], one).await.unwrap();
    let hears = caller.hears("0", &[one, two]).await.unwrap();
    assert_eq!(hears, [true, false]);
    drop(tail);
    let is_gone = async { while caller.hears("0", &[one]).await.unwrap() != [false] {} };
    let gone = tokio::time::timeout(Duration::from_secs(30), is_gone);
    gone.await.expect("its connection ends with it");
}

#[tokio::test]
async fn a_tail_that_nobody_takes_from_ends_and_keeps_no_more_than_so_much() {
    let server = Server::start();
    let mut tail = server.tail().await;
    tail.subscribe(&[name()]).await.unwrap();
    let channel = server.keys().channel(&name());
    let mut admin = server.admin().await;
    for _ in 0..5_000 {
        let _: u32 = admin.run(&format!("SPUBLISH {channel} ?")).await;
    }
    // Behind its answer, all of them have come.
    tail.subscribe_beats(&["0"]).await.unwrap();
    let mut count = 0;
    while next(&mut tail).await.is_some() {
        count += 1;
    }
    assert!((4_000..5_000).contains(&count), "{count}");
}
