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
    /// At sentinels, whose users are not those of the primary.
    pub(super) sentinel_login: RedisConnectionInfo,
    pub(super) is_tls: bool,
}

/// The servers of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Servers {
    /// A primary.
    One(Endpoint),
    /// Those who know the primary, by this name.
    Sentinels(Vec<Endpoint>, String),
    /// Some nodes of a cluster.
    Cluster(Vec<Endpoint>),
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
        let (scheme, rest) = url.split_once("://").ok_or_else(unknown)?;
        let (family, kind) = scheme.split_once('+').unwrap_or((scheme, ""));
        let mut sentinel_login = RedisConnectionInfo::default();
        let (info, servers) = match (family, kind) {
            ("redis" | "rediss" | "valkey" | "valkeys", "") => one(format!("redis://{rest}"))?,
            ("unix", "") | ("redis" | "valkey", "unix") => one(format!("unix://{rest}"))?,
            ("redis" | "rediss" | "valkey" | "valkeys", "sentinel") => {
                let names = ["sentinel_user", "sentinel_pass"];
                sentinel_login = in_query(rest, names)?.unwrap_or_default();
                sentinels(rest)?
            }
            ("redis" | "rediss" | "valkey" | "valkeys", "cluster") => nodes(rest)?,
            _ => return Err(unknown()),
        };
        let mut settings = info.redis_settings().clone();
        if let Some(named) = in_query(rest, ["user", "pass"])? {
            // As with a socket, which has no host to be in front of.
            if let Some(user) = named.username() {
                settings = settings.set_username(user);
            }
            if let Some(password) = named.password() {
                settings = settings.set_password(password);
            }
        }
        Ok(Address {
            servers,
            login: login(settings),
            sentinel_login: login(sentinel_login),
            is_tls: matches!(family, "rediss" | "valkeys"),
        })
    }
}

fn one(url: String) -> Result<(ConnectionInfo, Servers), StoreError> {
    let info = url.into_connection_info().map_err(malformed)?;
    let endpoint = match info.addr() {
        ConnectionAddr::Tcp(host, _) if host.contains(',') => {
            let why = "several are redis+sentinel://host,host/name or redis+cluster://host,host";
            return Err(StoreError::address(why));
        }
        ConnectionAddr::Tcp(host, port) => Endpoint::Tcp(host.clone(), *port),
        ConnectionAddr::Unix(path) => Endpoint::Unix(path.clone()),
        _ => return Err(unknown()),
    };
    Ok((info, Servers::One(endpoint)))
}

fn unknown() -> StoreError {
    StoreError::address(
        "it begins with redis://, rediss://, unix:// or redis+sentinel://, and so on",
    )
}

/// Its text is not shown, since it may have a password.
fn malformed(error: redis::RedisError) -> StoreError {
    let why = error.to_string();
    let (why, _) = why.split_once(" - ").unwrap_or((&why, ""));
    StoreError::address(match why {
        "Redis URL did not parse" => {
            "a host, a port, or a character of user or password that is to be escaped, as %40 for @"
        }
        why => why,
    })
}

/// `user:password@host,host:port/name`. Who logs in does so at the primary.
fn sentinels(rest: &str) -> Result<(ConnectionInfo, Servers), StoreError> {
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (name, query) = path.split_once('?').unwrap_or((path, ""));
    if name.is_empty() || name.contains('/') {
        let why = "behind its sentinels is the name of the primary, as redis+sentinel://host/name";
        return Err(StoreError::address(why));
    }
    let (info, endpoints) = several(authority, query, SENTINEL)?;
    Ok((info, Servers::Sentinels(endpoints, name.to_owned())))
}

/// `?user=user&pass=password` by names such as these, both escaped as they are in front of a host; none where neither is there.
fn in_query(
    rest: &str,
    [user, password]: [&str; 2],
) -> Result<Option<RedisConnectionInfo>, StoreError> {
    let query = rest.split_once('?').map_or("", |(_, query)| query);
    let value = |name: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|pair| pair.0 == name).map_or("", |pair| pair.1)
    };
    let (user, password) = (value(user), value(password));
    if user.is_empty() && password.is_empty() {
        return Ok(None);
    }
    let (info, _) = one(format!("redis://{user}:{password}@host"))?;
    Ok(Some(info.redis_settings().clone()))
}

/// `user:password@host,host:port`
fn nodes(rest: &str) -> Result<(ConnectionInfo, Servers), StoreError> {
    let (authority, query) = rest.split_once('?').unwrap_or((rest, ""));
    let authority = authority.strip_suffix('/').unwrap_or(authority);
    // A cluster has one database.
    if authority.contains('/') {
        return Err(StoreError::address("a cluster has no numbers of databases"));
    }
    let (info, endpoints) = several(authority, query, "")?;
    Ok((info, Servers::Cluster(endpoints)))
}

