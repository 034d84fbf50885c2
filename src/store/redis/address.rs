//! Where a store is, as a URL says it.

use std::fmt;
use std::path::PathBuf;

use redis::{
    ConnectionAddr, ConnectionInfo, IntoConnectionInfo, ProtocolVersion, RedisConnectionInfo,
};

use super::StoreError;

/// Where a store is, and who talks to it.
#[derive(Clone)]
pub(super) struct Address {
    pub(super) servers: Servers,
    pub(super) login: RedisConnectionInfo,
    pub(super) is_tls: bool,
}

/// The servers of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Servers {
    /// A primary.
    One(Endpoint),
}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Endpoint {
    /// A host and a port.
    Tcp(String, u16),
    /// A socket of this machine.
    Unix(PathBuf),
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Tcp(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Endpoint::Tcp(host, port) => write!(f, "{host}:{port}"),
            Endpoint::Unix(path) => path.display().fmt(f),
        }
    }
}

impl Address {
    pub(super) fn parse(url: &str) -> Result<Self, StoreError> {
        let (scheme, rest) = url.split_once("://").ok_or_else(StoreError::address)?;
        let is_tls = scheme == "rediss";
        let info = match scheme {
            "redis" | "rediss" => read(format!("redis://{rest}"))?,
            "unix" => read(url.to_owned())?,
            _ => return Err(StoreError::address()),
        };
        let endpoint = match info.addr() {
            ConnectionAddr::Tcp(host, port) => Endpoint::Tcp(host.clone(), *port),
            ConnectionAddr::Unix(path) => Endpoint::Unix(path.clone()),
            _ => return Err(StoreError::address()),
        };
        Ok(Address {
            servers: Servers::One(endpoint),
            login: login(&info),
            is_tls,
        })
    }
}

/// What is published comes on the same connection as answers. The name of the library is not told: it takes a right more.
fn login(info: &ConnectionInfo) -> RedisConnectionInfo {
    let login = info.redis_settings().clone();
    login
        .set_protocol(ProtocolVersion::RESP3)
        .set_skip_set_lib_name()
}

fn read(url: String) -> Result<ConnectionInfo, StoreError> {
    url.into_connection_info().map_err(StoreError::redis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_nothing_else() {
        let read = |url: &str| {
            let address = Address::parse(url).ok()?;
            let Servers::One(endpoint) = address.servers;
            Some((endpoint.to_string(), address.is_tls))
        };
        let cases = [
            ("redis://redis", Some(("redis:6379", false))),
            ("redis://u:p@redis:1", Some(("redis:1", false))),
            ("rediss://[::1]:1", Some(("[::1]:1", true))),
            (
                "unix:///run/redis.sock?pass=p",
                Some(("/run/redis.sock", false)),
            ),
            ("redis://", None),
            ("http://redis", None),
            ("redis", None),
        ];
        for (url, expected) in cases {
            let expected = expected.map(|(endpoint, is_tls)| (endpoint.to_owned(), is_tls));
            assert_eq!(read(url), expected, "{url}");
        }
        let login = Address::parse("redis://u%40:p%3A@redis").unwrap().login;
        assert_eq!(
            (login.username(), login.password()),
            (Some("u@"), Some("p:"))
        );
    }
}
