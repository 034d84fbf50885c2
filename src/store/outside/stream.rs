//! One stream that other gateways share.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::Instant;

use super::{Hub, Job, Look, Session, Subscription};
use crate::history::{Keep, MemoryLog};
use crate::store::redis::Name;
use crate::store::{
    Answer, Command, Context, Frame, InstanceId, Member, Message, Output, Part, Rules, Writing,
};

mod damage;
mod feed;
mod log;
mod reader;
mod state;
mod writer;

use damage::damage;
use state::{End, Fate, State};
pub(crate) use writer::{Lead, Term};

/// What a stream begins as.
pub(crate) struct Opening {
    pub(crate) log: MemoryLog,
    pub(crate) writing: Writing,
    pub(crate) part: Part,
    /// Whether the upstream is asked once, by whoever makes the log.
    pub(crate) asks_once: bool,
    /// What a full log of the owner keeps for its clients.
    pub(crate) keep: Keep,
    /// The upstream's id behind which a log is to begin that is not there yet.
    pub(crate) behind: Option<Bytes>,
    /// Whether its first client may have something of a log that has ended, by what was told last.
    pub(crate) wants_rest: Option<fn(&[u8]) -> bool>,
}

/// One stream that other gateways share.
pub(crate) struct Stream {
    pub(crate) hub: Arc<Hub>,
    pub(crate) name: Name,
    log: MemoryLog,
    writing: Writing,
    part: Part,
    asks_once: bool,
    keep: Keep,
    behind: Option<Bytes>,
    wants_rest: Option<fn(&[u8]) -> bool>,
    state: Mutex<State>,
    changed: watch::Sender<()>,
}

impl Stream {
    pub(super) fn new(hub: Arc<Hub>, name: Name, opening: Opening) -> Self {
        let Opening {
            log,
            writing,
            part,
            asks_once,
            keep,
            behind,
            wants_rest,
        } = opening;
        let member = Member::new(hub.me, Rules::default(), log.limit());
        let stream = Stream {
            hub,
            name,
            log,
            writing,
            part,
            asks_once,
            keep,
            behind,
            wants_rest,
            state: Mutex::new(State::new(member)),
            changed: watch::Sender::new(()),
        };
        stream.lock().member = stream.member();
        stream
    }

    fn member(&self) -> Member {
        let renew_every = u64::try_from(self.hub.lifetime.as_millis() / 4).unwrap_or(u64::MAX);
        let mut member = Member::new(self.hub.me, Rules::default(), self.log.limit())
            .with_writing(self.writing.clone())
            .with_part(self.part)
            .renew_every(renew_every);
        if self.asks_once {
            member = member.asking_once();
        }
        if let Some(behind) = &self.behind {
            member.begin_behind(behind.clone());
        }
        member
    }

    /// Whether the stream is this process' own, since the store was of no use for it.
    pub(crate) fn is_alone(&self) -> bool {
        self.lock().fate == Fate::Alone
    }

    pub(crate) fn connected(self: &Arc<Self>, session: &Arc<Session>) {
        let mut state = self.lock();
        let is_there = |known: &Arc<Session>| known.ticket == session.ticket;
        if state.fate != Fate::Shared || state.session.as_ref().is_some_and(is_there) {
            return;
        }
        state.session = Some(session.clone());
        state.answers.clear();
        // The store may have gone back to what was there before it.
        state.noted = None;
        // In front of any read: who owns a stream has to know whether others have opened it.
        session.look(Look::Told(self.clone(), state.lives));
        self.act(&mut state, |member, cx| {
            member.connected(session.reign, cx);
            member.tail_connected(session.reign, cx);
        });
        drop(state);
        self.tell_change();
    }

    /// The connections of this session are lost.
    pub(crate) fn disconnected(&self, session: u64) {
        let mut state = self.lock();
        if !state.is_of(session) {
            return;
        }
        state.session = None;
        state.answers.clear();
        state.gives_way = false;
        state.is_in_crowd = false;
        state.member.disconnected();
        state.member.tail_lost();
        drop(state);
        self.tell_change();
    }

    /// What is published from now on is heard.
    pub(crate) fn subscribed(self: &Arc<Self>, session: u64) {
        let mut state = self.lock();
        if !state.is_of(session) {
            return;
        }
        if let Some(session) = &state.session {
            session.look(Look::Told(self.clone(), state.lives));
        }
        self.act(&mut state, Member::subscribed);
        drop(state);
        self.tell_change();
    }

    /// What was published at the primary of this session.
    pub(crate) fn hear(self: &Arc<Self>, session: u64, message: &Message) {
        if let Message::Frame(bytes) = message {
            if let Err(error) = Frame::parse(bytes) {
                return self.leave_alone(&error);
            }
        }
        let mut state = self.lock();
        if !state.is_of(session) {
            return;
        }
        self.act(&mut state, |member, cx| member.hear(message, cx));
        drop(state);
        self.tell_change();
    }

