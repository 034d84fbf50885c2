//! Clients that connect, ask for an event stream, read its first event, and leave: how many of them a CPU second of the
//! proxy is enough for. Whether a proxy connects to the upstream for each is its own affair.

use std::{
    thread,
    time::{Duration, Instant},
};

use super::{Setup, compared};
use crate::{
    Error,
    options::Options,
    parts::{
        process::{Process, start_part},
        report::table,
        round::{Case, Spoken, measure_all},
        target::Target as _,
    },
    targets::Target,
    upstream::OPEN,
    visits::AT_ONCE,
};

/// Between the first visit and the measurement.
const SETTLE: Duration = Duration::from_secs(1);

/// Streams that the upstream may have open: some are on their way.
const MOST_OPEN: u64 = 20 * AT_ONCE as u64;

struct Visits {
    count: u64,
    seconds: f64,
    /// CPU seconds.
    proxy: f64,
    /// Streams that the upstream had open at the end.
    open: u64,
}

pub(super) fn run(options: &Options) -> Result<(), Error> {
    let proxies = options.targets.iter().filter(|it| **it != Target::Direct);
    let cases = measure_all(proxies.cloned(), options.rounds, |target| {
        measure_visits(target, options.window)
    })?;
    print(&cases);
    Ok(())
}

fn measure_visits(target: &Target, window: Duration) -> Result<Visits, Error> {
    let mut setup = Setup::start(target)?;
    let mut visitors = start_part("visits", &[setup.address()])?;
    thread::sleep(SETTLE);
    let start = Instant::now();
    let before = (visits(&mut visitors)?, setup.proxy_cpu_seconds()?);
    thread::sleep(window);
    let after = (visits(&mut visitors)?, setup.proxy_cpu_seconds()?);
    let seconds = start.elapsed().as_secs_f64();
    let open = setup.upstream.process.ask(OPEN)?.parse()?;
    // Else a part of the work is left out.
    if open > MOST_OPEN {
        return Err(
            format!("{target} left {open} streams open behind clients that had gone").into(),
        );
    }
    Ok(Visits {
        count: after.0 - before.0,
        seconds,
        proxy: after.1 - before.1,
        open,
    })
}

fn visits(visitors: &mut Process) -> Result<u64, Error> {
    Ok(visitors.ask("visits")?.parse()?)
}

impl Spoken for Visits {
    fn line(&self) -> String {
        format!(
            "{:.0} connects per CPU-s, {:.0}/s",
            self.per_cpu_second(),
            self.per_second()
        )
    }
}

impl Visits {
    fn per_cpu_second(&self) -> f64 {
        self.count as f64 / self.proxy
    }

    fn per_second(&self) -> f64 {
        self.count as f64 / self.seconds
    }
}

fn print(cases: &[Case<Target, Visits>]) {
    println!("\nConnect, read the first event of a stream, close: {AT_ONCE} clients at once");
    table(
        &["connects per CPU-s", "connects/s"],
        cases.iter().map(|case| {
            vec![
                case.what.title(),
                compared(case, cases, 0, Visits::per_cpu_second),
                case.spread(Visits::per_second).show(0),
            ]
        }),
    );
    println!();
    for case in cases {
        println!(
            "- {}: {} connects; {} streams open at the end of a round",
            case.what,
            case.sum(|it| it.count),
            case.spread(|it| it.open as f64).show(0),
        );
    }
}
