//! The three event streams of the demo's upstream, written as such servers are: data, and little else.
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

/// How fast the streams go. Tests do not wait for people.
#[derive(Clone, Copy)]
pub(super) struct Pace {
    pub(super) tick: Duration,
    pub(super) notice: Duration,
    pub(super) first_token: Duration,
    pub(super) token: Duration,
    pub(super) outage: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            tick: Duration::from_secs(1),
            notice: Duration::from_secs(2),
            // A model thinks before it speaks, and that is when idle connections are lost.
            first_token: Duration::from_millis(1600),
            token: Duration::from_millis(40),
            outage: Duration::from_secs(1),
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

    /// How many whole periods have passed.
    fn passed(&self, period: Duration) -> u64 {
        let count = self.at.elapsed().as_nanos() / period.as_nanos().max(1);
        u64::try_from(count).unwrap_or(u64::MAX)
    }
}

type Said = (Instant, Bytes);

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

/// The notices of one user, with the upstream's own ids, from the one after `last` or from the newest.
///
/// What a client missed is said at once, up to [`REMEMBERED`]; an id from the future is taken at its word, and the
/// numbers go on from there.
pub(super) fn notices(
    born: Born,
    pace: Pace,
    user_id: String,
    last: Option<u64>,
) -> impl Iterator<Item = Said> + Send {
    let newest = born.passed(pace.notice) + OLDER;
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
        let when = born.at + times(pace.notice, slot.saturating_sub(OLDER));
        slot += 1;
        let index = usize::try_from(n % NOTICES.len() as u64).unwrap_or(0);
        let said = json!({ "user_id": user_id, "n": n, "text": NOTICES[index] });
        Some((
            when,
            Bytes::from(format!("id: {n}\nevent: add\ndata: {said}\n\n")),
        ))
    })
}

/// A finite answer, token by token, as the APIs of language models stream it.
pub(super) fn tokens(pace: Pace, prompt: &str) -> impl Iterator<Item = Said> + Send + use<> {
    let mut left: VecDeque<Bytes> = answer(prompt)
        .split_inclusive(' ')
        .map(|token| data(&json!({ "choices": [{ "delta": { "content": token } }] })))
        .chain([Bytes::from_static(b"data: [DONE]\n\n")])
        .collect();
    let mut when = Instant::now() + pace.first_token;
    std::iter::from_fn(move || {
        let said = (when, left.pop_front()?);
        when += pace.token;
        Some(said)
    })
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

/// Notices there were before the upstream began, so that the first client already has a past to resume from.
const OLDER: u64 = 40;

/// How many missed notices are said again.
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

const ANSWER: &str = "An answer often begins with a long silence, while the model thinks. Nothing is sent, and somewhere \
    between here and there a proxy decides that the connection is dead. A comment line every few seconds keeps all of \
    them awake, and no client ever sees it. Then the tokens come, one small event at a time, until the last one says: done.";

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace {
        tick: Duration::from_secs(1),
        notice: Duration::from_secs(2),
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
        let said: Vec<_> = tokens(PACE, "why?\nsay").collect();
        assert!((50..90).contains(&said.len()), "{}", said.len());
        assert_eq!(said[0].0, Instant::now() + PACE.first_token);
        assert_eq!(
            said[0].1,
            "data: {\"choices\":[{\"delta\":{\"content\":\"“why?\u{a0}say” \"}}]}\n\n"
        );
        assert_eq!(said[said.len() - 1].1, "data: [DONE]\n\n");
    }
}
