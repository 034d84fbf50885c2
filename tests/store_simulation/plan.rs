//! What a schedule is made of: everything that is drawn before it begins.

use crate::random::Random;

/// Milliseconds in which things go wrong, and until the end.
pub(crate) const ROUGH: u64 = 12_000;
pub(crate) const QUIET: u64 = 18_000;
pub(crate) const END: u64 = 26_000;

/// How the upstream's ids are, and what it makes of a `Last-Event-ID`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Goes on behind the id it is given.
    Resumes,
    /// Goes on with the event whose id it is given.
    Inclusive,
    /// Has ids, and begins with its first event each time.
    Anew,
    /// Has no ids, and begins with what comes next.
    NoIds,
}

impl Kind {
    pub(crate) fn has_ids(self) -> bool {
        self != Kind::NoIds
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    Crash {
        gateway: usize,
        down: u64,
    },
    Pause {
        gateway: usize,
        millis: u64,
    },
    CutStore {
        gateway: usize,
        millis: u64,
    },
    CutTail {
        gateway: usize,
    },
    /// The tail stays connected and brings nothing.
    Deaf {
        gateway: usize,
    },
    CutUpstream,
    /// The store restarts with all, some, or nothing of what it had.
    Restart,
    Forget {
        operations: usize,
    },
    Empty,
    /// It restarts with nothing, and later once more, with an older state of before that.
    EmptyThenOlder {
        operations: usize,
        millis: u64,
    },
    /// Another primary takes over for some of the gateways, while the old one still serves the others; in the end one is left.
    Split {
        operations: usize,
        side: u64,
        /// Whose tails lead to the other one: mostly those on its side.
        tails: u64,
        millis: u64,
        keeps_old: bool,
    },
    /// The last gateway that owned the stream crashes together with a failover.
    CrashAndForget {
        operations: usize,
        down: u64,
    },
    /// Has clients go elsewhere, hands the stream over, and ends.
    Drain {
        gateway: usize,
        down: u64,
    },
    /// Has no clients any more and says so to nobody, and lives.
    Abandon {
        gateway: usize,
    },
    /// The store drops what it has of the stream, or its events alone.
    Evict {
        events_alone: bool,
    },
    /// Somebody empties the store, which goes on: no connection is lost.
    Flush,
}

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) kind: Kind,
    pub(crate) gateways: usize,
    pub(crate) clients: usize,
    pub(crate) limit: usize,
    /// Milliseconds that the store keeps a silent log. The upstream is silent for eight seconds in the end.
    pub(crate) lifetime: u64,
    /// The upstream ends when it has sent all.
    pub(crate) ends: bool,
    /// One message of so many to a subscriber is lost.
    pub(crate) loss: u64,
    /// One message of so many is late.
    pub(crate) late: u64,
    pub(crate) faults: Vec<(u64, Fault)>,
}

impl Plan {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let kind = match random.below(10) {
            0..=3 => Kind::Resumes,
            4 => Kind::Inclusive,
            5..=6 => Kind::Anew,
            _ => Kind::NoIds,
        };
        let gateways = 2 + random.below(2) as usize;
        let mut plan = Plan {
            seed,
            kind,
            gateways,
            clients: 3 + random.below(3) as usize,
            limit: if kind != Kind::Anew && random.below(8) == 0 {
                40
            } else {
                4_000
            },
            lifetime: [6_000, 12_000][random.below(2) as usize],
            ends: random.below(5) == 0,
            loss: [0, 0, 50, 10][random.below(4) as usize],
            late: [0, 30, 8][random.below(3) as usize],
            faults: Vec::new(),
        };
        for _ in 0..random.below(9) {
            let at = 300 + random.below(ROUGH - 300);
            plan.faults.push((at, fault(&mut random, gateways)));
            if random.below(3) == 0 {
                let soon = at + random.below(1_500);
                plan.faults
                    .push((soon.min(ROUGH - 1), fault(&mut random, gateways)));
            }
        }
        // Drawn by itself, so that all other schedules stay what they are.
        let mut random = Random::new(seed ^ 0x01de5);
        if random.below(8) == 0 {
            let millis = 50 + random.below(4_000);
            let at = 300 + random.below(ROUGH - 300 - millis);
            let operations = 1 + random.below(30) as usize;
            let fault = Fault::EmptyThenOlder { operations, millis };
            plan.faults.push((at, fault));
        }
        plan
    }

    /// Whether nobody has to be told of a gap.
    pub(crate) fn is_whole(&self) -> bool {
        let resumes = matches!(self.kind, Kind::Resumes | Kind::Inclusive);
        let is_torn = |(_, fault): &(u64, Fault)| {
            matches!(
                fault,
                Fault::Empty
                    | Fault::EmptyThenOlder { .. }
                    | Fault::Flush
                    | Fault::Split { .. }
                    | Fault::Evict { .. }
            )
        };
        resumes && self.limit > 100 && !self.faults.iter().any(is_torn)
    }

    /// Whether the store may forget.
    pub(crate) fn forgets(&self) -> bool {
        self.faults.iter().any(|(_, fault)| {
            matches!(
                fault,
                Fault::Forget { .. }
                    | Fault::Empty
                    | Fault::EmptyThenOlder { .. }
                    | Fault::Flush
                    | Fault::Evict { .. }
                    | Fault::Split { .. }
                    | Fault::CrashAndForget { .. }
            )
        })
    }
}

fn fault(random: &mut Random, gateways: usize) -> Fault {
    let gateway = random.below(gateways as u64) as usize;
    let most = if random.below(2) == 0 { 8 } else { 50 };
    let operations = 1 + random.below(most) as usize;
    match random.below(18) {
        0..=1 => Fault::Crash {
            gateway,
            down: 50 + random.below(3_000),
        },
        2 => Fault::Pause {
            gateway,
            millis: random.below(5_000),
        },
        3..=4 => Fault::CutStore {
            gateway,
            millis: random.below(2_500),
        },
        5 => Fault::CutTail { gateway },
        6 => Fault::Deaf { gateway },
        7 => Fault::CutUpstream,
        8 => Fault::Restart,
        9..=10 => Fault::Forget { operations },
        11 => Fault::Empty,
        12 => {
            let side = random.below(1 << gateways);
            let astray = random.below(3) == 0;
            Fault::Split {
                operations,
                side,
                tails: if astray {
                    random.below(1 << gateways)
                } else {
                    side
                },
                millis: 200 + random.below(3_000),
                keeps_old: random.below(2) == 0,
            }
        }
        13 => Fault::CrashAndForget {
            operations,
            down: 50 + random.below(3_000),
        },
        14..=15 => Fault::Drain {
            gateway,
            down: 50 + random.below(2_000),
        },
        16 => Fault::Abandon { gateway },
        _ => match random.below(3) {
            0 => Fault::Flush,
            which => Fault::Evict {
                events_alone: which == 1,
            },
        },
    }
}
