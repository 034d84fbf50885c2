//! What this bench offers on the command line.

use crate::{
    Error,
    parts::{
        nginx,
        options::{Offer, Taken, Value},
    },
    targets::Target,
};

#[derive(Clone, Debug)]
pub(crate) struct Fanout {
    /// Events a second.
    pub(crate) rates: Vec<u32>,
    pub(crate) clients: [usize; 2],
    pub(crate) nchan_workers: usize,
}

pub(crate) type Options = crate::parts::options::Options<Fanout>;

impl Default for Fanout {
    fn default() -> Self {
        Self {
            // The last is more than most can deliver.
            rates: vec![10, 100, 400],
            clients: [1_000, 5_000],
            nchan_workers: nginx::workers(),
        }
    }
}

impl Offer for Fanout {
    const BENCH: &'static str = "fanout";
    const OPTIONS: &'static [(&'static str, &'static str)] = &[
        ("--rates A,B", "events a second (10,100,400)"),
        (
            "--clients A,B",
            "two numbers of clients, the smaller first (1000,5000)",
        ),
        (
            "--nchan-workers N",
            "worker processes of nginx (one for each core)",
        ),
    ];
    const QUICK: &'static str = "200 and 1000 clients";

    type Target = Target;

    fn take(&mut self, word: &str, value: &mut Value<'_, '_>) -> Result<Taken, Error> {
        match word {
            "--rates" => {
                let rates = value.numbers(1..=10_000)?;
                self.rates = rates.into_iter().map(|rate| rate as u32).collect();
            }
            "--clients" => match value.numbers(1..=10_000)?[..] {
                [few, many] if few < many => self.clients = [few, many],
                _ => return Err(format!("{word}: two numbers, the smaller first").into()),
            },
            "--nchan-workers" => self.nchan_workers = value.number(1..=1_000)?,
            _ => return Ok(Taken::Unknown),
        }
        Ok(Taken::Yes)
    }

    fn be_quick(&mut self) {
        self.clients = [200, 1_000];
    }
}
