//! The event streams of the demo's upstream, written as such servers are: data, and little else.
//!
//! A stream is an iterator of what to say and when ([`Said`]); [`Timed`] is the one body that waits and says it. What a
//! stream says depends on the time alone, so a client that comes back can see whether it missed something.

use std::{
    collections::VecDeque,
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll, ready},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http_body::{Body, Frame};
use serde_json::json;
use tokio::time::{Instant, Sleep, sleep_until};

use super::seen::unix_millis;

/// How fast the streams go. Tests do not wait for people.
#[derive(Clone, Copy)]
pub(super) struct Pace {
    pub(super) tick: Duration,
    pub(super) notice: Duration,
    pub(super) news: Duration,
    pub(super) first_token: Duration,
    pub(super) token: Duration,
    pub(super) outage: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            tick: Duration::from_secs(1),
            notice: Duration::from_secs(2),
            news: Duration::from_secs(1),
            // A model thinks before it speaks, and that is when idle connections are lost.
            first_token: Duration::from_millis(1600),
            // Slow enough for a hand on a button.
            token: Duration::from_millis(90),
            outage: Duration::from_secs(2),
        }
    }
}

/// When the upstream began, on both clocks.
#[derive(Clone, Copy)]
pub(super) struct Born {
    at: Instant,
    wall: SystemTime,
}

impl Born {
    pub(super) fn now() -> Self {
        Self {
            at: Instant::now(),
            wall: SystemTime::now(),
        }
    }

    fn unix_millis(&self, when: Instant) -> u64 {
        unix_millis(self.wall + when.duration_since(self.at))
    }

    /// How many whole periods have passed.
    fn passed(&self, period: Duration) -> u64 {
        let count = self.at.elapsed().as_nanos() / period.as_nanos().max(1);
        u64::try_from(count).unwrap_or(u64::MAX)
    }
}

pub(super) type Said = (Instant, Bytes);

/// A body that says each thing when its time has come.
pub(super) struct Timed<G> {
    said: Box<dyn Iterator<Item = Said> + Send>,
    next: Option<Bytes>,
    sleep: Pin<Box<Sleep>>,
    /// Held for as long as the stream is open, whichever way it ends.
    _guard: G,
}

impl<G> Timed<G> {
    pub(super) fn new(said: impl Iterator<Item = Said> + Send + 'static, guard: G) -> Self {
        Self {
            said: Box::new(said),
            next: None,
            sleep: Box::pin(sleep_until(Instant::now())),
            _guard: guard,
        }
    }
}

impl<G: Unpin> Body for Timed<G> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.next.is_none() {
            let Some((when, bytes)) = self.said.next() else {
                return Poll::Ready(None);
            };
            self.next = Some(bytes);
            self.sleep.as_mut().reset(when);
        }
        ready!(self.sleep.as_mut().poll(cx));
        Poll::Ready(self.next.take().map(|bytes| Ok(Frame::data(bytes))))
    }
}

/// One event a second, without ids. A reader that stalls misses ticks, like everybody who looks away from a clock.
pub(super) fn clock(born: Born, pace: Pace) -> impl Iterator<Item = Said> + Send {
    let mut n = 0;
    std::iter::from_fn(move || {
        n = born.passed(pace.tick).max(n) + 1;
        let after = times(pace.tick, n);
        let time = humantime::format_rfc3339_millis(born.wall + after).to_string();
        Some((born.at + after, data(&json!({ "time": time, "n": n }))))
    })
}

/// The notices of one user, with the upstream's own ids.
pub(super) fn notices(
    born: Born,
    pace: Pace,
    user_id: String,
    last: Option<u64>,
) -> impl Iterator<Item = Said> + Send {
    numbered(born, pace.notice, last).map(move |(n, when)| {
        let said = json!({ "user_id": user_id, "n": n, "text": one_of(&NOTICES, n) });
        (
            when,
            Bytes::from(format!("id: {n}\nevent: add\ndata: {said}\n\n")),
        )
    })
}