fn several(
    authority: &str,
    query: &str,
    default: &str,
) -> Result<(ConnectionInfo, Vec<Endpoint>), StoreError> {
    let (user, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (info, _) = one(format!("redis://{user}@primary/?{query}"))?;
    let mut endpoints = Vec::new();
    for host in hosts.split(',') {
        let has_port = host.rsplit(']').next().is_some_and(|end| end.contains(':'));
        let port = if has_port { "" } else { default };
        match one(format!("redis://{host}{port}"))? {
            (_, Servers::One(endpoint)) => endpoints.push(endpoint),
            _ => return Err(unknown()),
        }
    }
    Ok((info, endpoints))
}

/// The port of a sentinel that has not chosen another.
const SENTINEL: &str = ":26379";

/// What is published comes on the same connection as answers. The name of the library is not told: it takes a right more.
fn login(mut login: RedisConnectionInfo) -> RedisConnectionInfo {
    // Without a password, nobody would be logged in, and all be done as the default user.
    if login.username().is_some() && login.password().is_none() {
        login = login.set_password("");
    }
    login
        .set_protocol(ProtocolVersion::RESP3)
        .set_skip_set_lib_name()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_nothing_else() {
        let read = |url: &str| {
            let address = Address::parse(url).ok()?;
            let servers = match address.servers {
                Servers::One(endpoint) => endpoint.to_string(),
                Servers::Sentinels(all, name) => {
                    let all: Vec<_> = all.iter().map(Endpoint::to_string).collect();
                    format!("{name} at {}", all.join(" "))
                }
                Servers::Cluster(all) => {
                    let all: Vec<_> = all.iter().map(Endpoint::to_string).collect();
                    format!("cluster of {}", all.join(" "))
                }
            };
            Some((servers, address.is_tls))
        };
        let cases = [
            ("redis://redis", Some(("redis:6379", false))),
            ("redis://u:p@redis:1", Some(("redis:1", false))),
            ("rediss://[::1]:1", Some(("[::1]:1", true))),
            (
                "unix:///run/redis.sock?pass=p",
                Some(("/run/redis.sock", false)),
            ),
            (
                "redis+sentinel://u:p@a,b:1,[::1]/main",
                Some(("main at a:26379 b:1 [::1]:26379", false)),
            ),
            ("rediss+sentinel://a/main", Some(("main at a:26379", true))),
            (
                "redis+cluster://u:p@a,b:1/?pass=p",
                Some(("cluster of a:6379 b:1", false)),
            ),
            ("rediss+cluster://a", Some(("cluster of a:6379", true))),
            ("valkey://a", Some(("a:6379", false))),
            ("valkeys+cluster://a", Some(("cluster of a:6379", true))),
            (
                "redis+unix:///run/redis.sock",
                Some(("/run/redis.sock", false)),
            ),
            ("redis+cluster://", None),
            ("redis+cluster://a/1", None),
            ("redis+sentinel://a", None),
            ("redis+sentinel://a/", None),
            ("redis+sentinel:///main", None),
            ("redis+sentinel://a,,b/main", None),
            ("unix+sentinel://a/main", None),
            ("redis://", None),
            ("redis://::1:6379", None),
            ("redis://u:p/q@a", None),
            ("redis://a:65536", None),
            ("redis://a/main", None),
            ("redis://a,b", None),
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
        let logins = |url: &str| {
            let address = Address::parse(url).unwrap();
            [address.login, address.sentinel_login].map(|login| {
                let part = |part: Option<&str>| part.unwrap_or("").to_owned();
                part(login.username()) + ":" + &part(login.password())
            })
        };
        assert_eq!(logins("redis://a?user=u&pass=p%26"), ["u:p&", ":"]);
        assert_eq!(logins("redis+cluster://a,b/?pass=p"), [":p", ":"]);
        assert_eq!(logins("unix:///a?user=u&pass=p"), ["u:p", ":"]);
        let url = "redis+sentinel://u:p@a/main";
        assert_eq!(logins(url), ["u:p", ":"]);
        let url = "redis+sentinel://a/main?sentinel_pass=p%26%3A";
        assert_eq!(logins(url), [":", ":p&:"]);
        let url = "redis+sentinel://u:p@a/main?sentinel_user=s%40&sentinel_pass=q";
        assert_eq!(logins(url), ["u:p", "s@:q"]);
    }
}
