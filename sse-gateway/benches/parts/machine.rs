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
///
/// # Errors
///
/// When so many are not allowed.
pub(crate) fn raise_descriptor_limit(needed: u64) -> Result<(), Error> {
    let allowed = raise_descriptors_towards(needed);
    if allowed < needed {
        return Err(format!(
            "{needed} open files are needed, and {allowed} allowed: raise ulimit -Hn"
        )
        .into());
    }
    Ok(())
}

/// The same as far as it is allowed; gives back how many are.
pub(crate) fn raise_descriptors_towards(wanted: u64) -> u64 {
    let before = getrlimit(Resource::Nofile);
    let most = before.maximum.unwrap_or(wanted);
    // Only the superuser may raise the maximum; others come as far as it is.
    for limit in [wanted.max(most), most] {
        let raised = Rlimit {
            current: Some(limit),
            maximum: before.maximum.map(|_| limit),
        };
        if setrlimit(Resource::Nofile, raised).is_ok() {
            return limit;
        }
    }
    before.current.unwrap_or(wanted)
}
