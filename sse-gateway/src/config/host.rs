//! Names and addresses of hosts.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether this can be the name of a host.
pub(crate) fn is_name(text: &str) -> bool {
    let is_label = |label: &str| {
        let is_of_it = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        !label.is_empty() && label.bytes().all(is_of_it)
    };
    text.len() <= 253 && text.split('.').all(is_label)
}

/// A host and, if one is given, its port.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Authority {
    pub(crate) host: Host,
    pub(crate) port: Option<u16>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Host {
    Address(IpAddr),
    /// In lower case, without the dot that may stand at the end.
    Name(String),
}

impl Authority {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (host, port) = match text.strip_prefix('[') {
            Some(text) => {
                let (address, rest) = text.split_once(']')?;
                let (address, _zone) = address.split_once('%').unwrap_or((address, ""));
                let address = address.parse::<Ipv6Addr>().ok()?;
                let port = match rest {
                    "" => "",
                    _ => rest.strip_prefix(':')?,
                };
                (Host::Address(address.into()), port)
            }
            None => {
                let (host, port) = text.split_once(':').unwrap_or((text, ""));
                let host = host.strip_suffix('.').unwrap_or(host);
                let host = match host.parse::<Ipv4Addr>() {
                    Ok(address) => Host::Address(address.into()),
                    Err(_) => Host::Name(host.to_ascii_lowercase()),
                };
                (host, port)
            }
        };
        let port = match port {
            "" => None,
            _ if port.bytes().all(|byte| byte.is_ascii_digit()) => Some(port.parse().ok()?),
            _ => return None,
        };
        Some(Authority { host, port })
    }
}