    /// The owner has told something.
    pub(crate) fn hear_of_note(self: &Arc<Self>) {
        let state = self.lock();
        if let (Some(session), None) = (&state.session, state.member.fence()) {
            session.look(Look::Told(self.clone(), state.lives));
        }
    }

    /// What the store says was told last.
    pub(crate) fn told(&self, session: u64, life: u64, note: Option<Bytes>) {
        let mut state = self.lock();
        // What was told of a log that has given way says nothing of the next.
        let is_current = state.is_of(session) && life == state.lives;
        if !is_current || state.member.fence().is_some() {
            return;
        }
        if state.end == End::Asked {
            state.end = End::Known;
        }
        // How it has ended is yet to be told.
        if let Some(note) = note.filter(|_| !state.is_ending) {
            state.note = Some(note);
            self.tell_crowd(&mut state);
        }
        drop(state);
        self.tell_change();
    }

    pub(crate) fn beat(self: &Arc<Self>, session: u64, from: InstanceId, position: Option<u64>) {
        let mut state = self.lock();
        if !state.is_of(session) {
            return;
        }
        self.act(&mut state, |member, cx| member.beat(from, position, cx));
    }

    /// This instance hears nothing any more.
    pub(crate) fn gone(self: &Arc<Self>, session: u64, instance: InstanceId) {
        let mut state = self.lock();
        if state.is_of(session) {
            self.act(&mut state, |member, cx| member.gone(instance, cx));
        }
    }

    /// Whether there are clients here. Without any, others go first when the owner dies.
    pub(crate) fn want(&self, is_wanted: bool) {
        let mut state = self.lock();
        state.is_wanted = is_wanted;
        state.member.want(is_wanted);
        if state.member.is_owner() || state.note.is_some() {
            self.tell_crowd(&mut state);
        }
    }

    /// What the next heartbeat is to name.
    pub(crate) fn moved(&self) -> Option<u64> {
        self.lock().member.moved()
    }

    /// Time has passed.
    pub(crate) fn tick(self: &Arc<Self>) {
        let mut state = self.lock();
        if state.fate != Fate::Shared {
            return;
        }
        if state.renewed.elapsed() > self.hub.lifetime / 4 {
            state.renewed = Instant::now();
            if let Some(session) = &state.session {
                session.job(Job::Crowd(self.name, state.is_wanted));
            }
        }
        let was_missing = state.member.is_missing();
        let changed = self.act(&mut state, Member::tick);
        let is_missing = state.member.is_missing();
        drop(state);
        if changed || is_missing != was_missing {
            self.tell_change();
        }
    }

    /// The store may have lost the log.
    pub(crate) fn look_again(self: &Arc<Self>) {
        self.have(|member, cx| {
            member.look(cx);
        });
    }

    /// The answer to a command that was sent over this session.
    pub(crate) fn answered(self: &Arc<Self>, session: u64, number: u64, answer: Answer) {
        if let Some(error) = damage(&answer) {
            return self.leave_alone(&error);
        }
        let mut state = self.lock();
        if !state.is_of(session) {
            return;
        }
        let index = number.wrapping_sub(state.answered);
        let slot = usize::try_from(index)
            .ok()
            .and_then(|index| state.answers.get_mut(index));
        if let Some(slot) = slot {
            *slot = Some(answer);
        }
        while let Some(Some(_)) = state.answers.front() {
            let answer = state.answers.pop_front().flatten();
            state.answered += 1;
            if let Some(answer) = answer {
                self.log_answer(&answer);
                self.act(&mut state, |member, cx| member.answer(answer, cx));
            }
        }
        drop(state);
        self.tell_change();
    }

    /// The log that had ended is out of the way, or another was faster.
    pub(crate) fn gave_way(self: &Arc<Self>, session: u64) {
        let mut state = self.lock();
        let current = state
            .session
            .clone()
            .filter(|now| now.ticket.session == session);
        let Some(session) = current else { return };
        state.gives_way = false;
        state.lives += 1;
        state.note = None;
        state.end = End::Unknown;
        state.is_in_crowd = false;
        state.member = self.member();
        let is_wanted = state.is_wanted;
        state.member.want(is_wanted);
        // What is under way was asked for by the one before.
        state.answered += state.answers.len() as u64;
        state.answers.clear();
        session.look(Look::Told(self.clone(), state.lives));
        self.act(&mut state, |member, cx| {
            member.connected(session.reign, cx);
            member.tail_connected(session.reign, cx);
        });
        drop(state);
        self.tell_change();
    }

