//! The gateway with a relay on its route: streams that are shared, resumed, and kept while the upstream is not there.
//!
//! The gateway runs as a process; upstreams and clients are plain sockets.

#![allow(
    clippy::disallowed_methods,
    reason = "what the tests send is bounded by the tests"
)]

mod answers;
mod bounds;
mod chains;
mod client;
#[allow(dead_code, reason = "shared with other tests")]
#[path = "../support/gateway.rs"]
mod gateway;
mod resume;
mod safety;
mod share;
mod shutdown;
mod successors;
mod table;
mod trust;
mod upstream;
mod which;
#[allow(dead_code, reason = "shared with other tests")]
#[path = "../proxy/wire.rs"]
mod wire;
