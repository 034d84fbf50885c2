//! What is said of an error.

use std::error::Error;
use std::fmt;

use super::{Kind, NO_MORE, NOT_NOW, StoreError, details};

impl StoreError {
    /// What is wrong where a server has answered, or has not.
    fn of_redis(&self, error: &redis::RedisError) -> &'static str {
        let has = |text: &str| self.has(|error| details(error).starts_with(text));
        if self.is_full() {
            "the store has no room for more: its `maxmemory` is reached"
        } else if self.is_forbidden() {
            "the user of the store may not do all that is needed"
        } else if self.is_locked() {
            "the store asks for another user or password; both are in its URL, which a file may hold"
        } else if self.says(&["DENIED"]) {
            "the store refuses other machines than its own: give it a password"
        } else if has("unknown command") {
            "the store does not know a command that is needed, or has it renamed"
        } else if has(NO_MORE) {
            "the store has no connection left: its `maxclients` is reached"
        } else if self.says(&NOT_NOW) {
            "the store takes no commands now"
        } else if error.to_string().contains("switch database") {
            "the store has no such database, or its user may not choose one (+select)"
        } else if error.is_connection_refusal() || error.is_io_error() {
            "the store cannot be reached"
        } else {
            "the store has failed"
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Redis(error) => f.write_str(self.of_redis(error)),
            Kind::Address(why) => write!(f, "the address is not that of a Redis server: {why}"),
            Kind::NoTls => f.write_str("what answers speaks no TLS; without it, it is redis://"),
            Kind::Stranger(_) => {
                f.write_str("what answers is no Redis server; one that speaks TLS is rediss://")
            }
            Kind::Answer(expected) => write!(f, "the store's answer is no {expected}"),
            Kind::Version => f.write_str("another version has written the stream"),
            Kind::NoPrimary => {
                f.write_str("the server is a replica; name its primary, or use redis+sentinel://")
            }
            Kind::OldServer(Some(version)) => {
                write!(f, "the server is Redis {version}, and 7.0 is needed")
            }
            Kind::OldServer(None) => {
                f.write_str("the server is older than Redis 6.0, and 7.0 is needed")
            }
            Kind::Rights(missing) => {
                write!(f, "the user of the store may not: {}", missing.join(", "))
            }
            Kind::Changed => f.write_str("the store has changed while it was connected to"),
            Kind::Deaf => f.write_str("nothing is heard from the store any more"),
            Kind::Behind => f.write_str("the store does not keep up"),
            Kind::Secret => f.write_str(
                "a secret has at least 32 bytes, and this has fewer; `openssl rand -hex 32` makes one",
            ),
            Kind::Cluster(true) => {
                f.write_str("the server is a node of a cluster; use redis+cluster://")
            }
            Kind::Cluster(false) => f.write_str("the server is no node of a cluster; use redis://"),
            Kind::NoDisk => f.write_str("to wait for the disk, Redis 7.2 is needed"),
            Kind::NoMap => f.write_str("not all slots of the cluster have a primary"),
            Kind::UnknownPrimary(name) => write!(f, "no sentinel knows a primary {name:?}"),
            Kind::Sentinel(error) if is_unknown_command(error) => {
                f.write_str("the server is no sentinel; use redis://, or name one with its port")
            }
            Kind::Sentinel(_) => f.write_str(
                "a sentinel refuses to answer; its user and password are ?sentinel_user=…&sentinel_pass=… of the address",
            ),
            Kind::Tls(_) => f.write_str("the store's certificate, or ours, is not accepted"),
            Kind::Certificates(_) => f.write_str("a certificate or key cannot be used"),
        }
    }
}

fn is_unknown_command(error: &redis::RedisError) -> bool {
    error
        .detail()
        .is_some_and(|detail| detail.starts_with("unknown command"))
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.0 {
            Kind::Redis(error) | Kind::Stranger(error) | Kind::Sentinel(error) => Some(error),
            Kind::Tls(error) => Some(error),
            Kind::Certificates(error) => Some(error.as_ref()),
            _ => None,
        }
    }
}

/// As a sentence, since it is what is shown where `main` gives it back.
impl fmt::Debug for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cause = self.source().map(|cause| format!(": {cause}"));
        let told = format!("{self}{}", cause.unwrap_or_default());
        f.debug_tuple("StoreError").field(&told).finish()
    }
}
