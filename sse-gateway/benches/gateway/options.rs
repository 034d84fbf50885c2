//! What this bench offers on the command line.

use std::{fs, time::Duration};

use crate::{
    Error,
    parts::{
        options::{Offer, Taken, Value},
        target::Target as _,
    },
    rows::Row,
    targets::Target,
};

#[derive(Clone, Debug)]
pub(crate) struct Gateway {
    pub(crate) rows: Vec<Row>,
    /// Other programs of the gateway, each a [`Target::Other`].
    pub(crate) others: Vec<Target>,
    /// The two numbers of idle streams whose memory is compared. One from a smaller number would catch what an allocator
    /// keeps ready.
    pub(crate) streams: [usize; 2],
    /// How long they are left alone before the memory is read again.
    pub(crate) wait: Duration,
    /// Of clients that leave, to be seen to leave nothing.
    pub(crate) visits: usize,
}

pub(crate) type Options = crate::parts::options::Options<Gateway>;

impl Default for Gateway {
    fn default() -> Self {
        Self {
            rows: Row::ALL.to_vec(),
            others: Vec::new(),
            streams: [3_000, 8_500],
            // Longer than the 15 seconds after which the gateway sends a heartbeat.
            wait: Duration::from_secs(17),
            visits: 100_000,
        }
    }
}

impl Offer for Gateway {
    const BENCH: &'static str = "gateway";
    const OPTIONS: &'static [(&'static str, &'static str)] = &[
        (
            "--rows A,B",
            "of paced, memory, burst, connects, post and leaves, only these",
        ),
        (
            "--other NAME=PATH",
            "another program of the gateway, measured beside this one; may be repeated",
        ),
    ];
    const QUICK: &'static str = "fewer idle streams and visits, no heartbeat waited for";

    type Target = Target;

    fn take(&mut self, word: &str, value: &mut Value<'_, '_>) -> Result<Taken, Error> {
        match word {
            "--rows" => self.rows = value.list(row)?,
            "--other" => {
                let other = other(value.word()?)?;
                if self.others.iter().any(|it| it.name() == other.name()) {
                    return Err(format!("{word}: {} is there twice", other.name()).into());
                }
                self.others.push(other);
            }
            _ => return Ok(Taken::Unknown),
        }
        Ok(Taken::Yes)
    }

    fn others(&self) -> Vec<Target> {
        self.others.clone()
    }

    fn be_quick(&mut self) {
        self.streams = [200, 1_000];
        self.wait = Duration::from_secs(1);
        self.visits = 10_000;
    }
}

fn row(name: &str) -> Result<Row, Error> {
    let known = Row::ALL.iter().find(|row| row.name() == name);
    known.copied().ok_or_else(|| {
        let names: Vec<&str> = Row::ALL.iter().map(|row| row.name()).collect();
        format!("--rows {name}: there are {}", names.join(", ")).into()
    })
}

fn other(value: &str) -> Result<Target, Error> {
    let Some((name, path)) = value.split_once('=').filter(|(name, _)| !name.is_empty()) else {
        return Err(format!("--other {value}: NAME=PATH is needed").into());
    };
    if Target::ALL.iter().any(|target| target.name() == name) {
        return Err(format!("--other {value}: there is a target of that name").into());
    }
    // A word without a slash would be looked for in `PATH`.
    let program = fs::canonicalize(path).map_err(|error| format!("--other {value}: {error}"))?;
    Ok(Target::Other {
        name: name.to_owned(),
        program,
    })
}
