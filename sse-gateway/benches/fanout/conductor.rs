//! Runs the measurements, each target in turn, and prints what came of them.

use std::{thread, time::Duration};

use crate::{
    Error,
    load::{Counts, IN_TIME},
    options::Options,
    parts::{
        machine::{Machine, raise_descriptor_limit},
        process::{Process, start_part},
    },
    report,
    targets::{self, Target},
};

/// Between the first event and the measurement.
const SETTLE: Duration = Duration::from_secs(3);

/// One measurement.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    pub(crate) counts: Counts,
    /// What the pace asks for in the time that was measured.
    pub(crate) expected: f64,
    /// CPU seconds of the server.
    pub(crate) server: f64,
    pub(crate) load: f64,
    pub(crate) memory_kib: u64,
}

/// All that was seen of one target at one rate.
pub(crate) struct Seen {
    pub(crate) target: Target,
    pub(crate) rate: u32,
    /// Rounds with few clients, and with many.
    pub(crate) rounds: [Vec<Measured>; 2],
}

/// # Errors
///
/// When any part fails: a number that is missing is never left out in silence.
pub(crate) fn run(options: &Options) -> Result<(), Error> {
    raise_descriptor_limit(2 * options.clients[1] as u64 + 1_000)?;
    let machine = Machine::read();
    let mut seen = Vec::new();
    for &rate in &options.rates {
        for &target in &options.targets {
            // One that does not start is found out now rather than in its turn.
            targets::start(target, rate, options.nchan_workers)?;
            seen.push(Seen {
                target,
                rate,
                rounds: [Vec::new(), Vec::new()],
            });
        }
    }
    for round in 0..options.rounds {
        for (size, clients) in options.clients.into_iter().enumerate() {
            for turn in 0..seen.len() {
                let turn = (turn + round) % seen.len();
                let Seen { target, rate, .. } = seen[turn];
                eprint!(
                    "round {} of {}: {rate}/s to {clients} clients of {} … ",
                    round + 1,
                    options.rounds,
                    target.name()
                );
                let measured = measure(target, rate, clients, options)?;
                eprintln!("{}", report::line(&measured));
                seen[turn].rounds[size].push(measured);
            }
        }
    }
    report::print(&machine, &seen, options);
    Ok(())
}

fn measure(
    target: Target,
    rate: u32,
    clients: usize,
    options: &Options,
) -> Result<Measured, Error> {
    let mut running = targets::start(target, rate, options.nchan_workers)?;
    let mut load = start_part("load", &[&running.address])?;
    match load
        .ask(&format!("open {clients} {}", running.path))?
        .as_str()
    {
        "opened" => {}
        other => return Err(load.failure(&format!("opened no {clients} streams: {other}"))),
    }
    running.go()?;
    thread::sleep(SETTLE);

    load.ask("begin")?;
    let before = (running.server.cpu_seconds()?, load.cpu_seconds()?);
    thread::sleep(options.window);
    let after = (running.server.cpu_seconds()?, load.cpu_seconds()?);
    load.ask("stop")?;
    let memory_kib = running.server.memory_kib()?;
    // What was written last may still be in time.
    thread::sleep(Duration::from_nanos(IN_TIME));
    let counts = end(&mut load, target)?;
    let seconds = counts.nanoseconds as f64 / 1e9;
    Ok(Measured {
        counts,
        expected: f64::from(rate) * clients as f64 * seconds,
        server: after.0 - before.0,
        load: after.1 - before.1,
        memory_kib,
    })
}

/// # Errors
///
/// When a stream of ours has ended: then the rest is not what was to be measured. Of others it is only reported.
fn end(load: &mut Process, target: Target) -> Result<Counts, Error> {
    let answer = load.ask("end")?;
    match Counts::parse(&answer) {
        Some(counts) if counts.ended > 0 && target == Target::Gateway => {
            Err(load.failure(&format!("saw {} streams end", counts.ended)))
        }
        Some(counts) => Ok(counts),
        None => Err(load.failure(&format!("answered {answer:?}"))),
    }
}
