//! The proxies in front of the gateway that are believed.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

/// Networks of proxies, and perhaps whoever connects to a Unix socket; none by default. An IPv4 address counts alike when it is
/// written as one of IPv6.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TrustedProxies {
    networks: Vec<IpNet>,
    unix: bool,
}

impl TrustedProxies {
    /// Reads a comma list of networks and addresses, and `unix`.
    ///
    /// # Errors
    ///
    /// When an item of the list is none of them.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut trusted = Self::default();
        for item in text.split(',').map(str::trim) {
            match item {
                "unix" => trusted.unix = true,
                _ => trusted.networks.push(network(item)?),
            }
        }
        Ok(trusted)
    }

    pub(crate) fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks.iter().any(|one| one.contains(&address))
    }

    /// The same of the other end of a connection: one without an address has connected to a Unix socket.
    pub(crate) fn contain_peer(&self, peer: Option<IpAddr>) -> bool {
        peer.map_or(self.unix, |address| self.contain(address))
    }
}

const RIGHT: &str =
    "use networks and addresses such as 10.0.0.0/8,127.0.0.1,fd00::/8, unix for Unix sockets";

fn network(text: &str) -> Result<IpNet, String> {
    if text.is_empty() {
        return Err(format!("an item of the list is empty; {RIGHT}"));
    }
    let network = match text.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address),
        Err(_) => text
            .parse()
            .map_err(|_| format!("{text:?} is neither a network nor an address; {RIGHT}"))?,
    };
    if network.trunc() != network {
        return Err(format!(
            "{text:?} has bits behind its prefix; use {} or {}",
            network.trunc(),
            network.addr()
        ));
    }
    Ok(canonical(network))
}

/// A network of IPv4 addresses that are written as such of IPv6 is one of IPv4.
fn canonical(network: IpNet) -> IpNet {
    let IpAddr::V4(address) = network.addr().to_canonical() else {
        return network;
    };
    let bits = network
        .prefix_len()
        .checked_sub(network.max_prefix_len() - 32);
    match bits.and_then(|bits| Ipv4Net::new(address, bits).ok()) {
        Some(network) => network.into(),
        None => network,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::cases::rows;

    fn contains(list: &str, address: &str) -> bool {
        TrustedProxies::parse(list)
            .expect("is a list")
            .contain(address.parse().expect("an address"))
    }

    /// Networks, addresses in them, and addresses outside.
    const LISTS: &str = "
        10.0.0.0/8,192.0.2.7 | 10.0.0.0 10.255.255.255 192.0.2.7 | 11.0.0.0 192.0.2.8 ::10.1.2.3
        10.0.0.0/8,192.0.2.7 | ::ffff:10.1.2.3 ::ffff:192.0.2.7 | ::ffff:11.0.0.1
        2001:db8::/32,::1 | 2001:db8:1::2 ::1 | 2001:db9:: ::2
        ::ffff:10.0.0.0/104 | 10.1.2.3 | 11.1.2.3
        ::ffff:10.0.0.1 | 10.0.0.1 | 10.0.0.2
        0.0.0.0/0 | 203.0.113.1 | 2001:db8::1
        ::/0 | 2001:db8::1 | 203.0.113.1";

    #[test]
    fn an_address_is_in_its_networks_and_ipv4_written_as_ipv6_is_ipv4() {
        for [list, inside, outside] in rows(LISTS, " | ") {
            assert!(
                inside.split(' ').all(|address| contains(list, address)),
                "{list}"
            );
            assert!(
                !outside.split(' ').any(|address| contains(list, address)),
                "{list}"
            );
        }
        assert!(!TrustedProxies::default().contain("127.0.0.1".parse().expect("an address")));
    }

    /// What is no list, and why.
    const MISTAKES: &str = "
        10.0.0.0/8, -> an item of the list is empty
        proxy.local -> \"proxy.local\" is neither
        10.0.0.0/33 -> \"10.0.0.0/33\" is neither
        10.0.0/8 -> \"10.0.0/8\" is neither
        127.0.0.1:80 -> \"127.0.0.1:80\" is neither
        [::1] -> \"[::1]\" is neither
        10.1.2.3/8 -> \"10.1.2.3/8\" has bits behind its prefix; use 10.0.0.0/8 or 10.1.2.3";

    #[test]
    fn what_is_no_network_is_refused() {
        for [text, why] in rows(MISTAKES, " -> ") {
            let error = TrustedProxies::parse(text).expect_err("is refused");
            assert!(error.starts_with(why), "{error}");
        }
        assert!(TrustedProxies::parse("").is_err());
    }
}
