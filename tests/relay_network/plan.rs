//! What a schedule is made of: everything that is drawn before it begins, so that a failure can be read.

use std::time::Duration;

use tower_sse::relay::{Begin, OnFull, OnLeave, SlowClient};

use crate::random::Random;

/// So long is a step of the network; within one, time passes on each host by itself.
pub(crate) const STEP: Duration = Duration::from_millis(40);

/// So many steps things go wrong.
const ROUGH: u64 = 200;

pub(crate) const CLIENTS: u64 = 3;

/// How the upstream's ids are, and what it makes of a `Last-Event-ID`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// An id on each event; goes on behind the one it is given.
    Resumes,
    /// An id on some events; goes on behind the one it is given, so what has none may come again.
    ResumesSome,
    /// An id on each event; begins with what comes next, whatever it is given.
    Live,
    /// The same id on all events; begins with what comes next.
    OneId,
    /// An id on each event; begins with the first event of all each time.
    Anew,
    /// No ids; begins with what comes next.
    NoIds,
}

pub(crate) const KINDS: [Kind; 6] = [
    Kind::Resumes,
    Kind::ResumesSome,
    Kind::Live,
    Kind::OneId,
    Kind::Anew,
    Kind::NoIds,
];

/// What a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asks {
    /// GET of the stream that all share.
    Shared,
    /// GET of a stream of its own.
    Own,
    /// POST of a stream of its own, with an end.
    Answer,
}

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) kind: Kind,
    pub(crate) ending: &'static str,
    /// The upstream's bodies end with their connection, as those of HTTP/1.0 do.
    pub(crate) ends_by_closing: bool,
    pub(crate) history_events: usize,
    pub(crate) history_bytes: usize,
    pub(crate) max_event_bytes: usize,
    pub(crate) slow_client: SlowClient,
    pub(crate) client_stall_timeout: Duration,
    /// As it is by default if none.
    pub(crate) on_full: Option<OnFull>,
    pub(crate) begin: Begin,
    pub(crate) on_leave: OnLeave,
    pub(crate) hold: bool,
    pub(crate) give_up: Duration,
    /// The upstream's ids stay, where the stream is shared.
    pub(crate) keep_ids: bool,
    pub(crate) latency: Duration,
    pub(crate) tcp_capacity: usize,
    pub(crate) clients: Vec<ClientPlan>,
    /// By step.
    pub(crate) actions: Vec<(u64, Action)>,
}

#[derive(Clone, Debug)]
pub(crate) struct ClientPlan {
    pub(crate) asks: Asks,
    /// One connection of so many is read slowly; of none if zero.
    pub(crate) slow_one_in: u64,
    /// One connection of so many is cut behind some byte.
    pub(crate) cut_one_in: u64,
}

