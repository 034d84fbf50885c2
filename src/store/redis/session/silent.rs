//! Asks the store for those whose heartbeats do not come any more.
//!
//! Each process hears a channel of its own in each partition. When one dies its connections are closed at once, and nobody hears that
//! channel; so its streams are taken over before its session has ended. A wrong answer costs a needless change of owners.

use std::sync::atomic::Ordering;

use super::parts::Parts;
use crate::store::InstanceId;
use crate::store::outside::{Stream, Ticket};
use crate::store::redis::Connection;

/// Owners of streams in a partition whose heartbeats do not come.
pub(super) type Silent = (Ticket, Vec<InstanceId>);

impl Parts<'_> {
    /// Whether these are gone. That this cannot be asked is no failure: their sessions will tell, later.
    pub(super) async fn ask_for(&self, connection: &mut Connection, silent: Vec<Silent>) {
        for (ticket, mut instances) in silent {
            let streams = self.hub.streams_in(ticket.partition);
            instances.retain(|id| streams.iter().any(|stream| stream.is_of(*id)));
            if instances.is_empty() || !self.may_ask.load(Ordering::Relaxed) {
                continue;
            }
            let tag = self.keys.partitions().tag(ticket.partition);
            let hears = match connection.hears(tag, &instances).await {
                Ok(hears) => hears,
                Err(error) => {
                    self.may_ask.store(false, Ordering::Relaxed);
                    tracing::warn!(
                        %error,
                        "the store does not say who hears it, so a process that has died is noticed later"
                    );
                    return;
                }
            };
            let gone = instances.into_iter().zip(hears);
            for (instance, _) in gone.filter(|(_, hears)| !hears) {
                for stream in streams.iter().filter(|stream| stream.is_of(instance)) {
                    Stream::gone(stream, ticket.session, instance);
                }
            }
        }
    }
}
