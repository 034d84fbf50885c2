//! The tables, and the lines that say what they rest on.

use crate::{
    conductor::{Measured, Seen},
    options::Options,
    parts::{event::EVENT_BYTES, machine::Machine, spread::Spread},
    targets::Target,
};

/// A measurement that has just been made.
pub(crate) fn line(measured: &Measured) -> String {
    let Measured { counts, .. } = measured;
    format!(
        "{:.0}/s, {:.1} % in time, {:.0} per CPU-s, p50 {:.1} ms, p99 {:.1} ms, {} missing, {} ended; \
         CPU-s: server {:.1}, load {:.1}",
        reached(measured),
        in_time(measured),
        per_cpu_second(measured),
        millis(counts.p50),
        millis(counts.p99),
        counts.missing,
        counts.ended,
        measured.server,
        measured.load,
    )
}

pub(crate) fn print(machine: &Machine, seen: &[Seen], options: &Options) {
    for &rate in &options.rates {
        for (size, clients) in options.clients.into_iter().enumerate() {
            println!("\n{rate} events/s to {clients} clients\n");
            println!("| | deliveries per CPU-s | deliveries/s | in time % | p50 ms | p99 ms |");
            println!("|---|---:|---:|---:|---:|---:|");
            for seen in seen.iter().filter(|seen| seen.rate == rate) {
                println!("| {} | {} |", seen.target.title(), row(&seen.rounds[size]));
            }
        }
    }
    print_memory(seen, options);
    print_conditions(machine, options);
    print_details(seen, options);
}

fn row(rounds: &[Measured]) -> String {
    let show =
        |value: fn(&Measured) -> f64, digits| Spread::of(rounds.iter().map(value)).show(digits);
    [
        show(per_cpu_second, 0),
        show(reached, 0),
        show(in_time, 1),
        show(|measured| millis(measured.counts.p50), 1),
        show(|measured| millis(measured.counts.p99), 1),
    ]
    .join(" | ")
}

fn print_memory(seen: &[Seen], options: &Options) {
    let [fewer, more] = options.clients;
    println!("\n| KiB per client, slope from {fewer} to {more} | |");
    println!("|---|---:|");
    for seen in seen {
        let [few, many] = seen
            .rounds
            .each_ref()
            .map(|rounds| Spread::of(rounds.iter().map(|round| round.memory_kib as f64)).median);
        let slope = (many - few) / (more - fewer) as f64;
        println!("| {}, {}/s | {slope:.1} |", seen.target.title(), seen.rate);
    }
}

fn print_conditions(machine: &Machine, options: &Options) {
    println!(
        "\nEvents of {EVENT_BYTES} B over loopback, {} × {} s each, targets in turn: median (lowest–highest). In time is \
         within a second; latencies are of what had been read a second after the end. Memory is PSS. nchan with {} \
         workers. {machine}. `cargo bench --features {} --bench fanout{}`",
        options.rounds,
        options.window.as_secs(),
        options.nchan_workers,
        if cfg!(feature = "jemalloc") {
            "jemalloc"
        } else {
            "gateway"
        },
        options.words,
    );
    let left_out: Vec<&str> = Target::ALL
        .iter()
        .filter(|target| !options.targets.contains(target))
        .map(|target| target.name())
        .collect();
    if !left_out.is_empty() {
        println!("Left out by `--only`: {}.", left_out.join(", "));
    }
}

/// What does not fit into the tables, and what says whether they can be trusted.
fn print_details(seen: &[Seen], options: &Options) {
    println!();
    for seen in seen {
        for (rounds, clients) in seen.rounds.iter().zip(options.clients) {
            let missing: u64 = rounds.iter().map(|round| round.counts.missing).sum();
            let ended: u64 = rounds.iter().map(|round| round.counts.ended).sum();
            println!(
                "- {}, {}/s to {clients}: {missing} events missing, {ended} streams ended; CPU-s of the server {}, of the load {}",
                seen.target.name(),
                seen.rate,
                Spread::of(rounds.iter().map(|round| round.server)).show(1),
                Spread::of(rounds.iter().map(|round| round.load)).show(1),
            );
        }
    }
}

fn reached(measured: &Measured) -> f64 {
    measured.counts.read as f64 * 1e9 / measured.counts.nanoseconds as f64
}

fn per_cpu_second(measured: &Measured) -> f64 {
    measured.counts.read as f64 / measured.server
}

/// Percent of what the pace asks for.
fn in_time(measured: &Measured) -> f64 {
    100.0 * measured.counts.in_time as f64 / measured.expected
}

/// When nothing of what was written had been read in the end, nobody knows how late it is.
fn millis(nanoseconds: u64) -> f64 {
    match nanoseconds {
        0 => f64::INFINITY,
        some => some as f64 / 1e6,
    }
}
