//! A gateway that is succeeded by another again and again, on the same port, while its upstream goes on: what its clients
//! make of it.

use crate::chains::{Feed, Ids};
use crate::client::{Client, Event, get};
use crate::gateway::Gateway;

const FLAGS: [&str; 2] = ["--share", "on"];

/// So many events come before a gateway is killed, while it is away, and behind that.
const EVENTS: u32 = 50;

/// A client that comes back each time with its last event ID.
#[derive(Default)]
struct Reader {
    events: Vec<Event>,
    last_id: String,
}

impl Reader {
    async fn come(&self, gateway: &Gateway) -> Client {
        let id = format!("Last-Event-ID: {}", self.last_id);
        let lines: &[&str] = if self.last_id.is_empty() { &[] } else { &[&id] };
        Client::open(gateway, &get(lines)).await
    }

    /// Reads up to the event with this number.
    async fn read(&mut self, client: &mut Client, number: u32) {
        let number = number.to_string();
        while self.events.last().is_none_or(|last| last.data != number) {
            let event = client.next().await.expect("an event");
            self.last_id.clone_from(&event.id);
            self.events.push(event);
        }
    }
}

/// What two clients have seen after so many successors. One is killed in the middle of what it reads.
async fn succeeded(ids: Ids, successors: u32) -> [Vec<Event>; 2] {
    let feed = Feed::start(ids).await;
    let mut gateway = Gateway::with(&feed.url, &FLAGS, &[]);
    let [mut one, mut other] = [Reader::default(), Reader::default()];
    let mut last = 0;
    for round in 0..=successors {
        let mut clients = [one.come(&gateway).await, other.come(&gateway).await];
        feed.publish(EVENTS);
        last += EVENTS;
        one.read(&mut clients[0], last).await;
        other.read(&mut clients[1], last - EVENTS / 2).await;
        if round < successors {
            gateway = gateway.succeeded_by(&feed.url, &FLAGS);
            feed.publish(EVENTS);
            last += EVENTS;
        } else {
            other.read(&mut clients[1], last).await;
        }
    }
    [one.events, other.events]
}

#[tokio::test]
async fn nothing_is_lost_or_told_as_lost_where_the_upstream_honours_its_ids() {
    for successors in [6, 9] {
        let expected = Vec::from_iter((1..=EVENTS * (2 * successors + 1)).map(|n| n.to_string()));
        for events in succeeded(Ids::All, successors).await {
            let data = Vec::from_iter(events.into_iter().map(|event| event.data));
            assert_eq!(data, expected, "{successors} successors");
        }
    }
}

#[tokio::test]
async fn nothing_is_out_of_order_or_doubled_untold_where_some_events_have_ids() {
    for events in succeeded(Ids::EveryThird, 8).await {
        let mut before = 0;
        let mut is_told = false;
        for event in events {
            if event.kind == "stream-gap" {
                is_told = true;
                continue;
            }
            let number: u32 = event.data.parse().expect("a number");
            assert!(number == before + 1 || is_told, "{number} behind {before}");
            before = number;
            is_told = false;
        }
    }
}
