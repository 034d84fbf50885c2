//! The stages and the layer, driven as users drive them: through a tower service, with the clock paused.

mod added;
mod bodies;
mod client;
mod compose;
mod deadlines;
mod drain;
mod ends;
mod heartbeat;
mod idle_timeout;
#[cfg(feature = "metrics")]
mod metrics;
mod order;
mod probe;
mod stack;
mod stages;
mod upstream;
