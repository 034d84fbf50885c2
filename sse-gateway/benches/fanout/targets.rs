//! The servers in the middle, and how each is started.

use std::{fs, net::TcpListener, path::Path, process::Command};

use crate::{
    Error,
    parts::{
        folder::Folder,
        nginx,
        process::{Process, start_part},
    },
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Floor,
    Nchan,
    Gateway,
}

impl Target {
    pub(crate) const ALL: [Self; 3] = [Self::Floor, Self::Nchan, Self::Gateway];

    /// How the command line calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Nchan => "nchan",
            Self::Gateway => "gateway",
        }
    }

    /// How the table calls it.
    pub(crate) fn title(self) -> String {
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
    pub(crate) server: Process,
    pub(crate) address: String,
    pub(crate) path: String,
    /// None where the server is its own.
    source: Option<Process>,
    /// After the process, which is to end before its folder is removed.
    _folder: Option<Folder>,
}

impl Running {
    /// Has its events begin.
    ///
    /// # Errors
    ///
    /// When its source has ended.
    pub(crate) fn go(&mut self) -> Result<(), Error> {
        self.source.as_mut().unwrap_or(&mut self.server).ask("go")?;
        Ok(())
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
    let server = start_part("floor", &[&rate.to_string()])?;
    let address = server.address()?;
    Ok(Running {
        server,
        address,
        path: "/".into(),
        source: None,
        _folder: None,
    })
}

fn start_gateway(rate: u32) -> Result<Running, Error> {
    let source = start_part("source", &[])?;
    let upstream = format!("http://{}", source.address()?);
    let flags = [
        "--upstream",
        &upstream,
        "--share",
        "on",
        "--listen",
        "127.0.0.1:0",
        "--admin-listen",
        "off",
    ];
    let server = Process::start(
        "sse-gateway",
        Command::new(env!("CARGO_BIN_EXE_sse-gateway")).args(flags),
    )?;
    let address = server.address()?;
    Ok(Running {
        server,
        address,
        path: format!("/{rate}"),
        source: Some(source),
        _folder: None,
    })
}

fn start_nchan(rate: u32, workers: usize) -> Result<Running, Error> {
    // Says how to get it, if it is not there.
    nginx::version()?;
    let folder = Folder::new()?;
    // nginx cannot choose a port: the system does, and nginx takes it over.
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
    let configuration = folder.path().join("nginx.conf");
    fs::write(
        &configuration,
        nchan_configuration(folder.path(), &address, workers)?,
    )?;
    let server = nginx::start(&folder, &configuration, &address)?;
    let source = start_part("publisher", &[&address, &rate.to_string()])?;
    Ok(Running {
        server,
        address,
        path: "/subscribe".into(),
        source: Some(source),
        _folder: Some(folder),
    })
}

/// The history is that of the gateway's defaults.
fn nchan_configuration(folder: &Path, address: &str, workers: usize) -> Result<String, Error> {
    const MODULE: &str = "/usr/lib/nginx/modules/ngx_nchan_module.so";
    if !Path::new(MODULE).exists() {
        let error = format!("{MODULE} is not there; on Debian: apt-get install libnginx-mod-nchan");
        return Err(error.into());
    }
    let folder = folder.display();
    Ok(format!(
        "
daemon off;
load_module {MODULE};
pid {folder}/pid;
error_log stderr warn;
worker_processes {workers};
events {{
    worker_connections 16000;
}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_requests 1000000;
    server {{
        listen {address} reuseport backlog=4096;
        tcp_nodelay on;
        nchan_channel_id bench;
        nchan_message_buffer_length 1000;
        nchan_message_timeout 5m;
        location = /publish {{
            nchan_publisher http;
        }}
        location = /subscribe {{
            nchan_subscriber eventsource;
            nchan_subscriber_first_message newest;
        }}
    }}
}}
"
    ))
}
