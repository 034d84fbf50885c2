//! What a schedule is made of: everything that is drawn before it begins, so that a failure can be read.
//!
//! A seed means another schedule whenever something is drawn here that was not before: one that was noted with an earlier
//! version says nothing.

use std::time::Duration;

use crate::random::Random;

mod action;
mod gateway;

pub(crate) use action::{Action, Host};
pub(crate) use gateway::{GatewayPlan, Role, behind_ours, tag};

/// So long is a step of the network; within one, time passes on each host by itself.
pub(crate) const STEP: Duration = Duration::from_millis(40);

/// So many steps things go wrong.
const ROUGH: u64 = 200;

/// Clients that have a host each, and go wrong each in its own way.
pub(crate) const CLIENTS: u64 = 3;

/// Clients that are cut and come back all at once, in one schedule of `CROWD_ONE_IN`.
const CROWD: u64 = 300;
const CROWD_ONE_IN: u64 = 100;

/// One schedule of so many has two gateways, one behind the other.
const CHAIN_ONE_IN: u64 = 4;

/// How the upstream's ids are, and what it makes of a `Last-Event-ID`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// An id on each event; goes on behind the one it is given.
    Resumes,
    /// An id on some events; goes on behind the one it is given, so what has none may come again.
    ResumesSome,
    /// An id on each event; goes on *with* the one it is given, so that comes again.
    Inclusive,
    /// An id on each event; begins with what comes next, whatever it is given.
    Live,
    /// The same id on all events; begins with what comes next.
    OneId,
    /// An id on each event; begins with the first event of all each time.
    Anew,
    /// No ids; begins with what comes next.
    NoIds,
}

pub(crate) const KINDS: [Kind; 7] = [
    Kind::Resumes,
    Kind::ResumesSome,
    Kind::Inclusive,
    Kind::Live,
    Kind::OneId,
    Kind::Anew,
    Kind::NoIds,
];

impl Kind {
    /// Whether it takes notice of a `Last-Event-ID`.
    pub(crate) fn resumes(self) -> bool {
        matches!(self, Kind::Resumes | Kind::ResumesSome | Kind::Inclusive)
    }
}

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
    /// The one that clients ask, and the one behind it if there is one.
    pub(crate) gateways: Vec<GatewayPlan>,
    pub(crate) latency: Duration,
    pub(crate) tcp_capacity: usize,
    pub(crate) clients: Vec<ClientPlan>,
    /// So many more clients share a stream, and are cut at the same time.
    pub(crate) crowd: u64,
    /// By step.
    pub(crate) actions: Vec<(u64, Action)>,
}

#[derive(Clone, Debug)]
pub(crate) struct ClientPlan {
    pub(crate) asks: Asks,
    /// One connection of so many is read slowly; of none if zero.
    pub(crate) slow_one_in: u64,
    /// One connection of so many is cut behind some byte; none if zero.
    pub(crate) cut_one_in: u64,
}

/// One of the crowd: what befalls it befalls all of them.
const ONE_OF_CROWD: ClientPlan = ClientPlan {
    asks: Asks::Shared,
    slow_one_in: 0,
    cut_one_in: 0,
};

impl Plan {
    pub(crate) fn new(seed: u64) -> Self {
        let random = &mut Random::new(seed);
        let kind = KINDS[(seed % KINDS.len() as u64) as usize];
        let gateways = match random.below(CHAIN_ONE_IN) {
            0 => gateway::chain(random, kind),
            _ => vec![GatewayPlan::new(random, kind)],
        };
        let crowd = match random.below(CROWD_ONE_IN) {
            0 => CROWD,
            _ => 0,
        };
        let shared_only = random.below(3) == 0;
        let can_answer = gateway::can_answer(&gateways, kind);
        let clients = (0..CLIENTS)
            .map(|_| client(random, shared_only, can_answer))
            .collect();
        Plan {
            seed,
            kind,
            ending: pick(random, &["\n", "\n", "\r\n", "\r"]),
            // A stream of its own takes such an end for that of all.
            ends_by_closing: shared_only && random.below(4) == 0,
            latency: Duration::from_millis(pick(random, &[1, 60, 300])),
            tcp_capacity: match crowd {
                0 => pick(random, &[12, 64]),
                // It bounds the connections too that wait to be accepted.
                crowd => 2 * crowd as usize,
            },
            clients,
            crowd,
            actions: action::draw(random, gateways.len(), crowd > 0),
            gateways,
        }
    }

    /// Whether clients get what comes last in the end. Where the history is too small for what the upstream sends at once,
    /// and whoever falls out is disconnected, they may come back for ever.
    pub(crate) fn catches_up(&self) -> bool {
        self.gateways.iter().all(GatewayPlan::catches_up)
    }

    /// So many steps things go wrong.
    pub(crate) fn rough_steps(&self) -> u64 {
        ROUGH
    }

    /// How many clients there are, the crowd included.
    pub(crate) fn count_clients(&self) -> u64 {
        CLIENTS + self.crowd
    }

    pub(crate) fn client(&self, number: u64) -> &ClientPlan {
        self.clients.get(number as usize).unwrap_or(&ONE_OF_CROWD)
    }

    /// The host behind this gateway.
    pub(crate) fn behind(&self, gateway: usize) -> Host {
        match gateway + 1 < self.gateways.len() {
            true => Host::Gateway(gateway + 1),
            false => Host::Upstream,
        }
    }
}

fn client(random: &mut Random, shared_only: bool, can_answer: bool) -> ClientPlan {
    let asks = match random.below(5) {
        0 | 1 if !shared_only => Asks::Own,
        2 if !shared_only && can_answer => Asks::Answer,
        _ => Asks::Shared,
    };
    ClientPlan {
        asks,
        slow_one_in: pick(random, &[0, 2, 4]),
        cut_one_in: pick(random, &[1, 2, 3]),
    }
}

pub(crate) fn pick<T: Clone>(random: &mut Random, from: &[T]) -> T {
    from[random.below(from.len() as u64) as usize].clone()
}
