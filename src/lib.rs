//! Tower parts that make any server-sent event stream dependable.
pub mod wire;
