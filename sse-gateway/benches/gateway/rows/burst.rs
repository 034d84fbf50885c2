//! A few streams written as fast as they are read: bytes of events a CPU second of the proxy.

use std::{fmt, thread, time::Duration};

use super::{Setup, compared_to};
use crate::{
    Error,
    options::Options,
    parts::{
        load::Load,
        measure::{Measured, measure},
        report::table,
        round::{Case, Spoken, measure_all},
        target::Target as _,
    },
    targets::Target,
    upstream::{BURST, STOP, WRITTEN},
};

const STREAMS: usize = 4;

const EVENT_SIZES: [(usize, &str); 3] = [(100, "100 B"), (1_024, "1 KiB"), (16_384, "16 KiB")];

/// Between the heads and the measurement.
const SETTLE: Duration = Duration::from_secs(1);

/// How long the streams may take to end, once told to.
const ENDING_LIMIT: Duration = Duration::from_secs(60);

/// Events of this size through this target.
#[derive(Clone, Debug)]
struct Burst {
    target: Target,
    event_bytes: usize,
}

struct Flow {
    measured: Measured,
    event_bytes: usize,
}

pub(super) fn run(options: &Options) -> Result<(), Error> {
    let proxies = options.targets.iter().filter(|it| **it != Target::Direct);
    let bursts = EVENT_SIZES.iter().flat_map(|&(event_bytes, _)| {
        proxies.clone().map(move |target| Burst {
            target: target.clone(),
            event_bytes,
        })
    });
    let cases = measure_all(bursts, options.rounds, |burst| {
        measure_burst(burst, options.window)
    })?;
    print(&cases);
    Ok(())
}

fn measure_burst(burst: &Burst, window: Duration) -> Result<Flow, Error> {
    let event_bytes = burst.event_bytes;
    let mut setup = Setup::start(&burst.target)?;
    let mut load = Load::start(setup.address())?;
    load.open(STREAMS, &format!("{BURST}{event_bytes}"))?;
    thread::sleep(SETTLE);
    let source = Some(&setup.upstream.process);
    // There is no pace to keep up with.
    let measured = measure(&mut load, setup.proxy(), source, 0.0, window)?;
    nothing_is_lost(burst, &mut setup, &mut load)?;
    Ok(Flow {
        measured,
        event_bytes,
    })
}

/// Ends the streams, and compares what was written with what was read.
///
/// # Errors
///
/// When there is a difference.
fn nothing_is_lost(burst: &Burst, setup: &mut Setup, load: &mut Load) -> Result<(), Error> {
    let upstream = &mut setup.upstream.process;
    upstream.ask(STOP)?;
    let counts = load.wait_for_ends(STREAMS as u64, ENDING_LIMIT)?;
    let written: u64 = upstream.ask(WRITTEN)?.parse()?;
    if counts.bytes == written && counts.missing == 0 {
        return Ok(());
    }
    let (read, missing) = (counts.bytes, counts.missing);
    Err(format!("{burst}: {written} bytes of events were written, {read} read; {missing} events are missing or there twice").into())
}

impl fmt::Display for Burst {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "events of {} B through {}",
            self.event_bytes, self.target
        )
    }
}

impl Spoken for Flow {
    fn line(&self) -> String {
        let Measured {
            server,
            source,
            load,
            ..
        } = self.measured;
        format!(
            "{:.1} MB per CPU-s, {:.0} MB/s; CPU-s: proxy {server:.1}, upstream {source:.1}, load {load:.1}",
            self.per_cpu_second(),
            self.per_second(),
        )
    }
}

impl Flow {
    fn per_cpu_second(&self) -> f64 {
        self.megabytes(self.measured.per_cpu_second())
    }

    fn per_second(&self) -> f64 {
        self.megabytes(self.measured.reached())
    }

    fn megabytes(&self, events: f64) -> f64 {
        events * self.event_bytes as f64 / 1e6
    }
}

fn print(cases: &[Case<Burst, Flow>]) {
    println!("\n{STREAMS} streams, events as fast as they are read: MB of events per CPU-s");
    let of_size = |size| -> Vec<&Case<Burst, Flow>> {
        let cases = cases.iter();
        cases.filter(|it| it.what.event_bytes == size).collect()
    };
    let columns = EVENT_SIZES.map(|(size, _)| of_size(size));
    table(
        &EVENT_SIZES.map(|(_, title)| title),
        columns[0].iter().enumerate().map(|(row, case)| {
            let cells = columns.iter().map(|column| {
                let plain = column.iter().find(|it| it.what.target == Target::Plain);
                compared_to(plain.copied(), column[row], 0, Flow::per_cpu_second)
            });
            [case.what.target.title()]
                .into_iter()
                .chain(cells)
                .collect()
        }),
    );
    println!();
    for case in cases {
        println!(
            "- {}: {} MB/s; CPU-s of the proxy {}, of the upstream {}, of the load {}",
            case.what,
            case.spread(Flow::per_second).show(0),
            case.spread(|it| it.measured.server).show(1),
            case.spread(|it| it.measured.source).show(1),
            case.spread(|it| it.measured.load).show(1),
        );
    }
}
