//! Runs the measurements, each target in turn, and prints what came of them.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::{
    Error,
    load::Counts,
    options::Options,
    parts::{
        machine::{Machine, raise_descriptor_limit},
        process::{Process, start_part},
    },
    report,
    targets::{self, Running, Target},
    upstream::{EVENTS_PER_SECOND, IDLE, PACED},
};

/// Streams that get events.
pub(crate) const PACED_STREAMS: usize = 1_000;

/// Between the last stream's head and the first measurement.
const SETTLE: Duration = Duration::from_secs(1);

/// One measurement of paced streams.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paced {
    pub(crate) counts: Counts,
    /// What the pace asks for in the time that was measured.
    pub(crate) expected: f64,
    /// CPU seconds of the proxy, 0 where there is none.
    pub(crate) proxy: f64,
    pub(crate) upstream: f64,
    pub(crate) load: f64,
}

/// Memory of one proxy in KiB, at both numbers of idle streams.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Idle {
    pub(crate) at_head: [u64; 2],
    pub(crate) waited: [u64; 2],
    /// Comments that came through while waiting: the heartbeats.
    pub(crate) comments: u64,
}

/// All that was seen of one target.
pub(crate) struct Seen {
    pub(crate) target: Target,
    pub(crate) paced: Vec<Paced>,
    /// `None` where there is no proxy.
    pub(crate) idle: Option<Idle>,
}

/// # Errors
///
/// When any part fails: a number that is missing is never left out in silence.
pub(crate) fn run(options: &Options) -> Result<(), Error> {
    // A proxy needs two sockets a stream.
    raise_descriptor_limit(3 * options.idle[1] as u64 + 1_000)?;
    let machine = Machine::read();
    let upstream = start_part("upstream", &[])?;
    let address = upstream.address()?;
    for &target in &options.targets {
        // One that does not start is found out now rather than in its turn.
        targets::start(target, &address)?;
    }

    let mut seen: Vec<Seen> = options
        .targets
        .iter()
        .map(|&target| Seen {
            target,
            paced: Vec::new(),
            idle: None,
        })
        .collect();
    for round in 0..options.rounds {
        for turn in 0..seen.len() {
            let turn = (turn + round) % seen.len();
            let target = seen[turn].target;
            eprint!(
                "round {} of {}: {} … ",
                round + 1,
                options.rounds,
                target.name()
            );
            let paced = measure_paced(target, &upstream, &address, options)?;
            eprintln!("{}", report::paced_line(&paced));
            seen[turn].paced.push(paced);
        }
    }
    measure_idle(&mut seen, &address, options)?;
    report::print(&machine, &seen, options);
    Ok(())
}

fn measure_paced(
    target: Target,
    upstream: &Process,
    address: &str,
    options: &Options,
) -> Result<Paced, Error> {
    let running = targets::start(target, address)?;
    let mut load = start_part("load", &[&running.address])?;
    open(&mut load, target, PACED_STREAMS, PACED)?;
    thread::sleep(SETTLE);

    let used = || -> Result<[f64; 2], Error> {
        let proxy = running
            .process
            .as_ref()
            .map_or(Ok(0.0), Process::cpu_seconds)?;
        Ok([proxy, upstream.cpu_seconds()?])
    };
    let before = used()?;
    let load_before = load.cpu_seconds()?;
    load.ask("begin")?;
    let begun = Instant::now();
    thread::sleep(options.window);
    let counts = end(&mut load, target)?;
    let elapsed = begun.elapsed().as_secs_f64();
    let after = used()?;
    Ok(Paced {
        counts,
        expected: PACED_STREAMS as f64 * EVENTS_PER_SECOND as f64 * elapsed,
        proxy: after[0] - before[0],
        upstream: after[1] - before[1],
        load: load.cpu_seconds()? - load_before,
    })
}

/// Reads the memory of all proxies side by side, since nothing but time passes meanwhile. All processes are there
/// before the first reading: pages of a program that runs twice are shared, and count for less.
fn measure_idle(seen: &mut [Seen], address: &str, options: &Options) -> Result<(), Error> {
    struct Part<'a> {
        seen: &'a mut Seen,
        proxy: Running,
        load: Process,
    }

    let mut parts = Vec::new();
    for seen in seen.iter_mut().filter(|seen| seen.target != Target::Direct) {
        let proxy = targets::start(seen.target, address)?;
        let load = start_part("load", &[&proxy.address])?;
        seen.idle = Some(Idle::default());
        parts.push(Part { seen, proxy, load });
    }
    let mut opened = 0;
    for (step, streams) in options.idle.into_iter().enumerate() {
        eprintln!("{streams} idle streams through each …");
        for part in &mut parts {
            open(&mut part.load, part.seen.target, streams - opened, IDLE)?;
        }
        opened = streams;
        thread::sleep(SETTLE);
        for part in &mut parts {
            if let (Some(idle), Some(process)) = (&mut part.seen.idle, &part.proxy.process) {
                idle.at_head[step] = process.memory_kib()?;
            }
        }
        thread::sleep(options.idle_wait);
        for part in &mut parts {
            let counts = end(&mut part.load, part.seen.target)?;
            if let (Some(idle), Some(process)) = (&mut part.seen.idle, &part.proxy.process) {
                idle.waited[step] = process.memory_kib()?;
                idle.comments = counts.comments;
            }
        }
    }
    Ok(())
}

fn open(load: &mut Process, target: Target, streams: usize, path: &str) -> Result<(), Error> {
    match load.ask(&format!("open {streams} {path}"))?.as_str() {
        "opened" => Ok(()),
        other => Err(format!(
            "{}: {streams} streams could not be opened: {other}",
            target.name()
        )
        .into()),
    }
}

/// # Errors
///
/// When a stream has ended: then the rest is not what was to be measured.
fn end(load: &mut Process, target: Target) -> Result<Counts, Error> {
    let answer = load.ask("end")?;
    match Counts::parse(&answer) {
        Some(Counts {
            ended: ended @ 1.., ..
        }) => Err(load.failure(&format!(
            "saw {ended} streams through {} end",
            target.name()
        ))),
        Some(counts) => Ok(counts),
        None => Err(load.failure(&format!("answered {answer:?}"))),
    }
}
