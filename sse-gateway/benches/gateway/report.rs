//! The table for `benches/README.md`, and the lines that say what it rests on.

use crate::{
    conductor::{PACED_STREAMS, Paced, Seen},
    options::Options,
    parts::{event::EVENT_BYTES, machine::Machine, spread::Spread},
    targets::Target,
    upstream::EVENTS_PER_SECOND,
};

/// A measurement that has just been made.
pub(crate) fn paced_line(paced: &Paced) -> String {
    format!(
        "{:.1} CPU-s per million events, p50 {:.0} µs, p99 {:.0} µs, {:.1} % delivered",
        per_million(paced, paced.proxy),
        micros(paced.counts.p50),
        micros(paced.counts.p99),
        delivered(paced),
    )
}

pub(crate) fn print(machine: &Machine, seen: &[Seen], options: &Options) {
    let plain = seen.iter().find(|seen| seen.target == Target::Plain);
    let plain_cpu =
        plain.map(|plain| spread(plain, |paced| per_million(paced, paced.proxy)).median);
    let plain_memory = plain.and_then(|plain| idle_kib(plain, options));
    println!();
    println!(
        "| | CPU-s per million events | p50 µs | p99 µs | delivered % | KiB per idle stream |"
    );
    println!("|---|---:|---:|---:|---:|---:|");
    for seen in seen {
        let cpu = spread(seen, |paced| per_million(paced, paced.proxy));
        let cpu = match seen.target {
            Target::Direct => "–".to_owned(),
            _ => format!("{}{}", cpu.show(1), ratio(cpu.median, plain_cpu)),
        };
        let memory = idle_kib(seen, options);
        let memory = memory.map_or("–".to_owned(), |kib| {
            format!("{kib:.1}{}", ratio(kib, plain_memory))
        });
        println!(
            "| {} | {cpu} | {} | {} | {} | {memory} |",
            seen.target.title(),
            spread(seen, |paced| micros(paced.counts.p50)).show(0),
            spread(seen, |paced| micros(paced.counts.p99)).show(0),
            spread(seen, delivered).show(1),
        );
    }
    println!();
    print_conditions(machine, options);
    print_details(seen, options);
}

fn print_conditions(machine: &Machine, options: &Options) {
    let [few, many] = options.idle;
    println!(
        "{PACED_STREAMS} streams × {EVENTS_PER_SECOND} events/s × {EVENT_BYTES} B over loopback, {} × {} s each, \
         targets in turn: median (lowest–highest), × is to plain hyper. Idle: PSS after {} s, slope from {few} to {many} \
         streams. {machine}. \
         `cargo bench --features {} --bench gateway{}`",
        options.rounds,
        options.window.as_secs(),
        options.idle_wait.as_secs() + 1,
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

/// What does not fit into the table, and what says whether it can be trusted.
fn print_details(seen: &[Seen], options: &Options) {
    println!();
    for seen in seen {
        let missing: u64 = seen.paced.iter().map(|paced| paced.counts.missing).sum();
        println!(
            "- {}: max {} µs, {missing} events missing; upstream {} and load {} CPU-s per million events",
            seen.target.name(),
            spread(seen, |paced| micros(paced.counts.max)).show(0),
            spread(seen, |paced| per_million(paced, paced.upstream)).show(1),
            spread(seen, |paced| per_million(paced, paced.load)).show(1),
        );
        if let Some(idle) = seen.idle {
            let [few, many] = idle.waited;
            let at_head = slope(idle.at_head, options);
            println!(
                "  idle: {at_head:.1} KiB per stream right after the head; {few} and {many} KiB in all, {} comments read",
                idle.comments
            );
        }
    }
}

/// CPU seconds for a million events that arrived.
fn per_million(paced: &Paced, seconds: f64) -> f64 {
    seconds * 1e6 / paced.counts.events.max(1) as f64
}

fn micros(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e3
}

/// Percent of the events that the pace asks for.
fn delivered(paced: &Paced) -> f64 {
    100.0 * paced.counts.events as f64 / paced.expected
}

fn idle_kib(seen: &Seen, options: &Options) -> Option<f64> {
    seen.idle.map(|idle| slope(idle.waited, options))
}

fn slope(kib: [u64; 2], options: &Options) -> f64 {
    (kib[1] as f64 - kib[0] as f64) / (options.idle[1] - options.idle[0]) as f64
}

fn ratio(value: f64, plain: Option<f64>) -> String {
    plain.map_or_else(String::new, |plain| format!(", × {:.2}", value / plain))
}

fn spread(seen: &Seen, value: impl Fn(&Paced) -> f64) -> Spread {
    Spread::of(seen.paced.iter().map(value))
}
