//! What a relay adds beside events, what it leaves out, and what outlives an event that is too large or never ends.

use std::time::Duration;

use tokio::time::Instant;
use tower_sse::relay::{Key, RelayLayer};

use crate::client::{Client, get, send};
use crate::reconnect::opened;

fn shared() -> RelayLayer {
    RelayLayer::shared(Key::default())
}

/// The chunks up to the one that ends with this, without ids.
async fn until(client: &mut Client, end: &str) -> String {
    let mut text = String::new();
    while !text.ends_with(end) {
        text += std::str::from_utf8(&client.chunk().await.expect("more to come")).unwrap();
    }
    text.split_inclusive('\n')
        .filter(|line| !line.starts_with("id: "))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn blocks_of_comments_have_no_blank_line() {
    let sent = "data: 1\n\n: ping\r\n\r\nfoo: bar\n\n\nevent: x\n\ndata: 2\n\n";
    let (_app, _calls, stream, mut client) = opened(&shared()).await;
    stream.send(sent).await;
    assert_eq!(
        until(&mut client, "data: 2\n\n").await,
        "data: 1\n\n: ping\r\nevent: x\n\ndata: 2\n\n"
    );
    let (_app, _calls, stream, mut client) = opened(&shared().with_comment_blocks(true)).await;
    stream.send(sent).await;
    assert_eq!(until(&mut client, "data: 2\n\n").await, sent);
}

#[tokio::test(start_paused = true)]
async fn the_reconnection_time_stands_in_front_of_the_first_block_with_data() {
    for keep in [false, true] {
        let layer = shared().with_comment_blocks(keep);
        let (app, _calls, stream, mut client) = opened(&layer).await;
        stream.send("retry: 7000\r\ndata: 1\r\n\r\n").await;
        assert_eq!(client.text().await, "1");
        let mut late = send(&app, get("/"), "").client().await;
        let comment = if keep { ": ping\r\n\r\n" } else { ": ping\r\n" };
        stream.send(": ping\r\n\r\n").await;
        assert_eq!(late.chunk().await.unwrap(), comment);
        stream.send(": ping\r\n\r\ndata: 2\r\n\r\n").await;
        let expected = match keep {
            true => ": ping\r\n\r\nretry: 7000\r\ndata: 2\r\n\r\n",
            // Without a blank line the comment is part of the block.
            false => "retry: 7000\r\n: ping\r\ndata: 2\r\n\r\n",
        };
        assert_eq!(until(&mut late, "data: 2\r\n\r\n").await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_newer_reconnection_time_of_the_upstream_is_read_last() {
    let (app, _calls, stream, mut client) = opened(&shared()).await;
    stream.send("retry: 1\ndata: 1\n\n").await;
    assert_eq!(client.text().await, "1");
    let mut late = send(&app, get("/"), "").client().await;
    stream.send("retry: 2\n\ndata: 2\n\n").await;
    assert_eq!(
        until(&mut late, "data: 2\n\n").await,
        "retry: 1\nretry: 2\n\ndata: 2\n\n"
    );
}

#[tokio::test(start_paused = true)]
async fn an_id_of_an_event_that_is_too_large_is_where_the_upstream_goes_on() {
    let padding = "x".repeat(100);
    for (large, asked, gap) in [
        (format!("id: 8\ndata: {padding}\n\n"), Some("8"), true),
        (format!("data: {padding}\nid: 8\n\n"), Some("8"), true),
        (format!("id\ndata: {padding}\n\n"), None, true),
        (format!(":{padding}\nid: 8\n\n"), Some("8"), false),
        (format!(":{padding}\n\n"), Some("7"), false),
        (format!("data: {padding}\n\n"), Some("7"), true),
    ] {
        for at in (0..=large.len()).step_by(7) {
            let layer = shared().with_max_event_bytes(50);
            let (_app, mut calls, stream, mut client) = opened(&layer).await;
            stream.events([7], true).await;
            let (first, second) = large.split_at(at);
            stream.send(first.to_owned()).await;
            stream.send(second.to_owned()).await;
            stream.fail().await;
            let call = calls.recv().await.unwrap();
            assert_eq!(call.last_event_id(), asked, "{large} cut at {at}");
            call.open().send("data: 9\n\n").await;
            let mut texts = client.texts(2).await;
            assert_eq!(texts.remove(0), "7");
            while gap && texts.last().is_some_and(|text| text != "9") {
                texts.push(client.text().await);
            }
            let told = texts.iter().any(|text| text == "stream-gap:1");
            assert_eq!(told, gap, "{large} cut at {at}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_retry_in_an_event_that_is_too_large_or_never_ends_is_waited_for_and_told() {
    let padding = "x".repeat(100);
    for sent in [
        format!("data: {padding}\nretry: 20000\n\n"),
        format!("data: {padding}\n\nretry: 20000\n"),
        format!("data: {padding}\nretry: 20000\n"),
        "data: a\nretry: 20000\n".to_owned(),
        "id: 2\nretry: 20000\n: c".to_owned(),
    ] {
        for at in (0..=sent.len()).step_by(5) {
            let layer = shared().with_max_event_bytes(50);
            let (_app, mut calls, stream, mut client) = opened(&layer).await;
            stream.events([1], true).await;
            let (first, second) = sent.split_at(at);
            stream.send(first.to_owned()).await;
            stream.send(second.to_owned()).await;
            stream.fail().await;
            let lost = Instant::now();
            let call = calls.recv().await.unwrap();
            assert!(
                lost.elapsed() >= Duration::from_secs(20),
                "{sent:?} at {at}"
            );
            call.open().send("data: last\n\n").await;
            let got = until(&mut client, "data: last\n\n").await;
            assert!(got.contains("retry: 20000\n"), "{got:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_lf_of_a_last_blank_line_is_there() {
    let (_app, _calls, stream, mut client) = opened(&shared()).await;
    stream.send("data: 1\r\r").await;
    stream.send("\n").await;
    stream.send("data: 2\n\n").await;
    let mut text = String::new();
    while !text.ends_with("data: 2\n\n") {
        text += std::str::from_utf8(&client.chunk().await.unwrap()).unwrap();
    }
    assert!(text.contains("\rdata: 1\r\r\nid: "), "{text:?}");
}

#[tokio::test(start_paused = true)]
async fn a_gap_ends_its_lines_as_the_stream_does() {
    let (_app, mut calls, stream, mut client) = opened(&shared()).await;
    stream.send("data: 1\r\n\r\n").await;
    stream.fail().await;
    let _stream = calls.recv().await.unwrap().open();
    assert_eq!(
        until(&mut client, "data: null\r\n\r\n").await,
        "data: 1\r\n\r\nevent: stream-gap\r\ndata: null\r\n\r\n"
    );
}
