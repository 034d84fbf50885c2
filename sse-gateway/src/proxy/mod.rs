//! A request goes to the upstream, and its answer comes back, as a proxy has to do it (RFC 9110, section 7.6).

mod aside;
pub(crate) mod circle;
pub(crate) mod expect;
pub(crate) mod failure;
pub(crate) mod forward;
pub(crate) mod headers;
pub(crate) mod last_event_id;
pub(crate) mod no_answer;
pub(crate) mod request_body;
pub(crate) mod target;
pub(crate) mod upgrade;
pub(crate) mod upstream;
pub(crate) mod upstream_side;
pub(crate) mod upstreams;
pub(crate) mod via;
