//! A store that is a real Redis server: that its scripts mean what the model means, and what the model does not have.
//!
//! `OPERATIONS=…` are carried out in the comparison with the model, `SEED=…` is one round of it.

mod compare;
mod heard;
mod primary;
#[path = "../support/random.rs"]
mod random;
#[path = "../support/rights.rs"]
mod rights;
mod script;
mod server;
#[path = "../support/variable.rs"]
mod variable;
