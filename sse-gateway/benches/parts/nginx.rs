//! nginx, as Debian has it.

use std::{
    net::TcpStream,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use super::{folder::Folder, process::Process};
use crate::Error;

/// Starts it, and waits until it can be connected to.
///
/// # Errors
///
/// When it does not start.
pub(crate) fn start(
    folder: &Folder,
    configuration: &Path,
    address: &str,
) -> Result<Process, Error> {
    let mut command = Command::new(program());
    command
        .arg("-p")
        .arg(folder.path())
        .arg("-c")
        .arg(configuration);
    let process = Process::start("nginx", &mut command)?;
    let start = Instant::now();
    while TcpStream::connect(address).is_err() {
        if start.elapsed() > Duration::from_secs(20) {
            return Err(process.failure("cannot be connected to"));
        }
        process.cpu_seconds()?;
        thread::sleep(Duration::from_millis(20));
    }
    Ok(process)
}

pub(crate) fn version() -> Result<String, Error> {
    let output = Command::new(program())
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
fn program() -> &'static str {
    const DEBIAN: &str = "/usr/sbin/nginx";
    if Path::new(DEBIAN).exists() {
        DEBIAN
    } else {
        "nginx"
    }
}
