//! The gateway with a relay on its route: streams that are shared, resumed, and kept while the upstream is not there.
//!
//! The gateway runs as a process; upstreams and clients are plain sockets.

#![allow(
    clippy::disallowed_methods,
    reason = "what the tests send is bounded by the tests"
)]

#[path = "gateway_relay/answers.rs"]
mod answers;
#[path = "gateway_relay/bounds.rs"]
mod bounds;
#[path = "gateway_relay/chains.rs"]
mod chains;
#[path = "gateway_relay/client.rs"]
mod client;
#[allow(dead_code, reason = "shared with other tests")]
#[path = "support/gateway.rs"]
mod gateway;
#[path = "gateway_relay/resume.rs"]
mod resume;
#[path = "gateway_relay/safety.rs"]
mod safety;
#[path = "gateway_relay/share.rs"]
mod share;
#[path = "gateway_relay/shutdown.rs"]
mod shutdown;
#[path = "gateway_relay/successors.rs"]
mod successors;
#[path = "gateway_relay/table.rs"]
mod table;
#[path = "gateway_relay/trust.rs"]
mod trust;
#[path = "gateway_relay/upstream.rs"]
mod upstream;
#[path = "gateway_relay/which.rs"]
mod which;
#[allow(dead_code, reason = "shared with other tests")]
#[path = "gateway_proxy/wire.rs"]
mod wire;
