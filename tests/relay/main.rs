//! The history and the relay, driven as users drive them: through a tower service, with the clock paused.

mod added;
mod bounds;
mod catch_up;
mod catch_up_together;
mod client;
#[cfg(feature = "metrics")]
mod counts;
mod edges;
mod ends;
mod history;
mod pace;
mod policies;
#[path = "../support/random.rs"]
mod random;
mod reconnect;
mod resumable;
mod rooms;
mod schedules;
mod shared;
mod unseen;
mod upstream;
mod upstream_stages;
mod which;