/// The same news for everybody, with the upstream's own ids, and the Unix time in ms at which each was made.
pub(super) fn news(born: Born, pace: Pace, last: Option<u64>) -> impl Iterator<Item = Said> + Send {
    numbered(born, pace.news, last).map(move |(n, when)| {
        let said = json!({ "n": n, "at": born.unix_millis(when), "text": one_of(&NEWS, n) });
        (when, Bytes::from(format!("id: {n}\ndata: {said}\n\n")))
    })
}

/// A number each period and when it is due, from the one after `last` or from the newest.
///
/// What a client missed is due at once, up to [`REMEMBERED`]; an id from the future is taken at its word, and the
/// numbers go on from there.
fn numbered(
    born: Born,
    period: Duration,
    last: Option<u64>,
) -> impl Iterator<Item = (u64, Instant)> + Send {
    let newest = born.passed(period) + OLDER;
    let mut slot = match last {
        Some(last) if last <= newest => (last + 1).max((newest + 1).saturating_sub(REMEMBERED)),
        Some(_) => newest + 1,
        None => newest,
    };
    let ahead = last
        .map_or(0, |last| last.saturating_sub(newest))
        .min(u64::MAX / 2);
    std::iter::from_fn(move || {
        let n = slot.saturating_add(ahead);
        let when = born.at + times(period, slot.saturating_sub(OLDER));
        slot += 1;
        Some((n, when))
    })
}

