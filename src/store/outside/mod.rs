//! The streams of this process that other gateways share: each a [`Member`](super::Member), and the log that its clients read.
//!
//! A [`Hub`] has all of them, and a [`Session`] for each partition for as long as there are connections to its primary. Whatever happens to a stream
//! happens under its lock: what its member wants done is put into the session's queues there, so that it is in order; what is
//! new of its replica is given to the log.

mod hub;
mod queues;
mod stream;

pub(crate) use hub::{Found, Hub};
pub(crate) use queues::{Job, Look, Queues, Senders, Session, Subscription, Ticket};
pub(crate) use stream::{Lead, Opening, Stream, Term};
