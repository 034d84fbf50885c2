//! The table for `benches/README.md`, and the lines that say what it rests on.

use crate::{
    conductor::{PACED_STREAMS, Seen},
    options::Options,
    parts::{
        machine::Machine,
        measure::{Measured, micros},
        report::{conditions, table},
        round::{Case, Spoken},
        target::Target as _,
    },
    targets::Target,
    upstream::EVENTS_PER_SECOND,
};

impl Spoken for Target {
    fn name(&self) -> String {
        (*self).name().to_owned()
    }

    fn line(measured: &Measured) -> String {
        format!(
            "{:.1} CPU-s per million events, p50 {:.0} µs, p99 {:.0} µs, {:.1} % delivered",
            cpu(measured),
            micros(measured.counts.p50),
            micros(measured.counts.p99),
            measured.delivered(),
        )
    }
}

pub(crate) fn print(machine: &Machine, seen: &[Seen], options: &Options) {
    let plain = seen.iter().find(|seen| seen.paced.what == Target::Plain);
    let plain_cpu = plain.map(|plain| plain.paced.spread(cpu).median);
    let plain_memory = plain.and_then(|plain| idle_kib(plain, options));
    table(
        &[
            "CPU-s per million events",
            "p50 µs",
            "p99 µs",
            "delivered %",
            "KiB per idle stream",
        ],
        seen.iter().map(|seen| {
            let Case { what, .. } = seen.paced;
            let used = seen.paced.spread(cpu);
            let memory = idle_kib(seen, options);
            vec![
                what.title(),
                match what {
                    Target::Direct => "–".to_owned(),
                    _ => format!("{}{}", used.show(1), ratio(used.median, plain_cpu)),
                },
                seen.paced.spread(|it| micros(it.counts.p50)).show(0),
                seen.paced.spread(|it| micros(it.counts.p99)).show(0),
                seen.paced.spread(Measured::delivered).show(1),
                memory.map_or("–".to_owned(), |kib| {
                    format!("{kib:.1}{}", ratio(kib, plain_memory))
                }),
            ]
        }),
    );
    let [few, many] = options.own.streams;
    conditions(
        machine,
        options,
        &format!(
            "{PACED_STREAMS} streams × {EVENTS_PER_SECOND} events/s, × is to plain hyper. Idle: PSS after {} s, slope \
             from {few} to {many} streams.",
            options.own.wait.as_secs() + 1
        ),
    );
    print_details(seen, options);
}

/// What does not fit into the table, and what says whether it can be trusted.
fn print_details(seen: &[Seen], options: &Options) {
    for Seen { paced, idle } in seen {
        println!(
            "- {}: max {} µs, {} events missing; upstream {} and load {} CPU-s per million events",
            paced.what.name(),
            paced.spread(|it| micros(it.counts.max)).show(0),
            paced.sum(|it| it.counts.missing),
            paced.spread(|it| it.per_million(it.source)).show(1),
            paced.spread(|it| it.per_million(it.load)).show(1),
        );
        if let Some(idle) = idle {
            let [few, many] = idle.waited;
            let at_head = slope(idle.at_head, options);
            println!(
                "  idle: {at_head:.1} KiB per stream right after the head; {few} and {many} KiB in all, {} comments read",
                idle.comments
            );
        }
    }
}

fn cpu(measured: &Measured) -> f64 {
    measured.per_million(measured.server)
}

fn idle_kib(seen: &Seen, options: &Options) -> Option<f64> {
    seen.idle.map(|idle| slope(idle.waited, options))
}

fn slope(kib: [u64; 2], options: &Options) -> f64 {
    let [few, many] = options.own.streams;
    (kib[1] as f64 - kib[0] as f64) / (many - few) as f64
}

fn ratio(value: f64, plain: Option<f64>) -> String {
    plain.map_or_else(String::new, |plain| format!(", × {:.2}", value / plain))
}
