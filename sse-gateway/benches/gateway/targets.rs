//! The proxies, and how each is started.

use std::{env, fs, net::TcpListener, path::Path, process::Command, thread};

use crate::{
    Error,
    parts::{
        folder::Folder,
        nginx,
        process::{Process, start_part},
    },
};

/// What the load connects to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// The upstream itself: what the two ends of the bench and the kernel add to each latency.
    Direct,
    Plain,
    Nginx,
    Gateway,
}

impl Target {
    pub(crate) const ALL: [Self; 4] = [Self::Direct, Self::Plain, Self::Nginx, Self::Gateway];

    /// How the command line calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Plain => "plain",
            Self::Nginx => "nginx",
            Self::Gateway => "gateway",
        }
    }

    /// How the table calls it.
    pub(crate) fn title(self) -> String {
        match self {
            Self::Direct => "no proxy".into(),
            Self::Plain => "plain hyper".into(),
            Self::Nginx => nginx::version()
                .map_or_else(|_| "nginx".into(), |version| format!("nginx {version}")),
            Self::Gateway => "**sse-gateway**, all stages".into(),
        }
    }
}

/// A proxy that is running, or none.
pub(crate) struct Running {
    /// `None` where there is no proxy.
    pub(crate) process: Option<Process>,
    pub(crate) address: String,
    /// After the process, which is to end before its folder is removed.
    _folder: Option<Folder>,
}

/// Starts a target before the upstream at `upstream`, and waits until it can be connected to.
///
/// # Errors
///
/// When it does not start.
pub(crate) fn start(target: Target, upstream: &str) -> Result<Running, Error> {
    let process = match target {
        Target::Direct => {
            return Ok(Running {
                process: None,
                address: upstream.to_owned(),
                _folder: None,
            });
        }
        Target::Nginx => return start_nginx(upstream),
        Target::Plain => start_part("plain-proxy", &[upstream])?,
        Target::Gateway => {
            let upstream = format!("http://{upstream}");
            let flags = [
                "--upstream",
                &upstream,
                "--listen",
                "127.0.0.1:0",
                "--admin-listen",
                "off",
            ];
            Process::start(
                "sse-gateway",
                Command::new(env!("CARGO_BIN_EXE_sse-gateway")).args(flags),
            )?
        }
    };
    let address = process.address()?;
    Ok(Running {
        process: Some(process),
        address,
        _folder: None,
    })
}

/// One for each core, which is what tokio takes for its threads.
fn nginx_configuration(folder: &Path, address: &str, upstream: &str) -> String {
    let folder = folder.display();
    let workers = thread::available_parallelism().map_or(2, usize::from);
    format!(
        "
daemon off;
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
    upstream streams {{
        server {upstream};
        keepalive 64;
    }}
    server {{
        listen {address} reuseport backlog=4096;
        location / {{
            proxy_pass http://streams;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_set_header Host $http_host;
            proxy_buffering off;
            proxy_read_timeout 1h;
            tcp_nodelay on;
        }}
    }}
}}
"
    )
}

fn start_nginx(upstream: &str) -> Result<Running, Error> {
    // Says how to get it, if it is not there.
    nginx::version()?;
    let folder = Folder::new()?;
    // nginx cannot choose a port: the system does, and nginx takes it over.
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
    let configuration = folder.path().join("nginx.conf");
    fs::write(
        &configuration,
        nginx_configuration(folder.path(), &address, upstream),
    )?;
    let process = nginx::start(&folder, &configuration, &address)?;
    Ok(Running {
        process: Some(process),
        address,
        _folder: Some(folder),
    })
}
