//! The gateway as a plain proxy: what goes in comes out, on the wire.
//!
//! The gateway runs as a process. Upstreams and clients are hyper's, or plain sockets where bytes matter.

#![allow(
    clippy::disallowed_methods,
    reason = "what the tests send is bounded by the tests"
)]

#[path = "gateway_proxy/admin.rs"]
mod admin;
#[path = "gateway_proxy/bodies.rs"]
mod bodies;
#[path = "gateway_proxy/circles.rs"]
mod circles;
#[path = "gateway_proxy/descriptors.rs"]
mod descriptors;
#[path = "gateway_proxy/ends.rs"]
mod ends;
#[path = "gateway_proxy/failures.rs"]
mod failures;
#[path = "gateway_proxy/first_bytes.rs"]
mod first_bytes;
#[allow(dead_code, reason = "shared with other tests")]
#[path = "support/gateway.rs"]
mod gateway;
#[path = "gateway_proxy/hold.rs"]
mod hold;
#[path = "gateway_proxy/hops.rs"]
mod hops;
#[path = "gateway_proxy/lines.rs"]
mod lines;
#[path = "gateway_proxy/log.rs"]
mod log;
#[path = "gateway_proxy/messages.rs"]
mod messages;
#[path = "gateway_proxy/no_answer.rs"]
mod no_answer;
#[path = "gateway_proxy/secrets.rs"]
mod secrets;
#[path = "gateway_proxy/shutdown.rs"]
mod shutdown;
#[path = "gateway_proxy/targets.rs"]
mod targets;
#[path = "gateway_proxy/transports.rs"]
mod transports;
#[path = "gateway_proxy/upgrades.rs"]
mod upgrades;
#[path = "gateway_proxy/upstream.rs"]
mod upstream;
#[path = "gateway_proxy/wire.rs"]
mod wire;
