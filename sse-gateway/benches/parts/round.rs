//! The rounds: in each, every case is measured once, and each begins with another case, so that what else the machine
//! does falls on all of them.

use super::{Error, measure::Measured, spread::Spread};

/// One thing that is measured, and what each round gave.
pub(crate) struct Case<C> {
    pub(crate) what: C,
    pub(crate) rounds: Vec<Measured>,
}

impl<C> Case<C> {
    pub(crate) fn spread(&self, value: impl Fn(&Measured) -> f64) -> Spread {
        Spread::of(self.rounds.iter().map(value))
    }

    pub(crate) fn sum(&self, value: impl Fn(&Measured) -> u64) -> u64 {
        self.rounds.iter().map(value).sum()
    }
}

/// What a case says of itself while it is measured.
pub(crate) trait Spoken {
    fn name(&self) -> String;

    /// A measurement that has just been made.
    fn line(measured: &Measured) -> String;
}

/// # Errors
///
/// Those of a measurement: a number that is missing is never left out in silence.
pub(crate) fn measure_all<C: Spoken>(
    cases: Vec<C>,
    rounds: usize,
    measure: impl Fn(&C) -> Result<Measured, Error>,
) -> Result<Vec<Case<C>>, Error> {
    let mut cases: Vec<Case<C>> = cases
        .into_iter()
        .map(|what| Case {
            what,
            rounds: Vec::new(),
        })
        .collect();
    let count = cases.len();
    for round in 0..rounds {
        for turn in 0..count {
            let case = &mut cases[(turn + round) % count];
            eprint!("round {} of {rounds}: {} … ", round + 1, case.what.name());
            let measured = measure(&case.what)?;
            eprintln!("{}", C::line(&measured));
            case.rounds.push(measured);
        }
    }
    Ok(cases)
}
