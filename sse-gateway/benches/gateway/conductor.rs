//! Which row is measured when.

use crate::{
    Error,
    options::Options,
    parts::{machine::Machine, report::conditions},
    rows::Setup,
};

/// # Errors
///
/// When any part fails: a number that is missing is never left out in silence.
pub(crate) fn run(options: &Options) -> Result<(), Error> {
    let machine = Machine::read();
    for target in &options.targets {
        // One that does not start is found out now rather than in its turn.
        Setup::start(target)?;
    }
    for row in &options.own.rows {
        row.run(options)?;
    }
    conditions(
        &machine,
        options,
        "Bursts have events of the sizes in their table. × is to plain hyper.",
    );
    Ok(())
}
