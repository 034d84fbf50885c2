//! Event streams of HTTP/1.1 that are written without hyper.
//!
//! hyper's connection holds two buffers for as long as it lives. So an event stream is taken over from it at the one moment at
//! which that is possible: when its service has the response and nothing of it was written. The service keeps the response in
//! a [`Slot`] and fails; hyper then ends without having written anything, and gives the socket back. What it had read
//! ahead is read again behind the stream, by another connection of hyper's on the same socket.

mod head;
mod slot;
mod stream;

pub(crate) use slot::WholeBody;
pub(super) use slot::{Ask, Slot, Taken};
pub(super) use stream::Stream;

#[cfg(test)]
mod hyper_tests;
