//! Where it was measured, and what had to be raised for it.

use std::{fmt, fs, thread};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::Error;

/// Where it was measured.
pub(crate) struct Machine {
    cores: usize,
    processor: String,
    kernel: String,
    /// Of the minute before: what else was running.
    load: String,
}

impl Machine {
    pub(crate) fn read() -> Self {
        let first_word = |text: String| {
            text.split_whitespace()
                .next()
                .unwrap_or_default()
                .to_owned()
        };
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpuinfo
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        Self {
            cores: thread::available_parallelism().map_or(0, usize::from),
            processor: model.map_or("processor", |(_, model)| model).to_owned(),
            kernel: rustix::system::uname()
                .release()
                .to_string_lossy()
                .into_owned(),
            load: first_word(fs::read_to_string("/proc/loadavg").unwrap_or_default()),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            cores,
            processor,
            kernel,
            load,
        } = self;
        write!(
            f,
            "{cores} cores ({processor}), Linux {kernel}, load before {load}"
        )
    }
}

/// What is raised here, all parts inherit.
pub(crate) fn raise_descriptor_limit(needed: u64) -> Result<(), Error> {
    let limit = getrlimit(Resource::Nofile);
    let current = limit.maximum.map_or(needed, |maximum| maximum.max(needed));
    // Only the superuser may raise the maximum; others come as far as it is.
    let wanted = Rlimit {
        current: Some(current),
        maximum: limit.maximum.map(|_| current),
    };
    if setrlimit(Resource::Nofile, wanted).is_err() {
        let maximum = limit.maximum.unwrap_or_default();
        return Err(format!(
            "{needed} open files are needed, and {maximum} allowed: raise ulimit -Hn"
        )
        .into());
    }
    Ok(())
}
