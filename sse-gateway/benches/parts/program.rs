//! Programs that are measured beside ours, as Debian installs them.

use std::{
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Command, Output},
    thread,
    time::{Duration, Instant},
};

use super::{Error, process::Process};

/// Debian's place for servers is not in everybody's `PATH`.
pub(crate) fn program(name: &str) -> PathBuf {
    let debian = PathBuf::from("/usr/sbin").join(name);
    if debian.exists() { debian } else { name.into() }
}

/// What it answers to `-v`.
///
/// # Errors
///
/// When it cannot be run; says how to get it.
pub(crate) fn ask_version(name: &str, package: &str) -> Result<Output, Error> {
    let asked = Command::new(program(name)).arg("-v").output();
    asked.map_err(|error| {
        format!("{name} cannot be run ({error}); on Debian: apt-get install {package}").into()
    })
}

/// An address for one that cannot choose a port itself: the system does, and the program takes it over.
pub(crate) fn free_address() -> Result<String, Error> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}

/// Waits until it can be connected to.
///
/// # Errors
///
/// When it ends, or takes too long.
pub(crate) fn wait_for(process: &Process, address: &str) -> Result<(), Error> {
    let start = Instant::now();
    while TcpStream::connect(address).is_err() {
        if start.elapsed() > Duration::from_secs(20) {
            return Err(process.failure("cannot be connected to"));
        }
        process.cpu_seconds()?;
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
