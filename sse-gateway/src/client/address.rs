//! Who sent a request, as far as that is known.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use super::ip_text::IpText;

/// Where a request came from: an extension that is set in front of all routes. A relay that makes one request for
/// several clients takes it out, and the upstream is told of none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClientAddress {
    /// The other end of the connection.
    pub(crate) peer: SocketAddr,
    /// Who sent the request: the peer, or the one that trusted proxies say. Never an IPv4 address in IPv6 clothes.
    pub(crate) client: IpAddr,
}

impl ClientAddress {
    /// Nobody stands between.
    pub(crate) fn direct(peer: SocketAddr) -> Self {
        let client = peer.ip().to_canonical();
        ClientAddress {
            peer: SocketAddr::new(client, peer.port()),
            client,
        }
    }
}

impl fmt::Display for ClientAddress {
    /// With the port where it is known.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.client == self.peer.ip() {
            IpText::with_port(self.peer).fmt(f)
        } else {
            IpText::of(self.client).fmt(f)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_shown_where_it_is_the_clients() {
        let peer = "[::ffff:192.0.2.7]:4242".parse().expect("an address");
        let direct = ClientAddress::direct(peer);
        assert_eq!(direct.to_string(), "192.0.2.7:4242");
        let client = "2001:db8::1".parse().expect("an address");
        let behind = ClientAddress { client, ..direct };
        assert_eq!(behind.to_string(), "2001:db8::1");
    }
}
