//! Many streams with some events a second each: CPU time an event, and latency.

use std::{thread, time::Duration};

use super::{Setup, compared, none_ended};
use crate::{
    Error,
    options::Options,
    parts::{
        load::Load,
        machine::raise_descriptor_limit,
        measure::{Measured, measure, micros},
        report::table,
        round::{Case, Spoken, measure_all},
        target::Target as _,
    },
    targets::Target,
    upstream::{EVENTS_PER_SECOND, PACED},
};

const STREAMS: usize = 1_000;

/// Between the last stream's head and the measurement.
const SETTLE: Duration = Duration::from_secs(1);

pub(super) fn run(options: &Options) -> Result<(), Error> {
    // A proxy needs two sockets a stream.
    raise_descriptor_limit(2 * STREAMS as u64 + 1_000)?;
    let cases = measure_all(options.targets.clone(), options.rounds, |target| {
        measure_paced(target, options.window)
    })?;
    print(&cases);
    Ok(())
}

fn measure_paced(target: &Target, window: Duration) -> Result<Measured, Error> {
    let setup = Setup::start(target)?;
    let mut load = Load::start(setup.address())?;
    load.open(STREAMS, PACED)?;
    thread::sleep(SETTLE);
    let measured = measure(
        &mut load,
        setup.proxy(),
        Some(&setup.upstream.process),
        STREAMS as f64 * EVENTS_PER_SECOND as f64,
        window,
    )?;
    none_ended(target, measured.counts.ended)?;
    Ok(measured)
}

impl Spoken for Measured {
    fn line(&self) -> String {
        format!(
            "{:.1} CPU-s per million events, p50 {:.0} µs, p99 {:.0} µs, {:.1} % delivered",
            cpu(self),
            micros(self.counts.p50),
            micros(self.counts.p99),
            self.delivered(),
        )
    }
}

fn print(cases: &[Case<Target, Measured>]) {
    println!("\n{STREAMS} streams × {EVENTS_PER_SECOND} events/s");
    table(
        &[
            "CPU-s per million events",
            "p50 µs",
            "p99 µs",
            "delivered %",
        ],
        cases.iter().map(|case| {
            vec![
                case.what.title(),
                match case.what {
                    Target::Direct => "–".to_owned(),
                    _ => compared(case, cases, 1, cpu),
                },
                case.spread(|it| micros(it.counts.p50)).show(0),
                case.spread(|it| micros(it.counts.p99)).show(0),
                case.spread(Measured::delivered).show(1),
            ]
        }),
    );
    println!();
    for case in cases {
        println!(
            "- {}: max {} µs, {} events missing; upstream {} and load {} CPU-s per million events",
            case.what,
            case.spread(|it| micros(it.counts.max)).show(0),
            case.sum(|it| it.counts.missing),
            case.spread(|it| it.per_million(it.source)).show(1),
            case.spread(|it| it.per_million(it.load)).show(1),
        );
    }
}

fn cpu(measured: &Measured) -> f64 {
    measured.per_million(measured.server)
}
