//! What tests of the gateway on the wire have in common: the gateway as a process, what its admin listener says, and
//! clients and upstreams.

#![allow(dead_code, reason = "each test uses its part of it")]

pub(crate) mod address;
pub(crate) mod admin;
pub(crate) mod gateway;
pub(crate) mod http2;
pub(crate) mod wire;

mod process;
