//! Who a client is: its address, and what it or the proxies before it claim.

pub(crate) mod address;
pub(crate) mod claims;
mod ip_text;
