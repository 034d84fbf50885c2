//! Whether an upstream is the gateway itself, as far as its address tells.

use std::net::{IpAddr, UdpSocket};

use crate::config::ListenAddress;
use crate::config::upstream::{Endpoint, Upstream};

/// Whether requests to this upstream come back to a listener on `listen`. A name other than `localhost` is not looked up.
pub(crate) fn leads_to(upstream: &Upstream, listen: &ListenAddress) -> bool {
    let listen = match listen {
        ListenAddress::Tcp(address) => address,
        ListenAddress::Unix(path) => return upstream.endpoint == Endpoint::Unix(path.clone()),
        ListenAddress::Systemd(_) => return false,
    };
    let Some((host, port)) = upstream.host_and_port() else {
        return false;
    };
    if port != listen.port() {
        return false;
    }
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let addresses = match bare.parse::<IpAddr>() {
        Ok(address) => vec![address],
        Err(_) if bare.eq_ignore_ascii_case("localhost") => vec![[127, 0, 0, 1].into()],
        Err(_) => return false,
    };
    addresses.into_iter().any(|address| {
        let (address, listens) = (address.to_canonical(), listen.ip().to_canonical());
        address == listens || (listens.is_unspecified() && is_of_this_machine(address))
    })
}

/// Only an address of this machine can be bound.
fn is_of_this_machine(address: IpAddr) -> bool {
    address.is_unspecified() || UdpSocket::bind((address, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_known_by_its_addresses() {
        for (upstream, listen, expected) in [
            ("http://127.0.0.1:8080", "127.0.0.1:8080", true),
            ("http://localhost:8080", "127.0.0.1:8080", true),
            ("h2c://127.0.0.1:8080", "0.0.0.0:8080", true),
            ("http://127.0.0.1:8080", "[::]:8080", true),
            ("http://127.0.0.1", "0.0.0.0:80", true),
            ("http://0.0.0.0:8080", "0.0.0.0:8080", true),
            ("http://[::ffff:127.0.0.1]:8080", "127.0.0.1:8080", true),
            ("http://127.0.0.1:8081", "127.0.0.1:8080", false),
            ("http://127.0.0.2:8080", "127.0.0.1:8080", false),
            ("http://192.0.2.1:8080", "0.0.0.0:8080", false),
            ("http://app:8080", "0.0.0.0:8080", false),
            ("unix:/run/app.sock", "0.0.0.0:8080", false),
            ("unix:/run/app.sock", "unix:/run/app.sock", true),
            ("unix:/run/app.sock", "unix:/run/gateway.sock", false),
            ("http://127.0.0.1:8080", "unix:/run/gateway.sock", false),
        ] {
            let address = match listen.strip_prefix("unix:") {
                Some(path) => ListenAddress::Unix(path.into()),
                None => ListenAddress::Tcp(listen.parse().expect("an address")),
            };
            let parsed = Upstream::parse(upstream).expect("an upstream");
            assert_eq!(leads_to(&parsed, &address), expected, "{upstream} {listen}");
        }
    }
}
