//! What is measured, row by row. In each round every target is measured once, and each round begins with another one.

use std::{
    mem, thread,
    time::{Duration, Instant},
};

use crate::{
    options::Options,
    parts::{
        Error,
        load::{Counts, Load},
        machine::{Machine, raise_descriptor_limit},
        measure::{micros, millis},
        report::{conditions, table},
        spread::Spread,
    },
    redis::Redis,
    targets::{Setup, Target},
};

/// Between the first event and the measurement.
const SETTLE: Duration = Duration::from_secs(2);
/// A takeover is over by then.
const TAKEOVER: Duration = Duration::from_millis(3_500);
/// How long anything may take that has no time of its own.
const LIMIT: Duration = Duration::from_secs(120);
/// Of each gateway, where it is not the crowd that is measured.
const READERS: usize = 10;
const HISTORY: usize = 5_000;

/// A line of a table: what it is of, and its numbers.
type Line = (String, Vec<f64>);

/// # Errors
///
/// When any part fails: a number that is missing is never left out in silence.
pub(crate) fn run(options: &Options) -> Result<(), Error> {
    let own = &options.own;
    let most = own.streams.max(3 * own.clients).max(own.comers);
    raise_descriptor_limit(2 * most as u64 + 1_000)?;
    let machine = Machine::read();
    for row in &own.rows {
        match row.as_str() {
            "latency" => print(
                &["p50 µs", "p99 µs"],
                in_rounds(options, &ALL, |target| latency(target, options))?,
            ),
            "events" => print(
                &["events/s read by each client", "missing"],
                in_rounds(options, &OURS, |target| events(target, options))?,
            ),
            "fanout" => print(
                &[
                    "deliveries a CPU-second",
                    "with that of Redis",
                    "delivered %",
                    "p99 ms",
                ],
                in_rounds(options, &ALL, |target| fanout(target, options))?,
            ),
            "kills" => print(
                &["p50 ms", "p99 ms", "most ms", "missing"],
                kills(own.kills)?,
            ),
            "idle" => print(
                &["commands/s", "Redis: KiB a stream", "s to open all"],
                in_rounds(options, &[Target::Several], |_| {
                    idle(own.streams, options.window)
                })?,
            ),
            _ => print(
                &["s until all have all", "reads of the log"],
                in_rounds(options, &OURS, |target| replay(target, own.comers))?,
            ),
        }
    }
    conditions(&machine, options, "Takeovers are not repeated by rounds.");
    Ok(())
}

const ALL: [Target; 3] = [Target::Memory, Target::Several, Target::App];
const OURS: [Target; 2] = [Target::Memory, Target::Several];

fn in_rounds(
    options: &Options,
    targets: &[Target],
    measure: impl Fn(Target) -> Result<Vec<Line>, Error>,
) -> Result<Vec<(String, Vec<Spread>)>, Error> {
    let chosen = |target: &&Target| options.targets.contains(target);
    let targets: Vec<&Target> = targets.iter().filter(chosen).collect();
    let mut all: Vec<(String, Vec<Vec<f64>>)> = Vec::new();
    for round in 0..options.rounds {
        for turn in 0..targets.len() {
            for (name, numbers) in measure(*targets[(turn + round) % targets.len()])? {
                eprintln!("round {}: {name}: {numbers:.2?}", round + 1);
                match all.iter_mut().find(|(known, _)| *known == name) {
                    Some((_, rounds)) => rounds.push(numbers),
                    None => all.push((name, vec![numbers])),
                }
            }
        }
    }
    let spreads = |rounds: Vec<Vec<f64>>| {
        let columns = rounds.first().map_or(0, Vec::len);
        let column = |at: usize| Spread::of(rounds.iter().map(|round| round[at]));
        (0..columns).map(column).collect()
    };
    let all = all.into_iter();
    Ok(all.map(|(name, rounds)| (name, spreads(rounds))).collect())
}

fn print(headings: &[&str], rows: Vec<(String, Vec<Spread>)>) {
    let digits = |spread: &Spread| match spread.median {
        100.0.. => 0,
        10.0.. => 1,
        _ => 2,
    };
    let rows = rows.into_iter().map(|(name, spreads)| {
        let cells = spreads.iter().map(|spread| spread.show(digits(spread)));
        [name].into_iter().chain(cells).collect()
    });
    table(headings, rows);
}

