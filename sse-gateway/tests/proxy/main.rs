//! The gateway as a plain proxy: what goes in comes out, on the wire.
//!
//! The gateway runs as a process. Upstreams and clients are hyper's, or plain sockets where bytes matter.

#![allow(
    clippy::disallowed_methods,
    reason = "what the tests send is bounded by the tests"
)]

mod access;
mod admin;
mod bodies;
mod certificates;
mod circles;
mod codings;
mod descriptors;
mod ends;
mod failures;
mod first_bytes;
mod forward_auth;
mod framing;
mod heads;
mod hold;
mod hops;
mod jwt;
mod limits;
mod lines;
mod listeners;
mod log;
mod messages;
mod no_answer;
mod proxied;
mod reload;
mod requests;
mod secrets;
mod several_upstreams;
mod shutdown;
mod streams;
#[path = "../support/mod.rs"]
mod support;
mod targets;
mod tls;
mod transports;
mod upgrades;
mod upstream;
mod upstream_tls;

use support::{gateway, http2, wire};
