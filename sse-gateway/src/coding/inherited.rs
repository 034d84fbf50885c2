//! Sockets on which systemd has begun to listen, and which it has passed on (`LISTEN_FDS`; sd_listen_fds(3)).

use std::io::{self, ErrorKind};

use listenfd::ListenFd;

use super::{Source, Tcp, Unix};
use crate::config::{Error, ListenAddress};

/// Those that nobody has taken yet.
pub(crate) struct Inherited(Vec<Socket>);

struct Socket {
    name: String,
    source: Source,
    address: ListenAddress,
}

impl Inherited {
    /// Takes over what was passed on to this process. Once: it cannot be done again.
    ///
    /// # Errors
    ///
    /// When one is no socket that listens for streams.
    pub(crate) fn take_over() -> Result<Self, Error> {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':');
        let mut passed = ListenFd::from_env();
        let mut sockets = Vec::new();
        for at in 0..passed.len() {
            let name = names.next().unwrap_or_default().to_owned();
            let found = socket(&mut passed, at);
            let (source, address) = found.map_err(|error| {
                let why = format_args!(
                    "socket {name:?} of systemd cannot be used: {error}; use ListenStream= in its unit"
                );
                Error::at("--listen", why)
            })?;
            sockets.push(Socket {
                name,
                source,
                address,
            });
        }
        Ok(Inherited(sockets))
    }

    /// Those of this name, or all.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub(crate) fn take(
        &mut self,
        name: Option<&str>,
    ) -> Result<Vec<(Source, ListenAddress)>, Error> {
        let is_meant = |socket: &mut Socket| name.is_none_or(|name| socket.name == name);
        let names = self.names();
        let taken: Vec<_> = self.0.extract_if(.., is_meant).collect();
        if !taken.is_empty() {
            return Ok(taken.into_iter().map(|one| (one.source, one.address)).collect());
        }
        let why = match (name, names.as_str()) {
            (_, "") => "systemd has passed no socket; start it by a unit with ListenStream=, or name an address".to_owned(),
            (name, names) => format!("systemd has passed no socket with the name {:?}, but {names}; set FileDescriptorName= in its unit", name.unwrap_or_default()),
        };
        Err(Error::at("--listen", why))
    }

    /// Their names.
    pub(crate) fn names(&self) -> String {
        let names: Vec<_> = self.0.iter().map(|socket| socket.name.as_str()).collect();
        names.join(", ")
    }
}

fn socket(passed: &mut ListenFd, at: usize) -> io::Result<(Source, ListenAddress)> {
    if let Ok(Some(tcp)) = passed.take_tcp_listener(at) {
        let (tcp, address) = Tcp::inherited(tcp)?;
        return Ok((Source::Tcp(tcp), ListenAddress::Tcp(address)));
    }
    let unix = passed.take_unix_listener(at)?.ok_or(ErrorKind::NotFound)?;
    let path = unix.local_addr()?.as_pathname().map(Into::into);
    let unix = Unix::inherited(unix)?;
    Ok((Source::Unix(unix), ListenAddress::Unix(path.unwrap_or_default())))
}