/// Which clients: those of the first read by the gateway that reads the upstream.
fn who(target: Target, number: usize) -> String {
    match (target, number) {
        (Target::Memory, _) => "one gateway, in memory".into(),
        (Target::Several, 0) => "three gateways, the one that reads the upstream".into(),
        (Target::Several, _) => format!("three gateways, another ({number})"),
        (Target::App, 0) => "app.py, the one that reads the upstream".into(),
        (Target::App, _) => format!("app.py, another ({number})"),
    }
}

/// Has clients of each server read for a while. What they counted, and the CPU seconds of servers and Redis meanwhile.
fn read(
    setup: &Setup,
    path: &str,
    clients: usize,
    window: Duration,
) -> Result<(Vec<Counts>, [f64; 2]), Error> {
    let mut loads = setup.loads()?;
    for load in &mut loads {
        load.open(clients, path)?;
        // The first one's gateway is to be the owner.
        thread::sleep(Duration::from_millis(200));
    }
    thread::sleep(SETTLE);
    for load in &mut loads {
        load.begin()?;
    }
    let before = setup.cpu_seconds()?;
    thread::sleep(window);
    let after = setup.cpu_seconds()?;
    for load in &mut loads {
        load.stop()?;
    }
    thread::sleep(Duration::from_secs(1));
    let counts = loads.iter_mut().map(Load::end);
    Ok((
        counts.collect::<Result<_, _>>()?,
        [after[0] - before[0], after[1] - before[1]],
    ))
}

fn latency(target: Target, options: &Options) -> Result<Vec<Line>, Error> {
    let path = "/paced/100";
    let setup = Setup::start(target, path, &[])?;
    let (counts, _) = read(&setup, path, READERS, options.window)?;
    let lines = counts.iter().enumerate().map(|(number, counts)| {
        let numbers = vec![micros(counts.p50), micros(counts.p99)];
        (who(target, number), numbers)
    });
    Ok(lines.collect())
}

fn events(target: Target, options: &Options) -> Result<Vec<Line>, Error> {
    let mut lines = Vec::new();
    for (path, how) in [
        ("/paced/20000", "20,000/s"),
        ("/bursts/150000", "150,000/s, 64 at a time"),
    ] {
        let setup = Setup::start(
            target,
            path,
            &["--history-events", "100000", "--history-bytes", "32MiB"],
        )?;
        let (counts, _) = read(&setup, path, 1, options.window)?;
        for (number, counts) in counts.iter().enumerate() {
            let each = counts.read as f64 * 1e9 / counts.nanoseconds as f64;
            lines.push((
                format!("{how}: {}", who(target, number)),
                vec![each, counts.missing as f64],
            ));
        }
    }
    Ok(lines)
}

fn fanout(target: Target, options: &Options) -> Result<Vec<Line>, Error> {
    let path = "/paced/10";
    let clients = match target {
        Target::Memory => 3 * options.own.clients,
        Target::Several => options.own.clients,
        Target::App => options.own.clients / 10,
    };
    let setup = Setup::start(target, path, &[])?;
    let (counts, [servers, redis]) = read(&setup, path, clients, options.window)?;
    let sum: u64 = counts.iter().map(|counts| counts.read).sum();
    let seconds = counts[0].nanoseconds as f64 / 1e9;
    let wanted = 10.0 * seconds * (clients * counts.len()) as f64;
    let late = counts.iter().map(|counts| counts.p99).max();
    let name = match target {
        Target::Memory => format!("one gateway, {clients} clients"),
        Target::Several => format!("three gateways, 3 × {clients}"),
        Target::App => format!("app.py, 3 × {clients}"),
    };
    let numbers = vec![
        sum as f64 / servers,
        sum as f64 / (servers + redis),
        100.0 * sum as f64 / wanted,
        millis(late.unwrap_or(0)),
    ];
    Ok(vec![(name, numbers)])
}

