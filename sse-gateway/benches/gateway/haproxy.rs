//! HAProxy, as Debian has it, as one would configure it for event streams.

use std::{fs, process::Command};

use crate::{
    Error,
    parts::{
        folder::Folder,
        nginx,
        process::Process,
        program::{ask_version, free_address, program, wait_for},
        server::Server,
    },
};

/// Starts it in front of an upstream at this address, and waits until it can be connected to.
///
/// # Errors
///
/// When it is not there, or does not start.
pub(crate) fn start(upstream: &str) -> Result<Server, Error> {
    // Says how to get it, if it is not there.
    version()?;
    let folder = Folder::new()?;
    let address = free_address()?;
    let file = folder.path().join("haproxy.cfg");
    fs::write(&file, configuration(upstream, &address))?;
    let mut command = Command::new(program("haproxy"));
    command.arg("-db").arg("-f").arg(&file);
    let process = Process::start("haproxy", &mut command)?;
    wait_for(&process, &address)?;
    Ok(Server::in_folder(process, address, folder))
}

/// One process; as many threads as the others have. Without `abortonclose`, a stream on which nothing happens would stay
/// open behind a client that has left. Without a limit of its own it would prepare itself for as many
/// descriptors as it may have, which can be a billion.
fn configuration(upstream: &str, address: &str) -> String {
    let threads = nginx::workers();
    format!(
        "
global
    nbthread {threads}
    fd-hard-limit 20000
defaults
    mode http
    no option http-server-close
    no option http-buffer-request
    option http-no-delay
    option abortonclose
    timeout connect 5s
    timeout client 1h
    timeout server 1h
frontend clients
    bind {address}
    default_backend streams
backend streams
    server upstream {upstream}
"
    )
}

pub(crate) fn version() -> Result<String, Error> {
    let output = ask_version("haproxy", "haproxy")?;
    let said = String::from_utf8_lossy(&output.stdout);
    let version = said
        .split_once("version ")
        .and_then(|(_, version)| version.split(['-', ' ']).next());
    version
        .map(str::to_owned)
        .ok_or_else(|| format!("haproxy -v said {said:?}").into())
}
