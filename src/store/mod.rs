//! Several gateways, one history: the protocol, without its input and output.
//!
//! A store outside of the processes orders the events of a stream and keeps them. Each gateway that has clients of the
//! stream is a [`Member`]: it has a whole [`Replica`] of the log, which its clients read, and follows what is appended. One
//! member owns the stream: it reads the upstream and appends.
//!
//! A member is told what the store has answered, what was heard, and what time it is, and says what is to be sent. So what it
//! does can be tested with plain numbers, in any order, and under any driver. [`Model`] is what a store does, over maps.
//!
//! Nothing uses it yet, and it is no part of the public API.

mod beat;
mod command;
mod frame;
mod member;
mod model;
#[cfg(feature = "redis")]
pub(crate) mod outside;
mod owner;
#[cfg(feature = "redis")]
pub mod redis;
mod replica;
mod rules;
mod tail;
mod writing;

pub use beat::{BEAT, Beats, DEAF_AFTER, SESSION};
pub use command::{
    Acquired, Answer, Appended, Command, Context, Fence, InstanceId, Mark, Message, Meta, Output,
    Reign, Snapshot,
};
use frame::MAX_WAS;
pub use frame::{Frame, FrameError, MAX_EVENTS, MAX_FRAME, MAX_LARGE, Stored, Was};
pub use member::{Member, Sought};
pub use model::{Model, Published};
pub use owner::Draft;
#[cfg(feature = "redis")]
pub use redis::{RedisOptions, RedisStore, StoreError, StoreStats, WhenAway};
pub use replica::{Place, Replica};
pub use rules::Rules;
pub use writing::Writing;