/// The gateway that reads the upstream is killed, again and again, under a client of another one. How late is the latest event?
fn kills(count: usize) -> Result<Vec<(String, Vec<Spread>)>, Error> {
    let path = "/paced/200";
    let mut setup = Setup::start(Target::Several, path, &[])?;
    let mut own = Load::start(&setup.servers[0].address)?;
    own.open(1, path)?;
    let (mut takeovers, mut missing) = (Vec::new(), 0);
    for number in 0..count {
        let mut other = Load::start(&setup.servers[1].address)?;
        other.open(1, path)?;
        thread::sleep(Duration::from_millis(500));
        other.begin()?;
        thread::sleep(Duration::from_millis(100));
        // With its clients. Nobody is told.
        drop(setup.servers.remove(0));
        drop(mem::replace(&mut own, other));
        thread::sleep(TAKEOVER);
        own.stop()?;
        let counts = own.end()?;
        eprintln!(
            "kill {}: {:.0} ms, {} missing",
            number + 1,
            millis(counts.max),
            counts.missing
        );
        takeovers.push(millis(counts.max));
        missing += counts.missing;
        let next = setup.gateway()?;
        setup.servers.push(next);
    }
    takeovers.sort_by(f64::total_cmp);
    let at = |share: f64| takeovers[((count - 1) as f64 * share).round() as usize];
    let numbers = [at(0.5), at(0.99), at(1.0), missing as f64];
    let spreads = numbers.map(|number| Spread::of([number].into_iter()));
    Ok(vec![(
        format!("{count} kills of the owner"),
        spreads.into(),
    )])
}

fn idle(streams: usize, window: Duration) -> Result<Vec<Line>, Error> {
    let setup = Setup::start(Target::Several, "/idle", &["--max-relays", "30000"])?;
    let redis = setup.redis.as_ref().ok_or("there is no Redis")?;
    let memory = |redis: &Redis| redis.number("memory", "used_memory");
    let before = memory(redis)?;
    let mut lines = Vec::new();
    let mut loads = setup.loads()?;
    for (number, load) in loads.iter_mut().take(2).enumerate() {
        let began = Instant::now();
        for stream in 0..streams {
            load.open(1, &format!("/idle/{stream}"))?;
        }
        let opened = began.elapsed().as_secs_f64();
        thread::sleep(SETTLE);
        let commands = |redis: &Redis| redis.number("stats", "total_commands_processed");
        let first = commands(redis)?;
        thread::sleep(window);
        let each = (commands(redis)? - first) / window.as_secs_f64();
        let kib = (memory(redis)? - before) / 1024.0 / streams as f64;
        let name = match number {
            0 => format!("{streams} idle streams of one gateway"),
            _ => "the same followed by a second one".to_owned(),
        };
        lines.push((name, vec![each, kib, opened]));
    }
    Ok(lines)
}

/// Clients come to a gateway that does not follow the stream yet.
fn replay(target: Target, comers: usize) -> Result<Vec<Line>, Error> {
    let path = format!("/history/{HISTORY}");
    let flags = [
        "--start",
        "all",
        "--history-events",
        "10000",
        "--history-bytes",
        "8MiB",
    ];
    let setup = Setup::start(target, &path, &flags)?;
    let mut loads = setup.loads()?;
    loads[0].open(1, &path)?;
    let one = wait_for_bytes(&mut loads[0], 1, None)?;
    let reads = |setup: &Setup| {
        let redis = setup.redis.as_ref();
        redis.map_or(Ok(0.0), |redis| {
            redis.number("commandstats", "cmdstat_xrange:calls")
        })
    };
    let before = reads(&setup)?;
    let began = Instant::now();
    let last = loads.last_mut().ok_or("there are no clients")?;
    last.open(comers, &path)?;
    // In memory it is the same process of clients, which has read once already.
    let is_same = target == Target::Memory;
    wait_for_bytes(last, comers + usize::from(is_same), Some(one))?;
    let took = began.elapsed().as_secs_f64();
    let name = match target {
        Target::Memory => format!("one gateway, {comers} comers"),
        _ => format!("three gateways, {comers} comers to one that does not follow yet"),
    };
    Ok(vec![(name, vec![took, reads(&setup)? - before])])
}

/// Waits until so many clients have read so many bytes each; without a number, until one has read all.
fn wait_for_bytes(load: &mut Load, clients: usize, each: Option<u64>) -> Result<u64, Error> {
    let began = Instant::now();
    // What the source writes, less the lines of ids.
    let least = each.unwrap_or(HISTORY as u64 * 150) * clients as u64;
    loop {
        thread::sleep(Duration::from_millis(50));
        let bytes = load.end()?.bytes;
        if bytes >= least {
            thread::sleep(Duration::from_millis(if each.is_none() { 500 } else { 0 }));
            return Ok(load.end()?.bytes);
        }
        if began.elapsed() > LIMIT {
            return Err(format!("{bytes} bytes of {least} were read").into());
        }
    }
}
