//! The history and the relay, driven as users drive them: through a tower service, with the clock paused.

mod history;
mod random;
