//! Which part is started when, and what is read off it.

use std::{thread, time::Duration};

use crate::{
    Error,
    options::Options,
    parts::{
        load::Load,
        machine::{Machine, raise_descriptor_limit},
        measure::{Measured, measure},
        round::{Case, measure_all},
        server::Server,
        target::Target as _,
    },
    report,
    targets::{self, Target},
    upstream::{EVENTS_PER_SECOND, IDLE, PACED},
};

/// Streams that get events.
pub(crate) const PACED_STREAMS: usize = 1_000;

/// Between the last stream's head and the first measurement.
const SETTLE: Duration = Duration::from_secs(1);

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
    pub(crate) paced: Case<Target>,
    /// `None` where there is no proxy.
    pub(crate) idle: Option<Idle>,
}

/// # Errors
///
/// When any part fails: a number that is missing is never left out in silence.
pub(crate) fn run(options: &Options) -> Result<(), Error> {
    // A proxy needs two sockets a stream.
    raise_descriptor_limit(3 * options.own.streams[1] as u64 + 1_000)?;
    let machine = Machine::read();
    let upstream = Server::part("upstream", &[])?;
    for &target in &options.targets {
        // One that does not start is found out now rather than in its turn.
        targets::start(target, &upstream.address)?;
    }
    let paced = measure_all(options.targets.clone(), options.rounds, |&target| {
        measure_paced(target, &upstream, options.window)
    })?;
    let mut seen: Vec<Seen> = paced
        .into_iter()
        .map(|paced| Seen { paced, idle: None })
        .collect();
    measure_idle(&mut seen, &upstream, options)?;
    report::print(&machine, &seen, options);
    Ok(())
}

fn measure_paced(target: Target, upstream: &Server, window: Duration) -> Result<Measured, Error> {
    let proxy = targets::start(target, &upstream.address)?;
    let mut load = Load::start(&proxy.as_ref().unwrap_or(upstream).address)?;
    load.open(PACED_STREAMS, PACED)?;
    thread::sleep(SETTLE);
    let measured = measure(
        &mut load,
        proxy.as_ref().map(|proxy| &proxy.process),
        Some(&upstream.process),
        PACED_STREAMS as f64 * EVENTS_PER_SECOND as f64,
        window,
    )?;
    none_ended(target, measured.counts.ended)?;
    Ok(measured)
}

/// Reads the memory of all proxies side by side, since nothing but time passes meanwhile. All processes are there
/// before the first reading: pages of a program that runs twice are shared, and count for less.
fn measure_idle(seen: &mut [Seen], upstream: &Server, options: &Options) -> Result<(), Error> {
    struct Part<'a> {
        target: Target,
        idle: &'a mut Idle,
        proxy: Server,
        load: Load,
    }

    let mut parts = Vec::new();
    for Seen { paced, idle } in seen {
        let target = paced.what;
        if let Some(proxy) = targets::start(target, &upstream.address)? {
            let load = Load::start(&proxy.address)?;
            let idle = idle.insert(Idle::default());
            parts.push(Part {
                target,
                idle,
                proxy,
                load,
            });
        }
    }
    let mut opened = 0;
    for (step, streams) in options.own.streams.into_iter().enumerate() {
        eprintln!("{streams} idle streams through each …");
        for part in &mut parts {
            part.load.open(streams - opened, IDLE)?;
        }
        opened = streams;
        thread::sleep(SETTLE);
        for part in &mut parts {
            part.idle.at_head[step] = part.proxy.process.memory_kib()?;
        }
        thread::sleep(options.own.wait);
        for part in &mut parts {
            let counts = part.load.end()?;
            none_ended(part.target, counts.ended)?;
            part.idle.waited[step] = part.proxy.process.memory_kib()?;
            part.idle.comments = counts.comments;
        }
    }
    Ok(())
}

/// # Errors
///
/// When a stream has ended: then the rest is not what was to be measured.
fn none_ended(target: Target, ended: u64) -> Result<(), Error> {
    match ended {
        0 => Ok(()),
        _ => Err(format!("{ended} streams through {} ended", target.name()).into()),
    }
}
