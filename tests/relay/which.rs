//! Which requests share a stream that was opened before there is an answer, and to whom what is answered then is given.

use std::time::Duration;

use http::StatusCode;
use tokio::sync::mpsc::Receiver;
use tower_sse::relay::{Key, NoUpstream, OnLeave, RelayLayer};

use crate::client::{App, Client, app, get, numbers, send};
use crate::upstream::{Call, upstream};

/// A relay that opens streams at once, or after a while.
fn early(key: &str, holds: bool) -> RelayLayer {
    RelayLayer::shared(key.parse().unwrap())
        .with_hold(holds)
        .with_open_after((!holds).then_some(Duration::from_secs(1)))
        .with_on_leave(OnLeave::Cancel)
}

/// Clients with these fields, whose streams are open and who wait for one answer.
async fn waiting<const N: usize>(
    app: &App,
    calls: &mut Receiver<Call>,
    fields: [(&str, &str); N],
) -> ([Client; N], Call) {
    let mut clients = Vec::new();
    for (name, value) in fields {
        clients.push(send(app, get("/").header(name, value), "").client().await);
    }
    let call = calls.recv().await.unwrap();
    let Ok(clients) = clients.try_into() else {
        unreachable!("as many as there are fields");
    };
    (clients, call)
}

const SAME: (&str, &str) = ("user-agent", "any");

/// What is for one client alone.
const PRIVATE: [&[(&str, &str)]; 5] = [
    &[("cache-control", "private")],
    &[("vary", "*")],
    &[("vary", "x-forwarded-for")],
    &[("cache-control", "max-age=0, private=\"x\"")],
    &[("vary", "origin, *")],
];

