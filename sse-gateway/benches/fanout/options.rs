//! The command line.

use std::{thread, time::Duration};

use crate::{Error, targets::Target};

const USAGE: &str = "\
cargo bench -p sse-gateway --features jemalloc --bench fanout [-- OPTIONS]

  --rounds N          how often each target is measured, in turn (3)
  --seconds S         how long each measurement takes (10)
  --rates A,B         events a second (10,100,400)
  --clients A,B       two numbers of clients, the smaller first (1000,5000)
  --nchan-workers N   worker processes of nginx (one for each core)
  --only A,B          of floor, nchan and gateway, only these
  --quick             one round of 3 seconds with 200 and 1000 clients: to see that it runs";

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) rounds: usize,
    pub(crate) window: Duration,
    pub(crate) rates: Vec<u32>,
    pub(crate) clients: [usize; 2],
    pub(crate) nchan_workers: usize,
    pub(crate) targets: Vec<Target>,
    /// What was said on the command line, in front of it ` -- `; empty if nothing was.
    pub(crate) words: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            rounds: 3,
            window: Duration::from_secs(10),
            // The last is more than most can deliver.
            rates: vec![10, 100, 400],
            clients: [1_000, 5_000],
            nchan_workers: thread::available_parallelism().map_or(2, usize::from),
            targets: Target::ALL.to_vec(),
            words: String::new(),
        }
    }
}

/// Gives `None` when there is nothing to run: for help, and for `cargo test --all-targets`, which runs benches without
/// the `--bench` that `cargo bench` gives.
///
/// # Errors
///
/// When a word is not understood.
pub(crate) fn parse(words: &[&str]) -> Result<Option<Options>, Error> {
    let mut options = Options::default();
    let said: Vec<&str> = words
        .iter()
        .copied()
        .filter(|word| *word != "--bench")
        .collect();
    let bench = said.len() < words.len();
    if !said.is_empty() {
        options.words = format!(" -- {}", said.join(" "));
    }
    let mut words = said.iter();
    while let Some(&word) = words.next() {
        let mut value = || {
            words
                .next()
                .copied()
                .ok_or_else(|| format!("{word} needs a value\n\n{USAGE}"))
        };
        match word {
            "--rounds" => options.rounds = number(word, value()?)?,
            "--seconds" => options.window = Duration::from_secs(number(word, value()?)? as u64),
            "--nchan-workers" => options.nchan_workers = number(word, value()?)?,
            "--rates" => {
                let rates = numbers(word, value()?)?;
                options.rates = rates.into_iter().map(|rate| rate as u32).collect();
            }
            "--clients" => match numbers(word, value()?)?[..] {
                [few, many] if few < many => options.clients = [few, many],
                _ => return Err(format!("{word}: two numbers, the smaller first").into()),
            },
            "--only" => {
                options.targets = value()?.split(',').map(target).collect::<Result<_, _>>()?
            }
            "--quick" => {
                options.rounds = 1;
                options.window = Duration::from_secs(3);
                options.clients = [200, 1_000];
            }
            "--help" | "-h" => {
                println!("{USAGE}");
                return Ok(None);
            }
            _ => return Err(format!("what does {word:?} mean?\n\n{USAGE}").into()),
        }
    }
    if !bench {
        println!("nothing is measured without --bench, which cargo bench gives:\n\n{USAGE}");
        return Ok(None);
    }
    Ok(Some(options))
}

fn numbers(word: &str, value: &str) -> Result<Vec<usize>, Error> {
    value.split(',').map(|value| number(word, value)).collect()
}

fn number(word: &str, value: &str) -> Result<usize, Error> {
    match value.parse() {
        Ok(number @ 1..=10_000) => Ok(number),
        _ => Err(format!("{word} {value}: a number from 1 to 10000 is needed").into()),
    }
}

fn target(name: &str) -> Result<Target, Error> {
    let known = Target::ALL.into_iter().find(|target| target.name() == name);
    known.ok_or_else(|| format!("--only {name}: there are floor, nchan and gateway").into())
}
