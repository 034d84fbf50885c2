//! Clients that are caught up by one request: each reads at its own pace what the request brings.
//!
//! The upstream is read as fast as the member that is furthest ahead reads. What the others have yet to read is kept as far
//! as there is room; whoever falls behind that is told so, and does not hold the others up.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::sync::{Notify, Semaphore};

use super::super::template::Template;
use super::window::{Step, Window};
use crate::slots::{self, Slots};

pub(super) struct Group {
    /// What its request is made of.
    template: Arc<Template>,
    state: Mutex<State>,
    /// The step that was given last was taken by a member.
    taken: Notify,
    /// The last member has left.
    left: Notify,
}

struct State {
    window: Window,
    /// How far the member has read that was ever furthest ahead.
    taken: u64,
    end: Option<End>,
    /// Whether others may join while all is kept from the beginning on.
    is_open: bool,
    /// Whether it is for its first member alone.
    is_own: bool,
    /// Where the first of its members would go on in the relay's log.
    position: u64,
    /// With the waker of each that waits.
    members: Slots<Option<Waker>>,
    /// Whether one has joined already.
    had_one: bool,
}

/// How a catch-up ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The relay has the last event too.
    Met,
    /// Nothing came, neither here nor to the relay.
    Nothing,
    Failed,
    /// There was no time left, for those who came first.
    OutOfTime,
}

/// What a member reads.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    Step(Step),
    End(End),
    /// The next step is not kept any more.
    Lost,
    /// The answer is another member's own.
    NotForAll,
}

pub(super) struct Member {
    group: Arc<Group>,
    slot: usize,
    /// Whether the request was made for it.
    is_first: bool,
    /// The step that it reads next.
    next: u64,
}

impl Group {
    pub(super) fn new(template: Arc<Template>, room: Arc<Semaphore>) -> Self {
        Group {
            template,
            state: Mutex::new(State {
                window: Window::new(room),
                taken: 0,
                end: None,
                is_open: true,
                is_own: false,
                position: u64::MAX,
                members: Slots::default(),
                had_one: false,
            }),
            taken: Notify::new(),
            left: Notify::new(),
        }
    }

    /// A client that would make this request joins, if it can be given all from the beginning on.
    pub(super) fn join(self: &Arc<Self>, template: &Template, position: u64) -> Option<Member> {
        if !self.template.is_same(template) {
            return None;
        }
        let mut state = self.lock();
        if !state.is_open || !state.window.is_whole() {
            return None;
        }
        state.position = state.position.min(position);
        let is_first = !std::mem::replace(&mut state.had_one, true);
        let slot = state.members.enter(None);
        drop(state);
        Some(Member {
            group: Arc::clone(self),
            slot,
            is_first,
            next: 0,
        })
    }

    /// Lets nobody in any more.
    pub(super) fn close(&self) {
        self.lock().is_open = false;
    }

    /// Where the first of its members would go on in the relay's log.
    pub(super) fn position(&self) -> u64 {
        self.lock().position
    }

    /// Lets nobody in any more, unless somebody has come who would go on before this position.
    pub(super) fn close_at(&self, position: u64) -> bool {
        let mut state = self.lock();
        state.is_open &= state.position < position;
        state.position >= position
    }

    /// Leaves it to its first member. Before anything was given.
    pub(super) fn leave_to_first(&self) {
        let mut state = self.lock();
        state.is_open = false;
        state.is_own = true;
        wake(state);
    }

    /// Waits until some member has taken all that was given, and gives more.
    pub(super) async fn give(&self, step: Step) {
        while !self.is_taken() {
            self.taken.notified().await;
        }
        let mut state = self.lock();
        state.window.push(step);
        wake(state);
    }

    fn is_taken(&self) -> bool {
        let state = self.lock();
        state.taken == state.window.end()
    }

    /// Ends it, unless it has ended. Tells whether others may still come for what it was given.
    pub(super) fn finish(&self, end: End) -> bool {
        let mut state = self.lock();
        if state.end.is_some() {
            return false;
        }
        state.end = Some(end);
        state.is_open &= end == End::Met && state.window.is_whole();
        let is_open = state.is_open;
        wake(state);
        is_open
    }

