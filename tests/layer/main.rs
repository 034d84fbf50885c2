//! The stages and the layer, driven as users drive them: through a tower service, with the clock paused.

mod order;