    /// What the store has cannot be used: clients here are given what this process asks for itself.
    pub(crate) fn leave_alone(self: &Arc<Self>, why: &dyn std::error::Error) {
        if self.be_alone() {
            // Who reads the upstream for all is to ask it anew.
            self.lock().term += 1;
            self.tell_change();
            self.hub.counts.left_alone.fetch_add(1, Ordering::Relaxed);
            let cause = why.source().map(ToString::to_string);
            tracing::warn!(stream = %self.name, %why, cause, "a stream in the store is left alone");
        }
    }

    /// The stream is this process' own from here on. Whether it was not before.
    pub(crate) fn be_alone(self: &Arc<Self>) -> bool {
        let mut state = self.lock();
        if state.fate != Fate::Shared {
            return false;
        }
        self.end(&mut state, Fate::Alone);
        // Where others count on under the same epoch, theirs are far below.
        let more = self
            .writing
            .shown
            .map_or(0, |_| FAR | self.hub.chance() >> 4);
        self.log.count_alone(more);
        drop(state);
        self.hub.forget(self);
        self.tell_change();
        true
    }

    pub(super) fn is_ending(&self) -> bool {
        self.lock().is_ending
    }

    /// Its relay has ended. Another may follow the stream from here on.
    pub(crate) fn begin_to_end(&self) {
        self.lock().is_ending = true;
    }

    /// It is not followed any more. Whoever has clients may own it.
    pub(crate) fn detach(self: &Arc<Self>) {
        let mut state = self.lock();
        if state.fate == Fate::Shared {
            self.end(&mut state, Fate::Gone);
        }
        drop(state);
        self.hub.forget(self);
        self.tell_change();
    }

    fn end(&self, state: &mut State, fate: Fate) {
        state.fate = fate;
        state.open = None;
        self.hub.owe(self.name);
        let Some(session) = state.session.take() else {
            return;
        };
        session.job(Job::Release(self.name));
        if state.is_in_crowd {
            session.job(Job::Crowd(self.name, false));
        }
        session.subscription(Subscription::End(self.name));
    }

    /// Has the member do something, and then what it wants done. Whether anything came of it.
    fn act(
        self: &Arc<Self>,
        state: &mut State,
        act: impl FnOnce(&mut Member, &mut Context<'_>),
    ) -> bool {
        if state.fate != Fate::Shared {
            return false;
        }
        let mut chance = || self.hub.chance();
        let mut cx = Context {
            now: self.hub.now(),
            chance: &mut chance,
            outputs: Vec::new(),
        };
        act(&mut state.member, &mut cx);
        let outputs = cx.outputs;
        let has_outputs = !outputs.is_empty();
        // In front of what ends the log, behind which nothing is told.
        self.note_again(state);
        for output in outputs {
            self.carry_out(state, output);
        }
        let was_fed = self.feed(state);
        has_outputs || was_fed
    }

    fn carry_out(self: &Arc<Self>, state: &mut State, output: Output) {
        self.log_output(&output);
        match output {
            Output::Command(command) => {
                let Some(session) = &state.session else {
                    return;
                };
                let number = state.answered + state.answers.len() as u64;
                state.answers.push_back(None);
                match command {
                    Command::Read { from } => session.look(Look::Read(self.clone(), number, from)),
                    command => session.job(Job::Command(self.clone(), number, command)),
                }
            }
            Output::Subscribe => {
                if let Some(session) = &state.session {
                    session.subscription(Subscription::Begin(self.name));
                }
            }
            Output::Open(behind) => {
                self.hub.counts.terms.fetch_add(1, Ordering::Relaxed);
                state.term += 1;
                state.open = Some(behind);
                self.tell_crowd(state);
            }
            Output::Close => state.open = None,
        }
    }

    /// Others are to know whether there are clients here.
    fn tell_crowd(&self, state: &mut State) {
        if state.is_wanted == state.is_in_crowd {
            return;
        }
        if let Some(session) = &state.session {
            session.job(Job::Crowd(self.name, state.is_wanted));
            state.is_in_crowd = state.is_wanted;
        }
    }

    /// Waits until something is there.
    async fn until<T>(self: &Arc<Self>, mut look: impl FnMut(&mut State) -> Option<T>) -> T {
        let mut changed = self.changed.subscribe();
        loop {
            if let Some(found) = look(&mut self.lock()) {
                return found;
            }
            // The sender is in `self`.
            let _ = changed.changed().await;
        }
    }

    /// Has the member do something, and tells those who wait.
    fn have(self: &Arc<Self>, act: impl FnOnce(&mut Member, &mut Context<'_>)) {
        self.act(&mut self.lock(), act);
        self.tell_change();
    }

    fn tell_change(&self) {
        self.changed.send_replace(());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// No log counts up to this.
const FAR: u64 = 1 << 62;
/// So long a client that comes with an id waits for it to turn up.
const PATIENCE: Duration = Duration::from_secs(5);
