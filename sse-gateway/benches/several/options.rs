//! What this bench offers on the command line.

use crate::{
    Error,
    parts::options::{Offer, Taken, Value},
    targets::Target,
};

pub(crate) const ROWS: [&str; 6] = ["latency", "events", "fanout", "kills", "idle", "replay"];

pub(crate) struct Several {
    pub(crate) rows: Vec<String>,
    /// Of each gateway.
    pub(crate) clients: usize,
    pub(crate) kills: usize,
    pub(crate) streams: usize,
    pub(crate) comers: usize,
}

pub(crate) type Options = crate::parts::options::Options<Several>;

pub(crate) fn parse(words: &[&str]) -> Result<Option<Options>, Error> {
    Options::parse(words)
}

impl Default for Several {
    fn default() -> Self {
        Self {
            rows: ROWS.map(str::to_owned).into(),
            clients: 3_000,
            kills: 100,
            streams: 9_000,
            comers: 1_000,
        }
    }
}

impl Offer for Several {
    const BENCH: &'static str = "several";
    const OPTIONS: &'static [(&'static str, &'static str)] = &[
        (
            "--rows A,B",
            "of latency, events, fanout, kills, idle and replay, only these",
        ),
        ("--clients N", "clients of each gateway, for fanout (3000)"),
        ("--kills N", "gateways that are killed (100)"),
        ("--streams N", "streams in which nothing happens (9000)"),
        ("--comers N", "clients that are given a history (1000)"),
    ];
    const QUICK: &'static str = "a tenth of all that";

    type Target = Target;

    fn take(&mut self, word: &str, value: &mut Value<'_, '_>) -> Result<Taken, Error> {
        match word {
            "--rows" => {
                self.rows = value.list(|row| match ROWS.contains(&row) {
                    true => Ok(row.to_owned()),
                    false => Err(format!("--rows {row}: there are {}", ROWS.join(", ")).into()),
                })?;
            }
            "--clients" => self.clients = value.number(1..=10_000)?,
            "--kills" => self.kills = value.number(1..=10_000)?,
            "--streams" => self.streams = value.number(1..=20_000)?,
            "--comers" => self.comers = value.number(1..=10_000)?,
            _ => return Ok(Taken::Unknown),
        }
        Ok(Taken::Yes)
    }

    fn be_quick(&mut self) {
        self.clients = 300;
        self.kills = 10;
        self.streams = 1_000;
        self.comers = 100;
    }
}