#[derive(Clone, Debug)]
pub(crate) enum Action {
    /// So many events come.
    Emit(u64),
    /// The upstream's streams end, cleanly or not, wherever they are.
    End { clean: bool },
    /// The upstream answers with this status for so many steps.
    Refuse { status: u16, steps: u64 },
    /// A host is lost, and comes back so many steps later.
    Crash { host: Host, steps: u64 },
    /// What is sent between the gateway and this host waits for so many steps.
    Hold { host: Host, steps: u64 },
    /// It is lost for so many steps.
    Partition { host: Host, steps: u64 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    Upstream,
    Gateway,
    Client(u64),
}

impl Host {
    pub(crate) fn name(self) -> String {
        match self {
            Host::Upstream => "upstream".into(),
            Host::Gateway => "gateway".into(),
            Host::Client(number) => format!("client-{number}"),
        }
    }
}

impl Plan {
    pub(crate) fn new(seed: u64) -> Self {
        let random = &mut Random::new(seed);
        let kind = KINDS[(seed % KINDS.len() as u64) as usize];
        let shared_only = random.below(3) == 0;
        let clients = (0..CLIENTS).map(|_| client(random, shared_only)).collect();
        Plan {
            seed,
            kind,
            ending: pick(random, &["\n", "\n", "\r\n", "\r"]),
            // A stream of its own takes such an end for that of all.
            ends_by_closing: shared_only && random.below(4) == 0,
            history_events: pick(random, &[3, 8, 30, 10_000]),
            history_bytes: pick(random, &[4_000, 1 << 20, 1 << 20]),
            max_event_bytes: pick(random, &[2_000, 1 << 20]),
            slow_client: pick(
                random,
                &[SlowClient::Disconnect, SlowClient::Skip, SlowClient::Latest],
            ),
            client_stall_timeout: Duration::from_secs(pick(random, &[1, 5, 30])),
            on_full: pick(random, &[None, Some(OnFull::Wait), Some(OnFull::Drop)]),
            begin: pick(random, &[Begin::Live, Begin::Last(2), Begin::All]),
            on_leave: pick(
                random,
                &[
                    OnLeave::Cancel,
                    OnLeave::Linger(Duration::from_secs(1)),
                    OnLeave::Linger(Duration::from_secs(3)),
                    OnLeave::Finish,
                ],
            ),
            hold: random.below(4) == 0,
            give_up: Duration::from_secs(pick(random, &[4, 300, 300])),
            keep_ids: kind == Kind::Resumes && random.below(4) == 0,
            latency: Duration::from_millis(pick(random, &[1, 60, 300])),
            tcp_capacity: pick(random, &[12, 64]),
            clients,
            actions: actions(random),
        }
    }
}

fn client(random: &mut Random, shared_only: bool) -> ClientPlan {
    let asks = match random.below(5) {
        0 | 1 if !shared_only => Asks::Own,
        2 if !shared_only => Asks::Answer,
        _ => Asks::Shared,
    };
    ClientPlan {
        asks,
        slow_one_in: pick(random, &[0, 2, 4]),
        cut_one_in: pick(random, &[1, 2, 3]),
    }
}

fn actions(random: &mut Random) -> Vec<(u64, Action)> {
    let mut actions = Vec::new();
    let mut step = 0;
    let most_between = 1 + random.below(8);
    loop {
        step += 1 + random.below(most_between);
        if step >= ROUGH {
            break;
        }
        let events = match random.below(12) {
            0 => pick(random, &[10, 10, 10, 300]) + random.below(40),
            _ => 1 + random.below(4),
        };
        actions.push((step, Action::Emit(events)));
    }
    for _ in 0..random.below(9) {
        let step = random.below(ROUGH);
        let steps = 1 + random.below(40);
        let host = match random.below(2 * CLIENTS) {
            number if number < CLIENTS => Host::Client(number),
            _ => Host::Upstream,
        };
        let action = match random.below(12) {
            0..=2 => Action::End {
                clean: random.below(2) == 0,
            },
            3 | 4 => Action::Refuse {
                status: pick(random, &[500, 503, 429]),
                steps,
            },
            5 | 6 => Action::Crash {
                host: Host::Upstream,
                steps,
            },
            7 | 8 => Action::Crash {
                host: Host::Gateway,
                steps,
            },
            9 => Action::Hold { host, steps },
            _ => Action::Partition { host, steps },
        };
        actions.push((step, action));
    }
    actions.sort_by_key(|(step, _)| *step);
    actions
}

impl Plan {
    /// Whether clients get what comes last in the end. Where the history is too small for what the upstream sends at once,
    /// and whoever falls out is disconnected, they may come back for ever.
    pub(crate) fn catches_up(&self) -> bool {
        let is_small = self.history_events < 10_000 || self.history_bytes < 1 << 20;
        !(is_small && matches!(self.slow_client, SlowClient::Disconnect))
    }

    /// So many steps things go wrong.
    pub(crate) fn rough_steps(&self) -> u64 {
        ROUGH
    }
}

pub(crate) fn pick<T: Clone>(random: &mut Random, from: &[T]) -> T {
    from[random.below(from.len() as u64) as usize].clone()
}
