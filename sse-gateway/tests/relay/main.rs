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
mod compression;
mod cut_off;
mod many;
mod redis;
mod resume;
mod safety;
mod several;
mod several_answers;
mod share;
mod shutdown;
mod successors;
#[path = "../support/mod.rs"]
mod support;
mod table;
mod trust;
mod upstream;
mod which;

use support::{admin, gateway, http2, wire};
