//! Which part is started when, and what is read off it.

use std::{thread, time::Duration};

use crate::{
    Error,
    options::Options,
    parts::{
        load::Load,
        machine::{Machine, raise_descriptor_limit},
        measure::{Measured, measure},
        round::measure_all,
        server::Server,
    },
    report,
    targets::{self, Target},
};

/// Between the first event and the measurement.
const SETTLE: Duration = Duration::from_secs(3);

/// What is measured: events a second, to so many clients of this target.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crowd {
    pub(crate) target: Target,
    pub(crate) rate: u32,
    pub(crate) clients: usize,
}

/// # Errors
///
/// When any part fails: a number that is missing is never left out in silence.
pub(crate) fn run(options: &Options) -> Result<(), Error> {
    let own = &options.own;
    raise_descriptor_limit(2 * own.clients[1] as u64 + 1_000)?;
    let machine = Machine::read();
    let mut crowds = Vec::new();
    for clients in own.clients {
        for &rate in &own.rates {
            crowds.extend(options.targets.iter().map(|&target| Crowd {
                target,
                rate,
                clients,
            }));
        }
    }
    for crowd in &crowds {
        // One that does not start is found out now rather than in its turn.
        targets::start(crowd.target, crowd.rate, own.nchan_workers)?;
    }
    let cases = measure_all(crowds, options.rounds, |crowd| {
        measure_crowd(*crowd, options)
    })?;
    report::print(&machine, &cases, options);
    Ok(())
}

fn measure_crowd(crowd: Crowd, options: &Options) -> Result<Measured, Error> {
    let Crowd {
        target,
        rate,
        clients,
    } = crowd;
    let mut running = targets::start(target, rate, options.own.nchan_workers)?;
    let mut load = Load::start(&running.server.address)?;
    load.open(clients, &running.path)?;
    running.go()?;
    thread::sleep(SETTLE);
    let Server { process, .. } = &running.server;
    let pace = f64::from(rate) * clients as f64;
    let measured = measure(
        &mut load,
        Some(process),
        running.source.as_ref(),
        pace,
        options.window,
    )?;
    // Of others it is only reported: one that cannot keep up may end streams.
    if measured.counts.ended > 0 && target == Target::Gateway {
        let ended = measured.counts.ended;
        return Err(process.failure(&format!("ended {ended} streams")));
    }
    Ok(measured)
}
