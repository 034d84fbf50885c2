//! The command line: what every bench takes, and what one offers beside it.

use std::{fmt::Write, ops::RangeInclusive, slice::Iter, time::Duration};

use super::{
    Error,
    target::{Target, names},
};

/// What one bench offers beside the options that all have.
pub(crate) trait Offer: Default {
    /// As `cargo bench --bench` calls it.
    const BENCH: &'static str;

    /// Its own options, each with one line about it.
    const OPTIONS: &'static [(&'static str, &'static str)];

    /// What `--quick` does beside a single round of 3 seconds.
    const QUICK: &'static str;

    type Target: Target;

    /// Takes an option of its own.
    ///
    /// # Errors
    ///
    /// When its value is missing or none.
    fn take(&mut self, word: &str, value: &mut Value<'_, '_>) -> Result<Taken, Error>;

    fn be_quick(&mut self);

    /// Targets of the command line, which are measured beside those of `--only`.
    fn others(&self) -> Vec<Self::Target> {
        Vec::new()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    Yes,
    Unknown,
}

#[derive(Clone, Debug)]
pub(crate) struct Options<O: Offer> {
    pub(crate) rounds: usize,
    pub(crate) window: Duration,
    pub(crate) targets: Vec<O::Target>,
    pub(crate) own: O,
    /// What was said on the command line, in front of it ` -- `; empty if nothing was.
    pub(crate) words: String,
}

impl<O: Offer> Default for Options<O> {
    fn default() -> Self {
        Self {
            rounds: 3,
            window: Duration::from_secs(10),
            targets: O::Target::ALL.to_vec(),
            own: O::default(),
            words: String::new(),
        }
    }
}

impl<O: Offer> Options<O> {
    /// Gives `None` when there is nothing to run: for help, and for `cargo test --all-targets`, which runs benches
    /// without the `--bench` that `cargo bench` gives.
    ///
    /// # Errors
    ///
    /// When a word is not understood.
    pub(crate) fn parse(words: &[&str]) -> Result<Option<Self>, Error> {
        let mut options = Self::default();
        let said: Vec<&str> = words
            .iter()
            .copied()
            .filter(|word| *word != "--bench")
            .collect();
        if !said.is_empty() {
            options.words = format!(" -- {}", said.join(" "));
        }
        let mut rest = said.iter();
        while let Some(&word) = rest.next() {
            if matches!(word, "--help" | "-h") {
                println!("{}", usage::<O>());
                return Ok(None);
            }
            let mut value = Value {
                option: word,
                rest: &mut rest,
            };
            if options.take(word, &mut value)? == Taken::Unknown {
                return Err(format!("what does {word:?} mean?\n\n{}", usage::<O>()).into());
            }
        }
        options.targets.extend(options.own.others());
        if said.len() == words.len() {
            println!(
                "nothing is measured without --bench, which cargo bench gives:\n\n{}",
                usage::<O>()
            );
            return Ok(None);
        }
        Ok(Some(options))
    }

    fn take(&mut self, word: &str, value: &mut Value<'_, '_>) -> Result<Taken, Error> {
        match word {
            "--rounds" => self.rounds = value.number(1..=1_000)?,
            "--seconds" => self.window = Duration::from_secs(value.number(1..=1_000)? as u64),
            "--only" => self.targets = value.list(target)?,
            "--quick" => {
                self.rounds = 1;
                self.window = Duration::from_secs(3);
                self.own.be_quick();
            }
            _ => return self.own.take(word, value),
        }
        Ok(Taken::Yes)
    }
}

/// What stands behind an option.
pub(crate) struct Value<'words, 'rest> {
    option: &'words str,
    rest: &'rest mut Iter<'words, &'words str>,
}

impl<'words> Value<'words, '_> {
    /// # Errors
    ///
    /// When it is missing, or not such a number.
    pub(crate) fn number(&mut self, range: RangeInclusive<usize>) -> Result<usize, Error> {
        self.word()
            .and_then(|word| number(self.option, word, &range))
    }

    /// Numbers with commas between them.
    ///
    /// # Errors
    ///
    /// When they are missing, or not such numbers.
    pub(crate) fn numbers(&mut self, range: RangeInclusive<usize>) -> Result<Vec<usize>, Error> {
        let option = self.option;
        self.list(|word| number(option, word, &range))
    }

    /// Values with commas between them.
    ///
    /// # Errors
    ///
    /// When they are missing, or one cannot be parsed.
    pub(crate) fn list<T>(
        &mut self,
        parse: impl Fn(&str) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        self.word()?.split(',').map(parse).collect()
    }

    /// # Errors
    ///
    /// When it is missing.
    pub(crate) fn word(&mut self) -> Result<&'words str, Error> {
        let word = self.rest.next().copied();
        word.ok_or_else(|| format!("{} needs a value", self.option).into())
    }
}

fn number(option: &str, word: &str, range: &RangeInclusive<usize>) -> Result<usize, Error> {
    match word.parse() {
        Ok(number) if range.contains(&number) => Ok(number),
        _ => {
            let (low, high) = (range.start(), range.end());
            Err(format!("{option} {word}: a number from {low} to {high} is needed").into())
        }
    }
}

fn target<T: Target>(name: &str) -> Result<T, Error> {
    let known = T::ALL.iter().find(|target| target.name() == name);
    known
        .cloned()
        .ok_or_else(|| format!("--only {name}: there are {}", names::<T>()).into())
}

fn usage<O: Offer>() -> String {
    let only = format!("of {}, only these", names::<O::Target>());
    let quick = format!(
        "one round of 3 seconds with {}: to see that it runs",
        O::QUICK
    );
    let own = O::OPTIONS.iter().copied();
    let all = [
        (
            "--rounds N",
            "how often each target is measured, in turn (3)",
        ),
        ("--seconds S", "how long each measurement takes (10)"),
    ]
    .into_iter()
    .chain(own)
    .chain([("--only A,B", only.as_str()), ("--quick", quick.as_str())]);
    let bench = O::BENCH;
    let mut text =
        format!("cargo bench -p sse-gateway --features jemalloc --bench {bench} [-- OPTIONS]\n");
    for (option, what) in all {
        // Writing to a `String` does not fail.
        let _ = write!(text, "\n  {option:<18}  {what}");
    }
    text
}
