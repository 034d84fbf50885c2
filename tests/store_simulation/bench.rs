//! A store and members of one stream, whose commands are executed when a test says so.

use bytes::Bytes;
use tower_sse::store::{
    Answer, Command, Context, Draft, InstanceId, Member, Message, Model, Output, Published, Reign,
    Rules,
};

use crate::plan::Kind;
use crate::upstream::draft;
use crate::world::STREAM;

/// A member whose commands are executed when the test says so.
pub(crate) struct Host {
    pub(crate) id: InstanceId,
    pub(crate) member: Member,
    pub(crate) sent: Vec<Command>,
    pub(crate) opened: Vec<Option<Bytes>>,
}

pub(crate) struct Bench {
    pub(crate) store: Model,
    pub(crate) now: u64,
    pub(crate) drawn: u64,
    pub(crate) heard: Vec<Message>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Bench {
            store: Model::new(Reign(1), Rules::default()),
            now: 0,
            drawn: 0,
            heard: Vec::new(),
        }
    }

    /// An instance with clients, which knows what the store has.
    pub(crate) fn host(&mut self, number: u64) -> Host {
        self.host_with(number, Rules::default(), 100)
    }

    pub(crate) fn host_with(&mut self, number: u64, rules: Rules, events: usize) -> Host {
        let id = InstanceId(number);
        let member = Member::new(id, rules, events);
        let mut host = Host {
            id,
            member,
            sent: Vec::new(),
            opened: Vec::new(),
        };
        self.store.beat(id, self.now);
        self.connect(&mut host);
        host
    }

    pub(crate) fn connect(&mut self, host: &mut Host) {
        let reign = self.store.reign();
        host.sent.clear();
        self.with(host, |member, _| member.disconnected());
        self.with(host, |member, cx| member.tail_connected(reign, cx));
        self.with(host, |member, cx| member.subscribed(cx));
        self.with(host, |member, cx| member.connected(reign, cx));
    }

    pub(crate) fn with(
        &mut self,
        host: &mut Host,
        then: impl FnOnce(&mut Member, &mut Context<'_>),
    ) {
        let drawn = &mut self.drawn;
        let mut chance = || {
            *drawn += 1_000_003;
            *drawn
        };
        let mut cx = Context {
            now: self.now,
            chance: &mut chance,
            outputs: Vec::new(),
        };
        then(&mut host.member, &mut cx);
        for output in cx.outputs {
            match output {
                Output::Command(command) => host.sent.push(command),
                Output::Open(behind) => host.opened.push(behind),
                Output::Subscribe | Output::Close => {}
            }
        }
    }

    pub(crate) fn seek(&mut self, host: &mut Host, id: &[u8]) -> u64 {
        let mut since = 0;
        self.with(host, |member, cx| since = member.seek(id, cx));
        since
    }

    pub(crate) fn execute(&mut self, host: &mut Host) -> Answer {
        let command = host.sent.remove(0);
        let (answer, published) = self.store.execute((STREAM, host.id), command, self.now);
        self.heard
            .extend(published.map(|Published { message, .. }| message));
        answer
    }

    /// Executes all that it wants, until it wants nothing more.
    pub(crate) fn settle(&mut self, host: &mut Host) {
        while !host.sent.is_empty() {
            let answer = self.execute(host);
            self.with(host, |member, cx| member.answer(answer, cx));
        }
    }

    /// Time passes, and this instance lives.
    pub(crate) fn pass(&mut self, host: &mut Host, millis: u64) {
        let end = self.now + millis;
        while self.now < end {
            self.now += 50;
            self.store.beat(host.id, self.now);
            self.with(host, |member, cx| member.tick(cx));
            self.settle(host);
        }
    }

    pub(crate) fn give(&mut self, host: &mut Host, number: u64) {
        self.give_of(Kind::Resumes, host, number);
    }

    pub(crate) fn give_of(&mut self, kind: Kind, host: &mut Host, number: u64) {
        let draft: Draft = draft(kind, number);
        self.with(host, |member, cx| member.draft(draft, cx));
    }

    pub(crate) fn hear(&mut self, host: &mut Host) {
        for message in self.heard.clone() {
            self.with(host, |member, cx| member.hear(&message, cx));
        }
    }

    pub(crate) fn seen(&mut self, host: &Host, from: u64) -> Vec<String> {
        let replica = host.member.replica();
        let texts = (from..replica.next()).map(|place| match replica.entry(place).unwrap() {
            Some(event) => {
                crate::client::number_of(event).map_or("told".into(), |number| number.to_string())
            }
            None => "gap".into(),
        });
        texts.collect()
    }
}

pub(crate) fn id_at(host: &Host, place: u64) -> Vec<u8> {
    let event = host.member.replica().entry(place).unwrap().unwrap();
    let text = std::str::from_utf8(&event.bytes).unwrap();
    let id = text
        .lines()
        .next()
        .and_then(|line| line.strip_prefix("id: "));
    id.unwrap().as_bytes().to_vec()
}
