//! What language models do: a POST whose answer is an event stream. The time from the request to its first event, on
//! connections that are kept.

use std::{thread, time::Duration};

use super::Setup;
use crate::{
    Error,
    options::Options,
    parts::{
        measure::micros,
        process::{Process, start_part},
        report::table,
        round::{Case, Spoken, measure_all},
        target::Target as _,
    },
    posts::{BODY_BYTES, CONNECTIONS, POSTS_PER_SECOND},
    targets::Target,
    upstream::{ANSWER_EVENTS, ANSWER_INTERVAL},
};

/// Between the first post and the measurement.
const SETTLE: Duration = Duration::from_secs(1);

/// Times to the first event, in nanoseconds.
struct Posts {
    count: u64,
    p50: u64,
    p99: u64,
    max: u64,
    /// Connections that were closed behind an answer.
    closed: u64,
}

pub(super) fn run(options: &Options) -> Result<(), Error> {
    let cases = measure_all(options.targets.clone(), options.rounds, |target| {
        measure_posts(target, options.window)
    })?;
    print(&cases);
    Ok(())
}

fn measure_posts(target: &Target, window: Duration) -> Result<Posts, Error> {
    let setup = Setup::start(target)?;
    let mut clients = start_part("posts", &[setup.address()])?;
    thread::sleep(SETTLE);
    clients.ask("begin")?;
    thread::sleep(window);
    Posts::ask(&mut clients)
}

impl Posts {
    fn ask(clients: &mut Process) -> Result<Self, Error> {
        let answer = clients.ask("end")?;
        let numbers: Vec<u64> = answer
            .split(' ')
            .map_while(|number| number.parse().ok())
            .collect();
        match numbers[..] {
            [count, p50, p99, max, closed] if count > 0 => Ok(Self {
                count,
                p50,
                p99,
                max,
                closed,
            }),
            _ => Err(clients.failure(&format!("answered {answer:?}"))),
        }
    }
}

impl Spoken for Posts {
    fn line(&self) -> String {
        format!(
            "first event after p50 {:.0} µs, p99 {:.0} µs",
            micros(self.p50),
            micros(self.p99)
        )
    }
}

fn print(cases: &[Case<Target, Posts>]) {
    let pace = CONNECTIONS * POSTS_PER_SECOND;
    println!(
        "\nTime to the first event of a POST: {BODY_BYTES} B of JSON, {ANSWER_EVENTS} events, one each {} ms; {pace}/s on \
         {CONNECTIONS} connections",
        ANSWER_INTERVAL.as_millis()
    );
    let p50 = |case: &Case<Target, Posts>| case.spread(|it| micros(it.p50));
    let direct = cases.iter().find(|case| case.what == Target::Direct);
    let direct = direct.map(|direct| p50(direct).median);
    table(
        &["p50 µs", "p50 over no proxy µs", "p99 µs"],
        cases.iter().map(|case| {
            let added = match (direct, &case.what) {
                (Some(direct), what) if *what != Target::Direct => {
                    format!("{:.0}", p50(case).median - direct)
                }
                _ => "–".to_owned(),
            };
            vec![
                case.what.title(),
                p50(case).show(0),
                added,
                case.spread(|it| micros(it.p99)).show(0),
            ]
        }),
    );
    println!();
    for case in cases {
        println!(
            "- {}: {} answers, max {} µs; {} connections closed behind an answer",
            case.what,
            case.sum(|it| it.count),
            case.spread(|it| micros(it.max)).show(0),
            case.sum(|it| it.closed),
        );
    }
}
