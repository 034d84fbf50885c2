//! Who sent a request, as far as that is known.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use super::ip_text::IpText;

/// Where a request came from: an extension that is set in front of all routes. A relay that makes one request for
/// several clients takes it out, and the upstream is told of none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClientAddress {
    /// The other end of the connection, unless that is a Unix socket. Never an IPv4 address in IPv6 clothes, as the client.
    pub(crate) peer: Option<SocketAddr>,
    /// Who sent the request: the peer, or the one that trusted proxies say.
    pub(crate) client: IpAddr,
}

impl fmt::Display for ClientAddress {
    /// With the port where it is known.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.peer {
            Some(peer) if self.client == peer.ip() => IpText::with_port(peer).fmt(f),
            _ => IpText::of(self.client).fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_shown_where_it_is_the_clients() {
        let peer: SocketAddr = "192.0.2.7:4242".parse().expect("an address");
        let direct = ClientAddress {
            peer: Some(peer),
            client: peer.ip(),
        };
        assert_eq!(direct.to_string(), "192.0.2.7:4242");
        let client = "2001:db8::1".parse().expect("an address");
        let behind = ClientAddress { client, ..direct };
        assert_eq!(behind.to_string(), "2001:db8::1");
        let behind = ClientAddress { peer: None, client };
        assert_eq!(behind.to_string(), "2001:db8::1");
    }
}
