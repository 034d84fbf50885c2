//! The rounds: in each, every case is measured once, and each begins with another case, so that what else the machine
//! does falls on all of them.

use std::fmt::Display;

use super::{Error, spread::Spread};

/// One thing that is measured, and what each round gave.
pub(crate) struct Case<C, M> {
    pub(crate) what: C,
    pub(crate) rounds: Vec<M>,
}

impl<C, M> Case<C, M> {
    pub(crate) fn new(what: C) -> Self {
        Self {
            what,
            rounds: Vec::new(),
        }
    }

    pub(crate) fn spread(&self, value: impl Fn(&M) -> f64) -> Spread {
        Spread::of(self.rounds.iter().map(value))
    }

    pub(crate) fn sum(&self, value: impl Fn(&M) -> u64) -> u64 {
        self.rounds.iter().map(value).sum()
    }
}

/// What a measurement says of itself when it has just been made.
pub(crate) trait Spoken {
    fn line(&self) -> String;
}

/// # Errors
///
/// Those of a measurement: a number that is missing is never left out in silence.
pub(crate) fn measure_all<C: Display, M: Spoken>(
    cases: impl IntoIterator<Item = C>,
    rounds: usize,
    measure: impl Fn(&C) -> Result<M, Error>,
) -> Result<Vec<Case<C, M>>, Error> {
    let mut cases: Vec<Case<C, M>> = cases.into_iter().map(Case::new).collect();
    let count = cases.len();
    for round in 0..rounds {
        for turn in 0..count {
            let case = &mut cases[(turn + round) % count];
            eprint!("round {} of {rounds}: {} … ", round + 1, case.what);
            let measured = measure(&case.what)?;
            eprintln!("{}", measured.line());
            case.rounds.push(measured);
        }
    }
    Ok(cases)
}
