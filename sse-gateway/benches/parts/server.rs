//! A server that is measured, whichever it is.

use std::{path::Path, process::Command};

use super::{
    Error,
    folder::Folder,
    process::{Process, start_part},
};

/// A server that can be connected to. It ends when this is dropped.
pub(crate) struct Server {
    pub(crate) process: Process,
    pub(crate) address: String,
    /// After the process, which is to end before its folder is removed.
    _folder: Option<Folder>,
}

impl Server {
    /// One whose files are in this folder.
    pub(crate) fn in_folder(process: Process, address: String, folder: Folder) -> Self {
        Self {
            process,
            address,
            _folder: Some(folder),
        }
    }

    /// Another part of this bench.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub(crate) fn part(part: &str, arguments: &[&str]) -> Result<Self, Error> {
        Self::announced(start_part(part, arguments)?)
    }

    /// The gateway, in front of an upstream at this address.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub(crate) fn gateway(upstream: &str, flags: &[&str]) -> Result<Self, Error> {
        let program = Path::new(env!("CARGO_BIN_EXE_sse-gateway"));
        Self::gateway_of(program, upstream, flags)
    }

    /// The gateway as this program has it, another build of it maybe.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub(crate) fn gateway_of(
        program: &Path,
        upstream: &str,
        flags: &[&str],
    ) -> Result<Self, Error> {
        let mut command = Command::new(program);
        command
            .args(["--upstream", &format!("http://{upstream}")])
            .args(["--listen", "127.0.0.1:0", "--admin-listen", "off"])
            .args(flags);
        Self::announced(Process::start("sse-gateway", &mut command)?)
    }

    pub(crate) fn announced(process: Process) -> Result<Self, Error> {
        Ok(Self {
            address: process.address()?,
            process,
            _folder: None,
        })
    }
}