#[tokio::test(start_paused = true)]
async fn a_late_stream_that_is_private_reaches_nobody_who_shares() {
    for holds in [true, false] {
        for fields in PRIVATE {
            let (fake, mut calls) = upstream();
            let app = app(&early("default", holds), &fake);
            let (mut clients, call) = waiting(&app, &mut calls, [SAME; 3]).await;
            call.open_with(fields).try_send("data: secret\n\n").await;
            for client in &mut clients {
                assert_eq!(client.text().await, "(end)", "{fields:?}");
            }
            // Each comes back and asks for itself.
            let mut open = Vec::new();
            for number in 1..=3 {
                let waits = send(&app, get("/"), "");
                let call = calls.recv().await.unwrap();
                let stream = call.open_with(fields);
                stream.events([number], false).await;
                let mut client = waits.client().await;
                assert_eq!(client.text().await, number.to_string(), "{fields:?}");
                open.push((client, stream));
            }
            for (client, _) in &mut open {
                assert!(client.is_silent().await);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_stream_that_is_private_is_kept_by_who_is_alone_and_joined_by_nobody() {
    for holds in [true, false] {
        let (fake, mut calls) = upstream();
        let app = app(&early("default", holds), &fake);
        let ([mut alone], call) = waiting(&app, &mut calls, [SAME]).await;
        let stream = call.open_with(&[("cache-control", "private")]);
        stream.events([1], false).await;
        assert_eq!(alone.text().await, "1");
        let other = send(&app, get("/"), "");
        let call = calls.recv().await.unwrap();
        call.open_with(&[("cache-control", "private")])
            .events([2], false)
            .await;
        assert_eq!(other.client().await.text().await, "2");
        assert!(alone.is_silent().await);
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_private_stream_is_not_kept_where_something_was_left_out_of_the_request() {
    for holds in [true, false] {
        let (fake, mut calls) = upstream();
        let app = app(&early("path", holds), &fake);
        let mine = ("authorization", "mine");
        let ([mut alone], call) = waiting(&app, &mut calls, [mine]).await;
        assert!(!call.request.headers().contains_key("authorization"));
        let private = [("cache-control", "private")];
        call.open_with(&private)
            .try_send("data: nobody's\n\n")
            .await;
        assert_eq!(alone.text().await, "(end)");
        // It does not go on like that: the next request is its own.
        let again = send(&app, get("/").header(mine.0, mine.1), "");
        let call = calls.recv().await.unwrap();
        assert_eq!(call.request.headers()["authorization"], "mine");
        call.open_with(&private).events([1], false).await;
        assert_eq!(again.client().await.text().await, "1");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_private_is_shared_where_the_route_insists() {
    for fields in PRIVATE {
        let (fake, mut calls) = upstream();
        let layer = early("default", true).with_insistence(true);
        let app = app(&layer, &fake);
        let (mut clients, call) = waiting(&app, &mut calls, [SAME; 2]).await;
        let stream = call.open_with(fields);
        stream.events([1], false).await;
        for client in &mut clients {
            assert_eq!(client.text().await, "1", "{fields:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_document_for_one_alone_reaches_nobody_who_shares() {
    let json = ("content-type", "application/json");
    for own in [
        ("set-cookie", "session=1"),
        ("cache-control", "no-store"),
        ("cache-control", "private"),
        ("vary", "*"),
    ] {
        let (fake, mut calls) = upstream();
        let app = app(&early("default", true), &fake);
        let (mut clients, call) = waiting(&app, &mut calls, [SAME; 2]).await;
        call.answer(200, &[json, own])
            .try_send("{\"of\":\"one\"}")
            .await;
        for client in &mut clients {
            assert_eq!(client.text().await, "(end)", "{own:?}");
        }
        // Who is alone has it, and it is not replayed to others.
        let ([mut alone], call) = waiting(&app, &mut calls, [SAME]).await;
        call.answer(200, &[json, own]).send("{\"of\":1}").await;
        assert_eq!(alone.texts(2).await, ["{\"of\":1}", "(end)"], "{own:?}");
        let stranger = get("/").header("last-event-id", "7");
        let mut stranger = send(&app, stranger, "").client().await;
        let call = calls.recv().await.unwrap();
        call.answer(200, &[json, own]).send("{\"of\":2}").await;
        assert_eq!(
            stranger.texts(2).await,
            ["stream-gap:null", "{\"of\":2}"],
            "{own:?}"
        );
    }
    // One that is for all is given to all.
    let (fake, mut calls) = upstream();
    let app = app(&early("default", true), &fake);
    let (mut clients, call) = waiting(&app, &mut calls, [SAME; 2]).await;
    call.answer(200, &[json]).send("{}").await;
    for client in &mut clients {
        assert_eq!(client.texts(2).await, ["{}", "(end)"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_204_for_one_alone_stops_nobody_else() {
    let (fake, mut calls) = upstream();
    let app = app(&early("default", true), &fake);
    let (mut clients, call) = waiting(&app, &mut calls, [SAME; 2]).await;
    call.answer(204, &[("cache-control", "private")]);
    for client in &mut clients {
        assert_eq!(client.text().await, "(end)");
    }
    // It is not kept as the end of all.
    let ([mut other], call) = waiting(&app, &mut calls, [SAME]).await;
    call.open().events([1], false).await;
    assert_eq!(other.text().await, "1");
}

#[tokio::test(start_paused = true)]
async fn a_late_vary_lets_those_go_who_may_differ_and_each_finds_its_own() {
    for holds in [true, false] {
        let (fake, mut calls) = upstream();
        let app = app(&early("path", holds), &fake);
        let origins = [("origin", "https://a"), ("origin", "https://b")];
        let (mut clients, call) = waiting(&app, &mut calls, origins).await;
        let vary = [("vary", "Origin")];
        call.open_with(&vary).try_send("data: of none\n\n").await;
        for client in &mut clients {
            assert_eq!(client.text().await, "(end)");
        }
        let mut open = Vec::new();
        for origin in origins {
            let (mut both, call) = waiting(&app, &mut calls, [origin; 2]).await;
            assert_eq!(call.request.headers()["origin"], origin.1);
            let stream = call.open_with(&vary);
            stream.send(format!("data: {}\n\n", origin.1)).await;
            for client in &mut both {
                assert_eq!(client.text().await, origin.1);
            }
            open.push((both, stream));
        }
        assert!(calls.try_recv().is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_vary_by_what_is_in_the_key_lets_nobody_go() {
    let (fake, mut calls) = upstream();
    let app = app(&early("default", true), &fake);
    let (mut clients, call) = waiting(&app, &mut calls, [("origin", "https://a"); 2]).await;
    let fields = [("vary", "Origin, Accept-Encoding, Cookie")];
    call.open_with(&fields).events([1], false).await;
    for client in &mut clients {
        assert_eq!(client.text().await, "1");
    }
}

#[tokio::test(start_paused = true)]
async fn a_reconnect_whose_answer_has_become_private_reaches_nobody_who_shares() {
    let (fake, mut calls) = upstream();
    let layer = RelayLayer::shared(Key::default()).with_on_leave(OnLeave::Cancel);
    let app = app(&layer, &fake);
    let first = send(&app, get("/"), "");
    let stream = calls.recv().await.unwrap().open();
    let mut clients = [
        first.client().await,
        send(&app, get("/"), "").client().await,
    ];
    stream.events([1], true).await;
    for client in &mut clients {
        assert_eq!(client.text().await, "1");
    }
    stream.fail().await;
    let call = calls.recv().await.unwrap();
    let private = [("cache-control", "private")];
    call.open_with(&private).try_send("data: secret\n\n").await;
    for client in &mut clients {
        assert_eq!(client.text().await, "(end)");
    }
}

#[tokio::test(start_paused = true)]
async fn who_leads_alone_is_joined_once_it_is_known_whom_the_answer_is_for() {
    for holds in [true, false] {
        let (fake, mut calls) = upstream();
        let app = app(&early("path", holds), &fake);
        // Nobody waits for this key behind an answer for one alone.
        let first = send(&app, get("/"), "");
        let call = calls.recv().await.unwrap();
        let stream = call.open_with(&[("cache-control", "private")]);
        stream.events([0], false).await;
        assert_eq!(first.client().await.text().await, "0");

        let origin = |name: &str| get("/").header("origin", format!("https://{name}"));
        let mut one = send(&app, get("/"), "").client().await;
        let call = calls.recv().await.unwrap();
        // It is open, and it is not known for whom.
        let other = send(&app, get("/"), "");
        let of_other = calls.recv().await.unwrap();
        let mut other = other.client().await;
        let stream = call.open_with(&[("vary", "origin")]);
        stream.events([1], false).await;
        assert_eq!(one.text().await, "1");
        // Now it is, and so it can be joined by whom it suits.
        let mut same = send(&app, get("/"), "").client().await;
        let differs = send(&app, origin("b"), "");
        let of_differs = calls.recv().await.unwrap();
        assert_eq!(of_differs.request.headers()["origin"], "https://b");
        stream.events([2], false).await;
        assert_eq!(same.text().await, "2");
        let of_differs = of_differs.open_with(&[("vary", "origin")]);
        of_differs.events([3], false).await;
        assert_eq!(differs.client().await.text().await, "3");
        let of_other = of_other.open_with(&[("vary", "origin")]);
        of_other.events([4], false).await;
        assert_eq!(other.text().await, "4");
        assert!(same.is_silent().await);
    }
}

#[tokio::test(start_paused = true)]
async fn who_takes_anything_does_not_join_what_is_yet_to_be_a_stream() {
    let (fake, mut calls) = upstream();
    let app = app(&early("default", true), &fake);
    let (_early, call) = waiting(&app, &mut calls, [SAME]).await;
    let any = http::Request::get("/").header("accept", "*/*");
    let page = send(&app, any, "");
    let own = calls.recv().await.unwrap();
    own.answer(404, &[]).send("nothing here").await;
    let answer = page.answer().await;
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    assert_eq!(Client::of(answer).chunk().await.unwrap(), "nothing here");
    call.open().events([1], false).await;
}

#[tokio::test(start_paused = true)]
async fn a_post_that_is_shared_and_turns_out_to_be_for_one_ends_with_a_gap() {
    for clients in [1, 2] {
        let (fake, mut calls) = upstream();
        let app = app(&early("default, body", true), &fake);
        let post = || http::Request::post("/").header("accept", "text/event-stream");
        let mut open = Vec::new();
        for _ in 0..clients {
            open.push(send(&app, post(), "question").client().await);
        }
        let call = calls.recv().await.unwrap();
        let stream = call.open_with(&[("cache-control", "private")]);
        stream.try_send("data: answer\n\n").await;
        let expected = match clients {
            1 => "answer",
            _ => "stream-gap:null",
        };
        for client in &mut open {
            assert_eq!(client.text().await, expected);
        }
        assert!(calls.try_recv().is_err(), "it is made once");
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_upstream_is_the_same_for_all_unless_its_head_says_otherwise() {
    for status in [502, 503, 504] {
        for (own, is_marked, requests) in [
            (None, false, 1),
            (Some(("cache-control", "no-store")), false, 2),
            (Some(("cache-control", "private")), false, 2),
            (Some(("cache-control", "no-store")), true, 1),
            (Some(("vary", "origin")), true, 1),
        ] {
            let (fake, mut calls) = upstream();
            let app = app(&RelayLayer::shared(Key::default()), &fake);
            let both = [send(&app, get("/"), ""), send(&app, get("/"), "")];
            let mut fields = vec![("content-length", "4")];
            fields.extend(own);
            for _ in 0..requests {
                let call = calls.recv().await.unwrap();
                tokio::task::yield_now().await;
                let stream = match is_marked {
                    true => call.answer_marked(status, &fields, NoUpstream),
                    false => call.answer(status, &fields),
                };
                stream.send("gone").await;
            }
            for answer in both {
                let answer = answer.answer().await;
                assert_eq!(answer.status(), status);
                assert_eq!(Client::of(answer).chunk().await.unwrap(), "gone");
            }
            assert!(calls.try_recv().is_err(), "{status} {own:?} {is_marked}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_to_nobodys_request_that_is_not_for_all_goes_to_nobody() {
    let (fake, mut calls) = upstream();
    let app = app(&RelayLayer::shared("path".parse().unwrap()), &fake);
    let cookie = || get("/").header("cookie", "session=mine");
    let waits = send(&app, cookie(), "");
    let call = calls.recv().await.unwrap();
    assert!(!call.request.headers().contains_key("cookie"));
    // Without a session it makes one, which would take the place of the client's own.
    call.answer(
        302,
        &[("set-cookie", "session=new"), ("location", "/login")],
    );
    let call = calls.recv().await.unwrap();
    assert_eq!(call.request.headers()["cookie"], "session=mine");
    call.answer(200, &[("content-type", "text/html")]);
    let answer = waits.answer().await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(!answer.headers().contains_key("set-cookie"));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_differs_by_a_field_is_asked_for_with_it() {
    let (fake, mut calls) = upstream();
    let app = app(&RelayLayer::shared("path".parse().unwrap()), &fake);
    let origin = |name: &str| get("/").header("origin", format!("https://{name}"));
    let both = [
        send(&app, origin("good"), ""),
        send(&app, origin("evil"), ""),
    ];
    let call = calls.recv().await.unwrap();
    assert!(!call.request.headers().contains_key("origin"));
    tokio::task::yield_now().await;
    let refusal = [("vary", "origin"), ("content-length", "0")];
    call.answer(403, &refusal);
    for _ in 0..2 {
        let call = calls.recv().await.unwrap();
        match call.request.headers()["origin"].as_bytes() {
            b"https://good" => {
                call.open_with(&[("vary", "origin")])
                    .events([1], false)
                    .await
            }
            _ => drop(call.answer(403, &refusal)),
        }
    }
    let [good, evil] = both;
    assert_eq!(good.client().await.texts(1).await, numbers(1..=1));
    assert_eq!(evil.answer().await.status(), StatusCode::FORBIDDEN);
}
