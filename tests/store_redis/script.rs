//! What the scripts do that the model does not have: keys that expire or are evicted, and what a server lets them do.

use tower_sse::store::redis::{Name, Partitions, Secret, slot};
use tower_sse::store::{Acquired, Answer, Appended, Command, InstanceId, Snapshot};

use crate::heard::{acquire, append, frame, name, next, own};
use crate::server::{Admin, HOUR, Server};

async fn ttl(admin: &mut Admin, key: &str) -> i64 {
    admin.run(&format!("PTTL {key}")).await
}

#[tokio::test]
async fn a_session_ends_by_itself_and_the_stream_is_free_for_others() {
    let server = Server::start();
    let (mut owner, mut other) = (server.connect(1).await, server.connect(2).await);
    let fence = own(&mut owner, &name(), "0").await;
    loop {
        other.beat("0", Vec::new()).await.unwrap();
        match other.execute(&name(), acquire(Some(fence))).await.unwrap() {
            Answer::Acquired(Acquired::Busy(InstanceId(1))) => {}
            Answer::Acquired(Acquired::Own(meta)) => {
                return assert_eq!(meta.owner, Some(InstanceId(2)));
            }
            answer => panic!("{answer:?}"),
        }
    }
}

#[tokio::test]
async fn all_keys_of_a_stream_expire() {
    let server = Server::start();
    let (mut owner, name) = (server.connect(1).await, name());
    let mut admin = server.admin().await;
    let fence = own(&mut owner, &name, "0").await;
    let sent = frame(fence, 1, "data: a\n\n");
    owner.execute(&name, append(&sent)).await.unwrap();
    owner.crowd(&name, true).await.unwrap();
    let keys = server.keys();
    let keys = [keys.log(&name), keys.meta(&name), keys.crowd(&name)];
    let all: Vec<String> = admin.run("KEYS *:{0}:*").await;
    assert_eq!(all.len(), keys.len() + 1, "{all:?}, one of them a session");
    let (hour, half) = (HOUR.as_millis() as i64, HOUR.as_millis() as i64 / 2);
    for key in &keys {
        let left = ttl(&mut admin, key).await;
        assert!(left > half && left <= hour, "{key} {left}");
    }
    let finish = Command::Finish { fence, base: 1 };
    owner.execute(&name, finish).await.unwrap();
    for key in &keys {
        let left = ttl(&mut admin, key).await;
        assert!(left > 0 && left <= half, "{key} {left}");
    }
}

#[tokio::test]
async fn a_log_whose_state_was_evicted_begins_empty() {
    let server = Server::start();
    let (mut owner, name) = (server.connect(1).await, name());
    let fence = own(&mut owner, &name, "0").await;
    let sent = frame(fence, 1, "data: a\n\n");
    owner.execute(&name, append(&sent)).await.unwrap();
    let mut admin = server.admin().await;
    let meta = server.keys().meta(&name);
    let () = admin.run(&format!("DEL {meta}")).await;

    let read = owner.execute(&name, Command::Read { from: 0 }).await;
    assert_eq!(read.unwrap(), Answer::Read(Snapshot::default()));
    let refused = owner.execute(&name, append(&sent)).await.unwrap();
    assert_eq!(refused, Answer::Appended(Appended::Fenced));
    own(&mut owner, &name, "0").await;
    let read = owner.execute(&name, Command::Read { from: 0 }).await;
    let Answer::Read(snapshot) = read.unwrap() else {
        panic!("no snapshot");
    };
    assert_eq!(snapshot.meta.map(|meta| meta.position), Some(0));
    assert!(snapshot.frames.is_empty());
}

#[tokio::test]
async fn a_log_whose_entries_were_evicted_goes_on() {
    let server = Server::start();
    let (mut owner, name) = (server.connect(1).await, name());
    let fence = own(&mut owner, &name, "0").await;
    let frames = [1, 2].map(|first| frame(fence, first, "data: a\n\n"));
    owner.execute(&name, append(&frames[0])).await.unwrap();
    let mut admin = server.admin().await;
    let log = server.keys().log(&name);
    let () = admin.run(&format!("DEL {log}")).await;
    owner.execute(&name, append(&frames[1])).await.unwrap();
    let read = owner.execute(&name, Command::Read { from: 0 }).await;
    let Answer::Read(snapshot) = read.unwrap() else {
        panic!("no snapshot");
    };
    assert_eq!(snapshot.frames, [frames[1].to_bytes()]);
}

#[tokio::test]
async fn a_stream_of_another_version_is_told_apart_from_a_failure() {
    let server = Server::start();
    let mut caller = server.connect(1).await;
    let mut admin = server.admin().await;
    let meta = server.keys().meta(&name());
    let _: u32 = admin.run(&format!("HSET {meta} v 2")).await;
    let read = caller.execute(&name(), Command::Read { from: 0 }).await;
    assert!(read.unwrap_err().is_version());
    let _: u32 = admin.run(&format!("HSET {meta} v 1")).await;
    let read = caller.execute(&name(), Command::Read { from: 0 }).await;
    assert!(!read.unwrap_err().is_version());
}

#[tokio::test]
async fn scripts_that_a_server_has_forgotten_are_loaded_by_the_next_connection() {
    let server = Server::start();
    let mut caller = server.connect(1).await;
    caller.beat("0", Vec::new()).await.unwrap();
    let () = server.admin().await.run("SCRIPT FLUSH").await;
    assert!(caller.execute(&name(), acquire(None)).await.is_err());
    let answer = server
        .connect(1)
        .await
        .execute(&name(), acquire(None))
        .await;
    assert!(matches!(
        answer.unwrap(),
        Answer::Acquired(Acquired::Own(_))
    ));
}

#[tokio::test]
async fn scripts_run_at_a_node_of_a_cluster() {
    let server = Server::start_node();
    let mut admin = server.admin().await;
    let () = admin.run("CLUSTER ADDSLOTSRANGE 0 16383").await;
    while !admin
        .run::<String>("CLUSTER INFO")
        .await
        .contains("cluster_state:ok")
    {}
    for tag in Partitions::of_cluster().tags() {
        let at: u16 = admin.run(&format!("CLUSTER KEYSLOT {tag}")).await;
        assert_eq!(at, slot(tag.as_bytes()));
    }
    let secret = Secret::new(&[7; 32]).unwrap();
    let (mut one, mut two) = (server.connect(1).await, server.connect(2).await);
    let names: Vec<Name> = (0..8).map(|key: u8| secret.name(b"", &[key])).collect();
    let mut tail = server.tail().await;
    tail.subscribe(&names).await.unwrap();
    let tags: Vec<_> = names.iter().map(|name| server.keys().tag(name)).collect();
    tail.subscribe_own(&tags, InstanceId(1)).await.unwrap();
    for name in &names {
        let tag = server.keys().tag(name);
        let hears = two.hears(tag, &[1, 2].map(InstanceId)).await.unwrap();
        assert_eq!(hears, [true, false]);
        let fence = own(&mut one, name, tag).await;
        let sent = frame(fence, 1, "data: a\n\n");
        let answer = one.execute(name, append(&sent)).await.unwrap();
        assert_eq!(answer, Answer::Appended(Appended::Done));
        two.beat(tag, Vec::new()).await.unwrap();
        let session = server.keys().session(tag, InstanceId(1));
        let () = admin.run(&format!("SET {session} 1")).await;
        let refused = two.execute(name, acquire(Some(fence))).await.unwrap();
        assert_eq!(refused, Answer::Acquired(Acquired::Busy(InstanceId(1))));
        for _ in 0..2 {
            assert!(next(&mut tail).await.is_some());
        }
    }
}
