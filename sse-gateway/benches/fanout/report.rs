//! The tables, and the lines that say what they rest on.

use std::fmt;

use crate::{
    conductor::Crowd,
    options::Options,
    parts::{
        machine::Machine,
        measure::{Measured, millis},
        report::{conditions, table},
        round::{Case, Spoken},
        target::Target as _,
    },
};

impl fmt::Display for Crowd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (rate, clients, target) = (self.rate, self.clients, self.target.name());
        write!(f, "{rate}/s to {clients} clients of {target}")
    }
}

impl Spoken for Measured {
    fn line(&self) -> String {
        let counts = &self.counts;
        format!(
            "{:.0}/s, {:.1} % in time, {:.0} per CPU-s, p50 {:.1} ms, p99 {:.1} ms, {} missing, {} ended; \
             CPU-s: server {:.1}, load {:.1}",
            self.reached(),
            self.in_time(),
            self.per_cpu_second(),
            millis(counts.p50),
            millis(counts.p99),
            counts.missing,
            counts.ended,
            self.server,
            self.load,
        )
    }
}

pub(crate) fn print(machine: &Machine, cases: &[Case<Crowd, Measured>], options: &Options) {
    for &rate in &options.own.rates {
        for clients in options.own.clients {
            println!("\n{rate} events/s to {clients} clients");
            table(
                &[
                    "deliveries per CPU-s",
                    "deliveries/s",
                    "in time %",
                    "p50 ms",
                    "p99 ms",
                ],
                cases
                    .iter()
                    .filter(|case| case.what.rate == rate && case.what.clients == clients)
                    .map(row),
            );
        }
    }
    print_memory(cases, options);
    conditions(
        machine,
        options,
        &format!(
            "In time is within a second; latencies are of what had been read a second after the end. Memory is PSS. \
             nchan with {} workers.",
            options.own.nchan_workers
        ),
    );
    print_details(cases);
}

fn row(case: &Case<Crowd, Measured>) -> Vec<String> {
    vec![
        case.what.target.title(),
        case.spread(Measured::per_cpu_second).show(0),
        case.spread(Measured::reached).show(0),
        case.spread(Measured::in_time).show(1),
        case.spread(|it| millis(it.counts.p50)).show(1),
        case.spread(|it| millis(it.counts.p99)).show(1),
    ]
}

fn print_memory(cases: &[Case<Crowd, Measured>], options: &Options) {
    let [fewer, more] = options.own.clients;
    let kib = |case: &Case<Crowd, Measured>| case.spread(|it| it.memory_kib as f64).median;
    let few = cases.iter().filter(|case| case.what.clients == fewer);
    let many = cases.iter().filter(|case| case.what.clients == more);
    table(
        &[&format!("KiB per client, slope from {fewer} to {more}")],
        // Both have the same targets and rates in the same order.
        few.zip(many).map(|(few, many)| {
            let Crowd { target, rate, .. } = few.what;
            let slope = (kib(many) - kib(few)) / (more - fewer) as f64;
            vec![
                format!("{}, {rate}/s", target.title()),
                format!("{slope:.1}"),
            ]
        }),
    );
}

/// What does not fit into the tables, and what says whether they can be trusted.
fn print_details(cases: &[Case<Crowd, Measured>]) {
    for case in cases {
        let Crowd {
            target,
            rate,
            clients,
        } = case.what;
        println!(
            "- {}, {rate}/s to {clients}: {} events missing, {} streams ended; CPU-s of the server {}, of the load {}",
            target.name(),
            case.sum(|it| it.counts.missing),
            case.sum(|it| it.counts.ended),
            case.spread(|it| it.server).show(1),
            case.spread(|it| it.load).show(1),
        );
    }
}
