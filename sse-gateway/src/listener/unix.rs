//! Connections over a Unix socket.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, SockRef, Socket, Type};
use tokio::io::Interest;
use tokio::net;

use super::tcp::BACKLOG;
use crate::config::Error;

/// A listener on a Unix socket.
pub(crate) struct Unix {
    listener: UnixListener,
    /// None where somebody else has made it.
    _file: Option<SocketFile>,
}

impl Unix {
    /// Begins to listen. The flag is for the error.
    ///
    /// A socket that is left over from a process that has ended gives way.
    ///
    /// # Errors
    ///
    /// When something else is there, or the socket may not be made.
    pub(crate) fn bind(path: &Path, mode: u32, flag: &str) -> Result<Self, Error> {
        let wrong = |why: String| {
            Error::at(
                flag,
                format_args!("cannot listen on unix:{}: {why}", path.display()),
            )
        };
        make_room(path).map_err(wrong)?;
        listen(path, mode).map_err(|error| {
            let hint = match error.kind() {
                ErrorKind::NotFound => "; its folder has to be there",
                ErrorKind::PermissionDenied => {
                    "; its folder has to be one that this user may write to"
                }
                _ => "",
            };
            wrong(format!("{error}{hint}"))
        })
    }

    /// Goes on with a socket that listens.
    pub(super) fn inherited(listener: UnixListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let _file = None;
        Ok(Unix { listener, _file })
    }

    /// What tells of connections on one thread: as a stream, which can be read when there is one.
    pub(super) fn watch(&self) -> io::Result<net::UnixStream> {
        net::UnixStream::from_std(OwnedFd::from(self.listener.try_clone()?).into())
    }

    pub(super) fn accept(watch: &net::UnixStream) -> io::Result<UnixStream> {
        let accept = || SockRef::from(watch).accept();
        let (stream, _) = watch.try_io(Interest::READABLE, accept)?;
        Ok(OwnedFd::from(stream).into())
    }
}

fn listen(path: &Path, mode: u32) -> io::Result<Unix> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    let file = SocketFile::at(path)?;
    // Before anybody can connect.
    fs::set_permissions(path, Permissions::from_mode(mode))?;
    socket.listen(BACKLOG.try_into().unwrap_or(i32::MAX))?;
    socket.set_nonblocking(true)?;
    let listener = OwnedFd::from(socket).into();
    Ok(Unix {
        listener,
        _file: Some(file),
    })
}

/// Removes a socket that nobody listens on.
fn make_room(path: &Path) -> Result<(), String> {
    let found = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        found => found.map_err(|error| error.to_string())?,
    };
    if !found.file_type().is_socket() {
        return Err(
            "what is there is no socket, and is left alone; choose another path".to_owned(),
        );
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(|error| format!("the socket left there stays: {error}"))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        // One whose queue is full is in use, too.
        Ok(_) => Err(IN_USE.to_owned()),
        Err(error) => Err(format!("{IN_USE} ({error})")),
    }
}

const IN_USE: &str = "another process listens there; stop it, or choose another path";

/// The file of a socket, which goes when this is dropped, unless another one has taken its place.
struct SocketFile {
    path: PathBuf,
    is: (u64, u64),
}

impl SocketFile {
    fn at(path: &Path) -> io::Result<Self> {
        let path = path.to_owned();
        let is = identity(&path)?;
        Ok(SocketFile { path, is })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|now| now == self.is) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let found = fs::symlink_metadata(path)?;
    Ok((found.dev(), found.ino()))
}
