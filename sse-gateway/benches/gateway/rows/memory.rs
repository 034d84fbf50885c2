//! What a proxy holds for a stream on which nothing happens: the slope of its memory between two numbers of streams.

use std::{thread, time::Duration};

use super::{Setup, compared, none_ended};
use crate::{
    Error,
    options::Options,
    parts::{
        load::Load, machine::raise_descriptors_towards, report::table, round::Case,
        target::Target as _,
    },
    targets::Target,
    upstream::IDLE,
};

/// Between the last stream's head and the first reading.
const SETTLE: Duration = Duration::from_secs(1);

/// Descriptors that a proxy has beside the two of each stream, or the conductor has.
const OTHER_DESCRIPTORS: usize = 1_000;

/// Memory of one proxy in KiB, at both numbers of idle streams.
#[derive(Clone, Copy, Debug, Default)]
struct Idle {
    streams: [usize; 2],
    at_head: [u64; 2],
    waited: [u64; 2],
    /// Comments that came through while waiting: the heartbeats.
    comments: u64,
}

pub(super) fn run(options: &Options) -> Result<(), Error> {
    let streams = allowed(options.own.streams)?;
    let proxies = options.targets.iter().filter(|it| **it != Target::Direct);
    let mut cases: Vec<Case<Target, Idle>> = proxies.cloned().map(Case::new).collect();
    for round in 0..options.rounds {
        eprintln!("round {} of {}: memory", round + 1, options.rounds);
        measure_side_by_side(&mut cases, streams, options.own.wait)?;
    }
    print(&cases, streams, options);
    Ok(())
}

/// As many streams as descriptors allow, in the same proportion.
fn allowed([few, many]: [usize; 2]) -> Result<[usize; 2], Error> {
    let limit = raise_descriptors_towards((2 * many + OTHER_DESCRIPTORS) as u64);
    let most = usize::try_from(limit)?.saturating_sub(OTHER_DESCRIPTORS) / 2;
    if most >= many {
        return Ok([few, many]);
    }
    match few * most / many {
        0 => Err(format!("{limit} open files are too few: raise ulimit -Hn").into()),
        fewer => Ok([fewer, most]),
    }
}

/// Reads the memory of all proxies side by side, since nothing but time passes meanwhile. All processes are there
/// before the first reading: pages of a program that runs twice are shared, and count for less.
fn measure_side_by_side(
    cases: &mut [Case<Target, Idle>],
    streams: [usize; 2],
    wait: Duration,
) -> Result<(), Error> {
    struct Part<'a> {
        case: &'a mut Case<Target, Idle>,
        idle: Idle,
        load: Load,
        setup: Setup,
    }

    let mut parts = Vec::new();
    for case in cases {
        let setup = Setup::start(&case.what)?;
        parts.push(Part {
            case,
            idle: Idle {
                streams,
                ..Idle::default()
            },
            load: Load::start(setup.address())?,
            setup,
        });
    }
    let mut opened = 0;
    for (step, streams) in streams.into_iter().enumerate() {
        eprintln!("{streams} idle streams through each …");
        for part in &mut parts {
            part.load.open(streams - opened, IDLE)?;
        }
        opened = streams;
        thread::sleep(SETTLE);
        for part in &mut parts {
            part.idle.at_head[step] = part.memory_kib()?;
        }
        thread::sleep(wait);
        for part in &mut parts {
            let counts = part.load.end()?;
            none_ended(&part.case.what, counts.ended)?;
            part.idle.waited[step] = part.memory_kib()?;
            part.idle.comments = counts.comments;
        }
    }
    for part in parts {
        part.case.rounds.push(part.idle);
    }
    return Ok(());

    impl Part<'_> {
        fn memory_kib(&self) -> Result<u64, Error> {
            let proxy = self.setup.proxy().expect("each case has a proxy");
            proxy.memory_kib()
        }
    }
}

impl Idle {
    fn slope(&self, kib: [u64; 2]) -> f64 {
        let [few, many] = self.streams;
        (kib[1] as f64 - kib[0] as f64) / (many - few) as f64
    }
}

fn print(cases: &[Case<Target, Idle>], [few, many]: [usize; 2], options: &Options) {
    let waited = options.own.wait.as_secs() + SETTLE.as_secs();
    println!("\nIdle streams, KiB each: slope of PSS from {few} to {many} streams");
    table(
        &[
            &format!("after {waited} s"),
            &format!("{} s after the heads", SETTLE.as_secs()),
        ],
        cases.iter().map(|case| {
            vec![
                case.what.title(),
                compared(case, cases, 1, |it| it.slope(it.waited)),
                case.spread(|it| it.slope(it.at_head)).show(1),
            ]
        }),
    );
    println!();
    for case in cases {
        println!(
            "- {}: {} KiB in all with {few} streams, {} with {many}; {} comments read",
            case.what,
            case.spread(|it| it.waited[0] as f64).show(0),
            case.spread(|it| it.waited[1] as f64).show(0),
            case.sum(|it| it.comments),
        );
    }
}
