//! Tower parts that make any server-sent event stream dependable.

#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod layer;
pub mod stage;
pub mod wire;

pub use layer::{EventBody, EventFuture, EventLayer, EventService};
