//! What happens in a schedule, and when.

use super::{CLIENTS, ROUGH, pick};
use crate::random::Random;

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
    /// What is sent between this host and the one in front of it, or the gateway for a client, waits for so many steps.
    Hold { host: Host, steps: u64 },
    /// It is lost for so many steps.
    Partition { host: Host, steps: u64 },
    /// All connections of the crowd are cut.
    CutCrowd,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    Upstream,
    /// The first is the one that clients ask.
    Gateway(usize),
    Client(u64),
    Crowd,
}

impl Host {
    pub(crate) fn name(self) -> String {
        match self {
            Host::Upstream => "upstream".into(),
            Host::Gateway(place) => format!("gateway-{place}"),
            Host::Client(number) => format!("client-{number}"),
            Host::Crowd => "crowd".into(),
        }
    }
}

/// One schedule of so many has a burst that is larger than most histories.
const BURST_ONE_IN: u64 = 8;

pub(super) fn draw(random: &mut Random, gateways: usize, has_crowd: bool) -> Vec<(u64, Action)> {
    let mut actions = Vec::new();
    emits(random, has_crowd, &mut actions);
    for _ in 0..random.below(9) {
        let step = random.below(ROUGH);
        actions.push((step, failure(random, gateways)));
    }
    if has_crowd {
        crowd(random, &mut actions);
    }
    actions.sort_by_key(|(step, _)| *step);
    actions
}

fn emits(random: &mut Random, has_crowd: bool, actions: &mut Vec<(u64, Action)>) {
    let mut step = 0;
    let most_between = 1 + random.below(8);
    loop {
        step += 1 + random.below(most_between);
        if step >= ROUGH {
            break;
        }
        let events = match random.below(12) {
            // A crowd is many already.
            0 if has_crowd => 10,
            0 => pick(random, &[10, 10, 10, 300]) + random.below(40),
            _ => 1 + random.below(4),
        };
        actions.push((step, Action::Emit(events)));
    }
    if !has_crowd && random.below(BURST_ONE_IN) == 0 {
        let events = 340 + random.below(4_660);
        actions.push((random.below(ROUGH), Action::Emit(events)));
    }
}

fn failure(random: &mut Random, gateways: usize) -> Action {
    let steps = 1 + random.below(40);
    let host = match random.below(2 * CLIENTS) {
        number if number < CLIENTS => Host::Client(number),
        // The way to any but the outermost is one that this has in front.
        number => match (number - CLIENTS) as usize + 1 {
            place if place < gateways => Host::Gateway(place),
            _ => Host::Upstream,
        },
    };
    let gateway = Host::Gateway(random.below(gateways as u64) as usize);
    match random.below(12) {
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
            host: gateway,
            steps,
        },
        9 => Action::Hold { host, steps },
        _ => Action::Partition { host, steps },
    }
}

/// It is cut now and then, sometimes since the gateway has a successor.
fn crowd(random: &mut Random, actions: &mut Vec<(u64, Action)>) {
    for _ in 0..1 + random.below(3) {
        // All are there by then.
        let step = ROUGH / 3 + random.below(ROUGH / 2);
        if random.below(2) == 0 {
            let steps = 1 + random.below(10);
            let host = Host::Gateway(0);
            actions.push((step, Action::Crash { host, steps }));
        }
        actions.push((step, Action::CutCrowd));
    }
}
