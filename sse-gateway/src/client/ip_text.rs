//! IP addresses as text.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// An address as the standard library writes it. There each number of it goes through the formatter, and a client's address
/// is written for the upstream and in each line on its stream.
pub(super) struct IpText {
    text: [u8; MOST],
    length: usize,
}

/// `[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255%4294967295]:65535`.
const MOST: usize = 64;

impl IpText {
    pub(super) fn of(address: IpAddr) -> Self {
        let mut text = Self::empty();
        text.push_address(address);
        text
    }

    pub(super) fn with_port(address: SocketAddr) -> Self {
        let mut text = Self::empty();
        match address {
            SocketAddr::V4(_) => {
                text.push_address(address.ip());
                text.push(b':');
                text.push_number(address.port());
            }
            SocketAddr::V6(_) => text.push_by_formatter(&address),
        }
        text
    }

    fn empty() -> Self {
        IpText {
            text: [0; MOST],
            length: 0,
        }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.text[..self.length]
    }

    fn push_address(&mut self, address: IpAddr) {
        match address {
            IpAddr::V4(address) => {
                let [first, rest @ ..] = address.octets();
                self.push_number(first.into());
                for octet in rest {
                    self.push(b'.');
                    self.push_number(octet.into());
                }
            }
            IpAddr::V6(_) => self.push_by_formatter(&address),
        }
    }

    fn push_number(&mut self, number: u16) {
        let places = [10_000, 1_000, 100, 10];
        for place in places.into_iter().filter(|place| number >= *place) {
            self.push_digit(number / place % 10);
        }
        self.push_digit(number % 10);
    }

    fn push_digit(&mut self, digit: u16) {
        self.push(b"0123456789"[usize::from(digit)]);
    }

    fn push_by_formatter(&mut self, address: &impl fmt::Display) {
        for byte in address.to_string().bytes() {
            self.push(byte);
        }
    }

    fn push(&mut self, byte: u8) {
        self.text[self.length] = byte;
        self.length += 1;
    }
}

impl fmt::Display for IpText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(self.as_bytes()).map_err(|_| fmt::Error)?)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV6};

    use super::*;

    #[test]
    fn addresses_are_written_as_the_standard_library_does() {
        for number in (0..=255).chain([256, 999, 1_000, 1_001, 9_999, 10_000, 10_010, 65_535]) {
            let octet = number as u8;
            let ip = Ipv4Addr::new(octet, 255 - octet, 100, octet / 2);
            let v6 = Ipv6Addr::from([number; 8]);
            let addresses = [
                SocketAddr::new(ip.into(), number),
                SocketAddr::new(v6.into(), number),
                SocketAddr::new(ip.to_ipv6_mapped().into(), number),
                SocketAddrV6::new(v6, number, u32::MAX, u32::MAX).into(),
            ];
            for address in addresses {
                assert_eq!(IpText::with_port(address).to_string(), address.to_string());
                let ip = address.ip();
                assert_eq!(IpText::of(ip).to_string(), ip.to_string());
            }
        }
    }
}
