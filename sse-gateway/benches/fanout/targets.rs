//! The servers in the middle, and how each is started.

use std::path::Path;

use crate::{
    Error,
    parts::{
        nginx::{self, Nginx},
        process::{Process, start_part},
        server::Server,
        target,
    },
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Floor,
    Nchan,
    Gateway,
}

impl target::Target for Target {
    const ALL: &'static [Self] = &[Self::Floor, Self::Nchan, Self::Gateway];

    fn name(&self) -> &str {
        match self {
            Self::Floor => "floor",
            Self::Nchan => "nchan",
            Self::Gateway => "gateway",
        }
    }

    fn title(&self) -> String {
        match self {
            Self::Floor => "bare loop".into(),
            Self::Nchan => {
                nginx::version().map_or("nchan".into(), |version| format!("nchan, nginx {version}"))
            }
            Self::Gateway => "**sse-gateway** `--share on`".into(),
        }
    }
}

/// A server that is running, with its source.
pub(crate) struct Running {
    pub(crate) server: Server,
    pub(crate) path: String,
    /// None where the server is its own.
    pub(crate) source: Option<Process>,
}

impl Running {
    /// Has its events begin.
    ///
    /// # Errors
    ///
    /// When its source has ended.
    pub(crate) fn go(&mut self) -> Result<(), Error> {
        let source = self.source.as_mut().unwrap_or(&mut self.server.process);
        source.ask("go").map(drop)
    }
}

/// Starts a server with a source of so many events a second.
///
/// # Errors
///
/// When one of them does not start.
pub(crate) fn start(target: Target, rate: u32, nchan_workers: usize) -> Result<Running, Error> {
    match target {
        Target::Floor => start_floor(rate),
        Target::Nchan => start_nchan(rate, nchan_workers),
        Target::Gateway => start_gateway(rate),
    }
}

fn start_floor(rate: u32) -> Result<Running, Error> {
    Ok(Running {
        server: Server::part("floor", &[&rate.to_string()])?,
        path: "/".into(),
        source: None,
    })
}

fn start_gateway(rate: u32) -> Result<Running, Error> {
    let source = start_part("source", &[])?;
    Ok(Running {
        server: Server::gateway(&source.address()?, &["--share", "on"])?,
        path: format!("/{rate}"),
        source: Some(source),
    })
}

/// The history is that of the gateway's defaults.
fn start_nchan(rate: u32, workers: usize) -> Result<Running, Error> {
    const MODULE: &str = "/usr/lib/nginx/modules/ngx_nchan_module.so";
    if !Path::new(MODULE).exists() {
        let error = format!("{MODULE} is not there; on Debian: apt-get install libnginx-mod-nchan");
        return Err(error.into());
    }
    let server = Nginx {
        workers,
        module: Some(MODULE),
        http: "keepalive_requests 1000000;",
        server: "
        nchan_channel_id bench;
        nchan_message_buffer_length 1000;
        nchan_message_timeout 5m;
        location = /publish {
            nchan_publisher http;
        }
        location = /subscribe {
            nchan_subscriber eventsource;
            nchan_subscriber_first_message newest;
        }",
    }
    .start()?;
    let source = start_part("publisher", &[&server.address, &rate.to_string()])?;
    Ok(Running {
        server,
        path: "/subscribe".into(),
        source: Some(source),
    })
}
