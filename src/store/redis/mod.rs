//! The store as a Redis server, or one that speaks as it does: what [`Model`](super::Model) means, as scripts.
//!
//! A [`Connection`] carries out commands, a [`Tail`] hears what is published. Both lead to one primary for as long as they
//! are there; who lost one opens another, and reads again. Redis 7.0 is needed, since scripts publish to shard channels.
//!
//! | key | type | what |
//! |---|---|---|
//! | `P:{T}:N:l` | stream | the log; the id of an entry is the last position in it, its field `e` a frame |
//! | `P:{T}:N:m` | hash | `v` 1, `e` epoch, `p` last position, `n` last sequence, `f` fence, `o` owner or empty, `r` reign or `-`, `h` note, `x` 1 once it has ended |
//! | `P:{T}:N:w` | set | instances that have clients |
//! | `P:{T}:i:I` | string | session of an instance |
//! | `P:{T}:N:c` | shard channel | messages of the stream |
//! | `P:{T}:b` | shard channel | heartbeats of instances |
//!
//! Frames and notes are as they are, or sealed for the stream they are of.
//!
//! `P` is a prefix, `N` the [`Name`] of the stream, `T` the tag of its partition and `I` an instance.

mod address;
mod cluster;
mod connection;
mod error;
mod find;
mod keys;
mod name;
mod nodes;
mod options;
mod publish;
mod replies;
mod scripts;
mod seal;
mod serve;
mod server;
mod session;
mod slots;
mod store;
mod tail;
mod text;
#[cfg_attr(not(feature = "redis-tls"), path = "no_tls.rs")]
mod tls;

pub use connection::{Connection, Lifetimes};
pub use error::StoreError;
pub use keys::Keys;
pub use name::{Name, Secret};
pub use options::{Acknowledge, RedisOptions, WhenAway};
pub use publish::Beat;
pub use seal::Seal;
pub use server::Server;
pub use slots::{Partitions, slot};
pub use store::{RedisStore, StoreStats};
pub use tail::{Heard, Tail};
