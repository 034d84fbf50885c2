//! Clients that come and leave, as many as a gateway sees in a while: it fails where the gateway grows by them, or holds
//! anything when all have gone.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::{
    Error,
    options::Options,
    parts::{
        process::{Process, start_part},
        report::table,
        server::Server,
        target::Target as _,
    },
    targets::{self, Target},
    upstream::OPEN,
};

/// Flags of the gateway, and what that is called.
const WAYS: [(&str, &[&str]); 2] = [
    ("proxied", &[]),
    (
        "shared",
        &["--share", "on", "--start", "last:1", "--on-leave", "cancel"],
    ),
];

/// Bytes a visit by which it may grow in the second half.
const GROWTH: f64 = 10.0;

/// How long the allocator may take to give back what is free, and the gateway to close what is open.
const REST: Duration = Duration::from_secs(14);
const PAUSE: Duration = Duration::from_millis(250);

struct Leaves {
    visits: usize,
    /// Anonymous memory behind each half.
    kib: [u64; 2],
    descriptors: [usize; 2],
    /// Streams that the upstream has open at the end.
    open: u64,
}

pub(super) fn run(options: &Options) -> Result<(), Error> {
    let mut all = Vec::new();
    for target in options.targets.iter().filter(|it| it.is_gateway()) {
        for (way, flags) in WAYS {
            let title = format!("{}, {way}", target.title());
            eprint!("{} visits: {target}, {way} … ", options.own.visits);
            let leaves = Leaves::measure(target, flags, options.own.visits)?;
            eprintln!("{:.1} bytes a visit", leaves.growth());
            all.push((title, leaves));
        }
    }
    print(&all);
    match all.iter().find(|(_, leaves)| leaves.has_left_something()) {
        Some((title, _)) => Err(format!("{title}: it has grown, or something is left").into()),
        None => Ok(()),
    }
}

impl Leaves {
    fn measure(target: &Target, flags: &[&str], visits: usize) -> Result<Self, Error> {
        let mut upstream = Server::part("upstream", &[])?;
        let gateway = targets::start_gateway(target, &upstream.address, flags)?;
        let before = gateway.process.descriptors()?;
        let mut leavers = start_part("leavers", &[&gateway.address])?;
        // The first streams fill what is kept.
        leavers.ask(&(visits / 10).to_string())?;
        let mut kib = [0; 2];
        for kib in &mut kib {
            leavers.ask(&(visits / 2).to_string())?;
            *kib = resting_kib(&gateway.process)?;
        }
        Ok(Leaves {
            visits,
            kib,
            descriptors: [before, gateway.process.descriptors()?],
            open: upstream.process.ask(OPEN)?.parse()?,
        })
    }

    /// Bytes a visit of the second half.
    fn growth(&self) -> f64 {
        let [first, second] = self.kib.map(|kib| kib as f64 * 1024.0);
        (second - first) / (self.visits / 2) as f64
    }

    fn has_left_something(&self) -> bool {
        let [before, after] = self.descriptors;
        self.growth() > GROWTH || after > before || self.open > 0
    }
}

/// The least in the time that it may take.
fn resting_kib(gateway: &Process) -> Result<u64, Error> {
    let began = Instant::now();
    let mut least = u64::MAX;
    while began.elapsed() < REST {
        least = least.min(gateway.anonymous_kib()?);
        thread::sleep(PAUSE);
    }
    Ok(least)
}

fn print(all: &[(String, Leaves)]) {
    println!(
        "\nConnect and leave: a fifth before the answer, a fifth of POSTs, half by a reset; at most {GROWTH} bytes a visit"
    );
    table(
        &[
            "visits",
            "MiB after the first half",
            "after the second",
            "bytes a visit",
            "descriptors before",
            "after",
            "streams left",
        ],
        all.iter().map(|(title, leaves)| {
            let [first, second] = leaves.kib.map(|kib| format!("{:.1}", kib as f64 / 1024.0));
            let [before, after] = leaves.descriptors.map(|count| count.to_string());
            vec![
                title.clone(),
                leaves.visits.to_string(),
                first,
                second,
                format!("{:.1}", leaves.growth()),
                before,
                after,
                leaves.open.to_string(),
            ]
        }),
    );
}
