//! The clients of a relay: they come, the last one leaves, and the relay goes or stays.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::timeout;

use super::{Of, Relay};
use crate::relay::OnLeave;

/// So long what another process reads is followed here for nobody, where it is to be read to its end there.
const FOLLOWED: Duration = Duration::from_secs(10);
/// Between two looks whether other processes have clients.
const LOOK: Duration = Duration::from_secs(1);

/// A client of a relay, from its request to the end of its body.
pub(in super::super) struct Client {
    relay: Arc<Relay>,
}

#[derive(Debug, Default)]
pub(super) struct Presence {
    clients: usize,
    had_one: bool,
    /// Whether there was ever a second one.
    was_shared: bool,
    closed: bool,
    /// Told to make room for others.
    evicted: bool,
}

impl Relay {
    /// Ends it, unless it has a client.
    pub(in super::super) fn evict(&self) -> bool {
        self.presence.send_if_modified(|presence| {
            let goes = presence.clients == 0;
            presence.evicted |= goes;
            presence.closed |= goes;
            goes
        })
    }

    /// Waits until it is to make room for others.
    pub(in super::super) async fn evicted(&self) {
        let mut presence = self.presence.subscribe();
        // The sender is in `self`.
        let _ = presence.wait_for(|presence| presence.evicted).await;
    }

    /// A client comes, unless the relay is about to go.
    pub(in super::super) fn join(self: &Arc<Self>) -> Option<Client> {
        let mut is_first = false;
        let joined = self.presence.send_if_modified(|presence| {
            presence.clients += usize::from(!presence.closed);
            is_first = presence.clients == 1;
            presence.was_shared |= presence.had_one;
            presence.had_one |= !presence.closed;
            !presence.closed
        });
        joined.then(|| {
            if is_first {
                self.idle.leave(&self.epoch);
                self.want(true);
            }
            self.config.metrics.clients(1.0);
            Client {
                relay: self.clone(),
            }
        })
    }

    /// Other processes are told whether there are clients here.
    fn want(&self, is_wanted: bool) {
        if let Some(stream) = self.outside() {
            stream.want(is_wanted);
        }
    }

    /// Whether the client that opened it was the only one so far.
    pub(in super::super) fn had_one_client(&self) -> bool {
        !self.presence.borrow().was_shared
    }

    pub(in super::super) fn clients(&self) -> usize {
        self.presence.borrow().clients
    }

    /// Lets nobody in any more.
    pub(in super::super) fn close(&self) {
        self.presence.send_modify(|presence| presence.closed = true);
    }

    /// Waits until the last client has left, and left for good. Nobody is let in then.
    pub(in super::super) async fn abandoned(&self) {
        let linger = match self.config.on_leave {
            OnLeave::Finish if self.outside().is_none() => return self.evicted().await,
            OnLeave::Finish => FOLLOWED,
            OnLeave::Cancel => Duration::ZERO,
            OnLeave::Linger(time) => time,
        };
        let mut presence = self.presence.subscribe();
        let mut had_others = false;
        loop {
            let empty = presence.wait_for(|presence| presence.clients == 0).await;
            drop(empty);
            // Who was given no id cannot find it again.
            let is_lost =
                matches!(self.of, Of::Client(_)) && !self.has_given.load(Ordering::Relaxed);
            let linger = if is_lost { Duration::ZERO } else { linger };
            let change = presence.wait_for(|presence| presence.clients > 0 || presence.evicted);
            let linger = if had_others { linger.max(LOOK) } else { linger };
            let _ = timeout(linger, change).await;
            let is_left = {
                let presence = presence.borrow();
                presence.clients == 0 && !presence.evicted
            };
            if is_left && !is_lost {
                let has_others = self.is_for_others().await;
                // Who was there may be on the way from one process to another.
                if std::mem::replace(&mut had_others, has_others) || has_others {
                    continue;
                }
            }
            let closed = self.presence.send_if_modified(|presence| {
                presence.closed |= presence.clients == 0;
                presence.closed
            });
            if closed {
                return;
            }
        }
    }

    /// Whether it is to go on though there are no clients here.
    async fn is_for_others(&self) -> bool {
        let Some(stream) = self.outside() else {
            return self.config.on_leave == OnLeave::Finish;
        };
        match (self.config.on_leave, &self.of) {
            (OnLeave::Finish, _) => !stream.is_found() || stream.is_owner(),
            // Somebody else takes its place.
            (_, Of::Key { .. }) if self.is_asked_again => false,
            // Whoever did would have to ask for it again, and may not.
            _ => stream.is_owner() && stream.has_others().await,
        }
    }

    /// Waits while it can be replayed.
    pub(in super::super) async fn kept(&self, time: Duration) {
        let _ = timeout(time, self.evicted()).await;
    }
}

impl std::ops::Deref for Client {
    type Target = Arc<Relay>;

    fn deref(&self) -> &Arc<Relay> {
        &self.relay
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.relay.config.metrics.clients(-1.0);
        let mut is_last = false;
        self.relay.presence.send_modify(|presence| {
            presence.clients -= 1;
            is_last = presence.clients == 0 && !presence.closed;
        });
        if is_last {
            self.relay.idle.enter(&self.relay);
            self.relay.want(false);
        }
    }
}