    /// Waits until the last member has left. Nobody is let in then.
    pub(super) async fn abandoned(&self) {
        self.left.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wakes all who wait, when nothing is locked any more.
fn wake(mut state: MutexGuard<'_, State>) {
    let waiting: Vec<Waker> = state
        .members
        .all_mut()
        .iter_mut()
        .filter_map(Option::take)
        .collect();
    drop(state);
    waiting.into_iter().for_each(Waker::wake);
}

impl Member {
    /// Whether the request was made for it.
    pub(super) fn is_first(&self) -> bool {
        self.is_first
    }

    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        let mut guard = self.group.lock();
        let state = &mut *guard;
        if state.is_own && !self.is_first() {
            return Poll::Ready(Next::NotForAll);
        }
        if let Some(step) = state.window.get(self.next) {
            let step = step.clone();
            self.next += 1;
            if state.members.len() == 1 && !state.window.is_whole() {
                state.window.drop_before(self.next);
            }
            if self.next > state.taken {
                state.taken = self.next;
                self.group.taken.notify_one();
            }
            return Poll::Ready(Next::Step(step));
        }
        if self.next < state.window.end() {
            return Poll::Ready(Next::Lost);
        }
        if let Some(end) = state.end {
            return Poll::Ready(Next::End(end));
        }
        slots::wait(&mut state.members[self.slot], cx.waker());
        Poll::Pending
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut state = self.group.lock();
        state.members.leave(self.slot);
        if state.members.is_empty() && state.end.is_none() {
            state.is_open = false;
            self.group.left.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use bytes::Bytes;
    use http::Request;
    use tokio::task::yield_now;

    use super::*;

    fn group() -> (Arc<Group>, Arc<Template>) {
        let (parts, ()) = Request::new(()).into_parts();
        let template = Arc::new(Template::new(parts, Bytes::new()));
        let room = Arc::new(Semaphore::new(1024 * 1024));
        (Arc::new(Group::new(Arc::clone(&template), room)), template)
    }

    fn step(number: usize) -> Step {
        Step {
            bytes: number.to_string().into(),
            id: None,
            is_exact: false,
        }
    }

    async fn read(mut member: Member, steps: usize, pause: usize) -> Vec<Next> {
        let mut read = Vec::new();
        while read.len() < steps {
            let next = poll_fn(|cx| member.poll_next(cx)).await;
            let is_last = !matches!(next, Next::Step(_));
            read.push(next);
            if is_last {
                break;
            }
            for _ in 0..read.len() % (pause + 1) {
                yield_now().await;
            }
        }
        read
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn whoever_comes_and_leaves_the_others_are_given_all() {
        const STEPS: usize = 500;
        for _ in 0..20 {
            let (group, template) = group();
            let mut reading = Vec::new();
            for number in 0..40 {
                let member = group.join(&template, 0).expect("it is open");
                // Half of them leave on the way.
                let steps = match number % 2 {
                    0 => usize::MAX,
                    _ => number * 10,
                };
                reading.push((steps, tokio::spawn(read(member, steps, number % 7))));
            }
            for number in 0..STEPS {
                group.give(step(number)).await;
            }
            assert!(group.finish(End::Met));
            let late = group.join(&template, 0).expect("it has all");
            reading.push((usize::MAX, tokio::spawn(read(late, usize::MAX, 0))));
            for (steps, reading) in reading {
                let mut expected: Vec<_> = (0..STEPS).map(|n| Next::Step(step(n))).collect();
                expected.push(Next::End(End::Met));
                expected.truncate(steps);
                assert_eq!(reading.await.expect("it reads"), expected);
            }
        }
    }

    #[tokio::test]
    async fn nobody_joins_what_was_left_failed_or_is_at_another_place() {
        let (group, template) = group();
        drop(group.join(&template, 0));
        group.abandoned().await;
        assert!(group.join(&template, 0).is_none());

        let (group, template) = self::group();
        let _member = group.join(&template, 7);
        assert!(!group.finish(End::Failed));
        assert!(group.join(&template, 7).is_none());

        let (group, template) = self::group();
        let _members = [group.join(&template, 7), group.join(&template, 5)];
        assert!(!group.close_at(7), "somebody came before that position");
        assert!(group.close_at(5));
        assert!(group.join(&template, 7).is_none());

        let (group, _) = self::group();
        let (mut parts, ()) = Request::new(()).into_parts();
        parts.uri = "/another".parse().expect("a path");
        let another = Template::new(parts, Bytes::new());
        assert!(group.join(&another, 0).is_none());
    }
}
