//! What is measured side by side, and how each is started.

use std::{path::Path, process::Command};

use crate::{
    parts::{
        Error,
        load::Load,
        process::{Process, start_part},
        server::Server,
        target,
    },
    redis::Redis,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Memory,
    Several,
    App,
}

impl target::Target for Target {
    const ALL: &'static [Self] = &[Self::Memory, Self::Several, Self::App];

    fn name(&self) -> &str {
        match self {
            Self::Memory => "memory",
            Self::Several => "several",
            Self::App => "app",
        }
    }

    fn title(&self) -> String {
        match self {
            Self::Memory => "one gateway, in memory".into(),
            Self::Several => "**three gateways with a store**".into(),
            Self::App => "three processes of app.py".into(),
        }
    }
}

/// Servers with their upstream, and the Redis between them.
pub(crate) struct Setup {
    pub(crate) servers: Vec<Server>,
    pub(crate) redis: Option<Redis>,
    _source: Process,
    upstream: String,
    flags: Vec<String>,
}

impl Setup {
    /// # Errors
    ///
    /// When one of the parts does not start.
    pub(crate) fn start(target: Target, path: &str, flags: &[&str]) -> Result<Self, Error> {
        let source = start_part("source", &[])?;
        let upstream = source.address()?;
        let redis = match target {
            Target::Memory => None,
            Target::Several | Target::App => Some(Redis::start()?),
        };
        let stored = redis.iter().flat_map(Redis::flags);
        let mut all = vec!["--share".to_owned(), "path".to_owned()];
        all.extend(stored.chain(flags.iter().map(|flag| (*flag).to_owned())));
        let mut setup = Setup {
            servers: Vec::new(),
            redis,
            _source: source,
            upstream,
            flags: all,
        };
        for number in 0..setup.count(target) {
            let server = match target {
                Target::App => setup.app(path, number == 0)?,
                Target::Memory | Target::Several => setup.gateway()?,
            };
            setup.servers.push(server);
        }
        Ok(setup)
    }

    fn count(&self, target: Target) -> usize {
        if target == Target::Memory { 1 } else { 3 }
    }

    /// One more.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub(crate) fn gateway(&self) -> Result<Server, Error> {
        let flags: Vec<&str> = self.flags.iter().map(String::as_str).collect();
        Server::gateway(&self.upstream, &flags)
    }

    /// The first of them reads the upstream.
    fn app(&self, path: &str, reads: bool) -> Result<Server, Error> {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/several/app.py");
        let redis = self.redis.as_ref().ok_or("app.py needs a Redis server")?;
        let mut command = Command::new("python3");
        command.arg(program).arg(&redis.address);
        if reads {
            command.arg(format!("{}{path}", self.upstream));
        }
        Server::announced(Process::start("app.py", &mut command)?)
    }

    /// Clients of each of them, the first's first: it is the one that reads the upstream.
    ///
    /// # Errors
    ///
    /// When they do not start.
    pub(crate) fn loads(&self) -> Result<Vec<Load>, Error> {
        let servers = self.servers.iter();
        servers.map(|server| Load::start(&server.address)).collect()
    }

    /// CPU seconds of the servers, and of Redis.
    ///
    /// # Errors
    ///
    /// When one has ended.
    pub(crate) fn cpu_seconds(&self) -> Result<[f64; 2], Error> {
        let servers = self.servers.iter();
        let each = servers.map(|server| server.process.cpu_seconds());
        let servers = each.sum::<Result<f64, Error>>()?;
        let redis = self.redis.as_ref();
        Ok([
            servers,
            redis.map_or(Ok(0.0), |redis| redis.process.cpu_seconds())?,
        ])
    }
}
