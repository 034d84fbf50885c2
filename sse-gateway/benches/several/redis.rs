//! A Redis server of the bench's own, and what it says of itself.

use std::{
    io::{Read, Write},
    net::TcpStream,
    process::Command,
};

use crate::parts::{
    Error,
    folder::Folder,
    process::Process,
    program::{free_address, wait_for},
};

pub(crate) struct Redis {
    pub(crate) process: Process,
    pub(crate) address: String,
    folder: Folder,
}

impl Redis {
    /// # Errors
    ///
    /// When it does not start.
    pub(crate) fn start() -> Result<Self, Error> {
        let (folder, address) = (Folder::new()?, free_address()?);
        let port = address.rsplit(':').next().unwrap_or_default();
        std::fs::write(folder.path().join("secret"), "s".repeat(32))?;
        let mut command = Command::new("redis-server");
        command
            .args(["--port", port, "--bind", "127.0.0.1", "--save", ""])
            .current_dir(folder.path());
        let process = Process::start("redis-server", &mut command)?;
        wait_for(&process, &address)?;
        Ok(Redis {
            process,
            address,
            folder,
        })
    }

    /// Of a gateway that shares streams by it.
    pub(crate) fn flags(&self) -> [String; 4] {
        let secret = self.folder.path().join("secret");
        [
            "--store".into(),
            format!("redis://{}", self.address),
            "--store-secret".into(),
            secret.display().to_string(),
        ]
    }

    /// A field of `INFO`; 0 where there is none, as of a command that was never called.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub(crate) fn number(&self, section: &str, field: &str) -> Result<f64, Error> {
        let mut connection = TcpStream::connect(&self.address)?;
        write!(connection, "INFO {section}\r\nQUIT\r\n")?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer)?;
        let value = answer.lines().find_map(|line| line.strip_prefix(field));
        let digits = value.map(|value| value.trim_start_matches([':', '=']));
        let digits = digits.and_then(|value| value.split(',').next());
        Ok(digits.and_then(|value| value.parse().ok()).unwrap_or(0.0))
    }
}
