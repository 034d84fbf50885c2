//! What is measured, a file and a table for each.

mod burst;
mod connects;
mod leaves;
mod memory;
mod paced;
mod post;

use std::{fmt, ptr};

use crate::{
    Error,
    options::Options,
    parts::{process::Process, round::Case, server::Server, target::Target as _},
    targets::{self, Target},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Row {
    Paced,
    Memory,
    Burst,
    Connects,
    Post,
    Leaves,
}

impl Row {
    pub(crate) const ALL: &'static [Self] = &[
        Self::Paced,
        Self::Memory,
        Self::Burst,
        Self::Connects,
        Self::Post,
        Self::Leaves,
    ];

    /// How the command line calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Paced => "paced",
            Self::Memory => "memory",
            Self::Burst => "burst",
            Self::Connects => "connects",
            Self::Post => "post",
            Self::Leaves => "leaves",
        }
    }

    /// Measures all targets, and prints the table.
    ///
    /// # Errors
    ///
    /// When any part fails: a number that is missing is never left out in silence.
    pub(crate) fn run(self, options: &Options) -> Result<(), Error> {
        match self {
            Self::Paced => paced::run(options),
            Self::Memory => memory::run(options),
            Self::Burst => burst::run(options),
            Self::Connects => connects::run(options),
            Self::Post => post::run(options),
            Self::Leaves => leaves::run(options),
        }
    }
}

/// A target with an upstream of its own, so that none finds what another left behind.
pub(crate) struct Setup {
    /// `None` where there is no proxy.
    proxy: Option<Server>,
    upstream: Server,
}

impl Setup {
    /// # Errors
    ///
    /// When one of the two does not start.
    pub(crate) fn start(target: &Target) -> Result<Self, Error> {
        let upstream = Server::part("upstream", &[])?;
        Ok(Self {
            proxy: targets::start(target, &upstream.address)?,
            upstream,
        })
    }

    /// What clients connect to.
    fn address(&self) -> &str {
        &self.proxy.as_ref().unwrap_or(&self.upstream).address
    }

    fn proxy(&self) -> Option<&Process> {
        self.proxy.as_ref().map(|proxy| &proxy.process)
    }

    /// 0 where there is no proxy.
    fn proxy_cpu_seconds(&self) -> Result<f64, Error> {
        self.proxy().map_or(Ok(0.0), Process::cpu_seconds)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// # Errors
///
/// When a stream has ended: then the rest is not what was to be measured.
fn none_ended(target: &Target, ended: u64) -> Result<(), Error> {
    match ended {
        0 => Ok(()),
        _ => Err(format!("{ended} streams through {target} ended").into()),
    }
}

/// The median of one value, and how far it went; for all but plain hyper also how many times that of it.
fn compared<M>(
    case: &Case<Target, M>,
    all: &[Case<Target, M>],
    digits: usize,
    value: impl Fn(&M) -> f64,
) -> String {
    let plain = all.iter().find(|case| case.what == Target::Plain);
    compared_to(plain, case, digits, value)
}

fn compared_to<C, M>(
    plain: Option<&Case<C, M>>,
    case: &Case<C, M>,
    digits: usize,
    value: impl Fn(&M) -> f64,
) -> String {
    let spread = case.spread(&value);
    let shown = spread.show(digits);
    match plain {
        Some(plain) if !ptr::eq(plain, case) => {
            let ratio = spread.median / plain.spread(&value).median;
            format!("{shown}, × {ratio:.2}")
        }
        _ => shown,
    }
}