fn one_of(texts: &[&'static str], n: u64) -> &'static str {
    texts[usize::try_from(n % texts.len() as u64).unwrap_or(0)]
}

/// A finite answer, token by token, as the APIs of language models stream it.
///
/// Each has its number and the Unix time in ms at which it was made.
pub(super) fn tokens(
    born: Born,
    pace: Pace,
    prompt: &str,
) -> impl Iterator<Item = Said> + Send + use<> {
    let mut when = Instant::now() + pace.first_token;
    let mut left = VecDeque::new();
    for (token, n) in answer(prompt).split_inclusive(' ').zip(1..) {
        let choices = json!([{ "delta": { "content": token } }]);
        let said = json!({ "n": n, "at": born.unix_millis(when), "choices": choices });
        left.push_back((when, data(&said)));
        when += pace.token;
    }
    left.push_back((when, Bytes::from_static(b"data: [DONE]\n\n")));
    std::iter::from_fn(move || left.pop_front())
}

fn answer(prompt: &str) -> String {
    let prompt: String = prompt.split_whitespace().collect::<Vec<_>>().join("\u{a0}");
    let asked = if prompt.is_empty() {
        String::new()
    } else {
        format!("“{prompt}” — ")
    };
    asked + ANSWER
}

fn data(value: &serde_json::Value) -> Bytes {
    Bytes::from(format!("data: {value}\n\n"))
}

fn times(period: Duration, n: u64) -> Duration {
    period.saturating_mul(u32::try_from(n).unwrap_or(u32::MAX))
}

/// What there was before the upstream began, so that the first client already has a past to resume from.
const OLDER: u64 = 40;

/// How much of what was missed is said again.
const REMEMBERED: u64 = 50;

const NOTICES: [&str; 8] = [
    "您的订单已发货，预计明天送达。",
    "李雷评论了您的文章：“写得真好！”",
    "会议将于十五分钟后开始，请准时参加。",
    "您有一条来自客服的新消息。",
    "付款成功：人民币 128.00 元。",
    "韩梅梅开始关注您。",
    "系统将于今晚两点升级，届时服务不会中断。",
    "您的快递已放入三号楼快递柜，取件码 4821。",
];

const NEWS: [&str; 8] = [
    "the harbour ferry has left",
    "gate 4 is open for boarding",
    "build 118 has passed",
    "it has begun to rain in Lisbon",
    "a parcel is out for delivery",
    "the night train is on time",
    "the kettle has boiled",
    "three new books are in",
];

const ANSWER: &str = "An answer often begins with a long silence, while the model thinks. Nothing is sent, and somewhere \
    between here and there a proxy decides that the connection is dead. A comment line every few seconds keeps all of \
    them awake, and no client ever sees it. Then the tokens come, one small event at a time, until the last one says: done.";

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace {
        tick: Duration::from_secs(1),
        notice: Duration::from_secs(2),
        news: Duration::from_secs(1),
        first_token: Duration::from_secs(1),
        token: Duration::from_millis(50),
        outage: Duration::from_secs(1),
    };

    fn ids(said: impl Iterator<Item = Said>, count: usize) -> Vec<String> {
        said.take(count)
            .map(|(_, bytes)| {
                let text = String::from_utf8(bytes.to_vec()).expect("text");
                text.lines().next().expect("a line").to_owned()
            })
            .collect()
    }

    #[tokio::test(start_paused = true)]
    async fn the_clock_ticks_on_whole_periods_and_skips_what_nobody_read() {
        let born = Born::now();
        let mut clock = clock(born, PACE);
        let (when, bytes) = clock.next().expect("endless");
        assert_eq!(when, born.at + PACE.tick);
        let text = String::from_utf8(bytes.to_vec()).expect("text");
        assert!(
            text.starts_with("data: {\"n\":1,\"time\":\"") && text.ends_with("Z\"}\n\n"),
            "{text}"
        );
        tokio::time::advance(Duration::from_millis(5500)).await;
        let (when, _) = clock.next().expect("endless");
        assert_eq!(when, born.at + PACE.tick * 6);
    }

    #[tokio::test(start_paused = true)]
    async fn notices_begin_with_the_newest_and_resume_after_the_last_seen() {
        let born = Born::now();
        let user = || "7".to_owned();
        assert_eq!(
            ids(notices(born, PACE, user(), None), 2),
            ["id: 40", "id: 41"]
        );
        assert_eq!(
            ids(notices(born, PACE, user(), Some(38)), 3),
            ["id: 39", "id: 40", "id: 41"]
        );
        tokio::time::advance(PACE.notice * 3).await;
        let resumed: Vec<_> = notices(born, PACE, user(), Some(41)).take(3).collect();
        let due = resumed.iter().map(|(when, _)| *when <= Instant::now());
        assert_eq!(
            due.collect::<Vec<_>>(),
            [true, true, false],
            "what was missed comes at once, the next in its time"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn news_tell_when_they_were_made_also_when_they_come_late() {
        let born = Born::now();
        tokio::time::advance(PACE.news * 3).await;
        let late: Vec<_> = news(born, PACE, Some(41)).take(3).collect();
        let at = |after: u32| unix_millis(born.wall + PACE.news * after);
        for ((when, bytes), after) in late.iter().zip(2..) {
            let text = String::from_utf8(bytes.to_vec()).expect("text");
            let begin = format!(
                "id: {n}\ndata: {{\"at\":{},\"n\":{n},",
                at(after),
                n = OLDER + u64::from(after)
            );
            assert!(text.starts_with(&begin), "{text}");
            assert_eq!(*when, born.at + PACE.news * after);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn odd_last_event_ids_do_no_harm() {
        let born = Born::now();
        let user = || "7".to_owned();
        assert_eq!(
            ids(notices(born, PACE, user(), Some(1000)), 2),
            ["id: 1001", "id: 1002"]
        );
        tokio::time::advance(PACE.notice * 100).await;
        assert_eq!(ids(notices(born, PACE, user(), Some(0)), 1), ["id: 91"]);
        assert_eq!(ids(notices(born, PACE, user(), Some(u64::MAX)), 2).len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn tokens_end_with_done() {
        let born = Born::now();
        let said: Vec<_> = tokens(born, PACE, "why?\nsay").collect();
        assert!((50..90).contains(&said.len()), "{}", said.len());
        assert_eq!(said[0].0, Instant::now() + PACE.first_token);
        let at = unix_millis(born.wall + PACE.first_token);
        let choices = "[{\"delta\":{\"content\":\"“why?\u{a0}say” \"}}]";
        let first = format!("data: {{\"at\":{at},\"choices\":{choices},\"n\":1}}\n\n");
        assert_eq!(said[0].1, first);
        assert_eq!(said[said.len() - 1].1, "data: [DONE]\n\n");
    }
}
