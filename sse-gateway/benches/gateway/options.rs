//! The command line.

use std::time::Duration;

use crate::{Error, targets::Target};

const USAGE: &str = "\
cargo bench -p sse-gateway --features jemalloc --bench gateway [-- OPTIONS]

  --rounds N      how often each target is measured, in turn (3)
  --seconds S     how long each measurement takes (10)
  --only A,B      of direct, plain, nginx and gateway, only these
  --quick         one round of 3 seconds, fewer idle streams, no heartbeat waited for: to see that it runs";

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) rounds: usize,
    pub(crate) window: Duration,
    pub(crate) targets: Vec<Target>,
    /// The two numbers of idle streams whose memory is compared.
    pub(crate) idle: [usize; 2],
    /// How long idle streams are left alone before their memory is read again.
    pub(crate) idle_wait: Duration,
    /// What was said on the command line, in front of it ` -- `; empty if nothing was.
    pub(crate) words: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            rounds: 3,
            window: Duration::from_secs(10),
            targets: Target::ALL.to_vec(),
            idle: [1_000, 5_000],
            // Longer than the 15 seconds after which the gateway sends a heartbeat.
            idle_wait: Duration::from_secs(17),
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
    let mut bench = false;
    let said: Vec<&str> = words
        .iter()
        .copied()
        .filter(|word| *word != "--bench")
        .collect();
    if !said.is_empty() {
        options.words = format!(" -- {}", said.join(" "));
    }
    let mut words = words.iter();
    while let Some(&word) = words.next() {
        let mut value = || {
            words
                .next()
                .copied()
                .ok_or_else(|| format!("{word} needs a value\n\n{USAGE}"))
        };
        match word {
            "--bench" => bench = true,
            "--rounds" => options.rounds = number(word, value()?)?,
            "--seconds" => options.window = Duration::from_secs(number(word, value()?)? as u64),
            "--only" => {
                options.targets = value()?.split(',').map(target).collect::<Result<_, _>>()?
            }
            "--quick" => {
                options.rounds = 1;
                options.window = Duration::from_secs(3);
                options.idle = [200, 1_000];
                options.idle_wait = Duration::from_secs(1);
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

fn number(word: &str, value: &str) -> Result<usize, Error> {
    match value.parse() {
        Ok(number @ 1..=1_000) => Ok(number),
        _ => Err(format!("{word} {value}: a number from 1 to 1000 is needed").into()),
    }
}

fn target(name: &str) -> Result<Target, Error> {
    let known = Target::ALL.into_iter().find(|target| target.name() == name);
    known.ok_or_else(|| format!("--only {name}: there are direct, plain, nginx and gateway").into())
}
