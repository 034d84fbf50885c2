//! The proxies, and how each is started.

use std::{
    env, fs,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{self, Command},
    thread,
    time::{Duration, Instant},
};

use crate::{Error, process::Process};

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
            Self::Nginx => nginx_version()
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

/// Starts this executable again, as another part.
///
/// # Errors
///
/// When it cannot be run.
pub(crate) fn start_part(part: &str, arguments: &[&str]) -> Result<Process, Error> {
    Process::start(
        part,
        Command::new(env::current_exe()?).arg(part).args(arguments),
    )
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
    nginx_version()?;
    let folder = Folder::new()?;
    // nginx cannot choose a port: the system does, and nginx takes it over.
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
    let configuration = folder.0.join("nginx.conf");
    fs::write(
        &configuration,
        nginx_configuration(&folder.0, &address, upstream),
    )?;
    let mut command = Command::new(nginx_program());
    command
        .arg("-p")
        .arg(&folder.0)
        .arg("-c")
        .arg(&configuration);
    let process = Process::start("nginx", &mut command)?;
    let start = Instant::now();
    while TcpStream::connect(&address).is_err() {
        if start.elapsed() > Duration::from_secs(20) {
            return Err(process.failure("cannot be connected to"));
        }
        process.cpu_seconds()?;
        thread::sleep(Duration::from_millis(20));
    }
    Ok(Running {
        process: Some(process),
        address,
        _folder: Some(folder),
    })
}

fn nginx_version() -> Result<String, Error> {
    let output = Command::new(nginx_program())
        .arg("-v")
        .output()
        .map_err(|error| {
            format!("nginx cannot be run ({error}); on Debian: apt-get install nginx-light")
        })?;
    let said = String::from_utf8_lossy(&output.stderr);
    let version = said
        .split_once('/')
        .and_then(|(_, version)| version.split_whitespace().next());
    version
        .map(str::to_owned)
        .ok_or_else(|| format!("nginx -v said {said:?}").into())
}

/// Debian's place for it is not in everybody's `PATH`.
fn nginx_program() -> &'static str {
    const DEBIAN: &str = "/usr/sbin/nginx";
    if Path::new(DEBIAN).exists() {
        DEBIAN
    } else {
        "nginx"
    }
}

/// A folder of ours, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self, Error> {
        let path = env::temp_dir().join(format!("gateway-bench-{}", process::id()));
        fs::create_dir(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
