//! Where clients connect to, and what holds for each of these places.

use std::fmt;
use std::net::SocketAddr;
use std::os::unix::net::SocketAddr as UnixAddress;
use std::path::PathBuf;

use http::HeaderName;

use super::tls::KeyPair;
use super::value::{self, Parsed, or_wrong};
use super::{CertificatePart, GatewaySettings, ProxyProtocol};

/// What can be listened on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ListenAddress {
    Tcp(SocketAddr),
    /// A Unix socket at this path.
    Unix(PathBuf),
    /// What systemd listens on: all that it passes, or what has this name.
    Systemd(Option<String>),
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Systemd(None) => f.write_str("systemd"),
            Self::Systemd(Some(name)) => write!(f, "systemd:{name}"),
        }
    }
}

impl ListenAddress {
    /// Where that is alone.
    pub(crate) fn tcp(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(*address),
            Self::Unix(_) | Self::Systemd(_) => None,
        }
    }

    /// Whether only one listener can be there. Any number can be on ports that the system chooses.
    fn is_one(&self) -> bool {
        self.tcp().is_none_or(|address| address.port() != 0)
    }
}

/// One of them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ListenerSettings {
    pub(crate) address: ListenAddress,
    /// The certificates of HTTPS, if that is spoken.
    pub(crate) key_pairs: Vec<KeyPair>,
    pub(crate) client_ca: Option<PathBuf>,
    pub(crate) client_fields: Vec<(HeaderName, CertificatePart)>,
    /// Of the headers with which its connections begin.
    pub(crate) proxy_protocol: Option<ProxyProtocol>,
    /// Of a Unix socket.
    pub(crate) mode: u32,
}

impl ListenerSettings {
    /// One for each address that is named in these settings.
    pub(super) fn of(settings: &GatewaySettings) -> impl Iterator<Item = Self> {
        settings.listen.iter().map(|address| ListenerSettings {
            address: address.clone(),
            key_pairs: settings.key_pairs(),
            client_ca: settings.tls_client_ca.clone(),
            client_fields: settings.tls_client_fields.clone(),
            proxy_protocol: settings.proxy_protocol,
            mode: settings.listen_mode,
        })
    }
}

/// The first address that is there twice.
pub(super) fn twice(listeners: &[ListenerSettings]) -> Option<&ListenAddress> {
    let all = listeners.iter().map(|one| &one.address).enumerate();
    let mut ones = all.filter(|(_, address)| address.is_one());
    let is_again = |(at, address): &(usize, &ListenAddress)| {
        let mut before = listeners[..*at].iter();
        before.any(|other| other.address == **address)
    };
    ones.find(is_again).map(|(_, address)| address)
}

pub(super) fn address(text: &str) -> Parsed<ListenAddress> {
    if let Some(name) = text.strip_prefix("systemd:") {
        let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_graphic() && c != ':');
        let why = "has no name of a socket (FileDescriptorName=); use one such as systemd:clients";
        let named = is_name.then(|| ListenAddress::Systemd(Some(name.to_owned())));
        return or_wrong(named, text, why);
    }
    if text == "systemd" {
        return Ok(ListenAddress::Systemd(None));
    }
    let Some(path) = text.strip_prefix("unix:") else {
        return value::address(text).map(ListenAddress::Tcp);
    };
    let why = "has no absolute path of a socket, of 107 bytes at most; use one such as unix:/run/sse-gateway.sock";
    let is_path = path.starts_with('/') && UnixAddress::from_pathname(path).is_ok();
    or_wrong(is_path.then(|| ListenAddress::Unix(path.into())), text, why)
}

pub(super) fn addresses(text: &str) -> Parsed<Vec<ListenAddress>> {
    text.split(',').map(|item| address(item.trim())).collect()
}

/// The permissions of a Unix socket: who may write to it may connect.
pub(super) fn mode(text: &str) -> Parsed<u32> {
    let is_octal = matches!(text.len(), 3 | 4) && text.bytes().all(|digit| digit.is_ascii_digit());
    let mode = u32::from_str_radix(text, 8).ok();
    let mode = mode.filter(|mode| is_octal && *mode <= 0o777);
    let why = "is not the mode of a socket; use octal digits, such as 0660 or 0600";
    or_wrong(mode, text, why)
}
