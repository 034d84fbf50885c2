//! What a client has of streams that other processes share.

use std::sync::Arc;

use tokio::time::Instant;

use super::Sharing;
use crate::history::{Follower, Found, History, Joined, Start};
use crate::relay::outside::Stream;
use crate::relay::shared::Client;
use crate::relay::task::terms;

impl<H: History> Sharing<H> {
    /// Whether another process has an open stream for all with the same key.
    pub(super) async fn is_open_elsewhere(&self) -> bool {
        match &self.with.config.store {
            Some(store) => store.has_open(&self.keyed.hash).await,
            None => false,
        }
    }

    /// Begins to read what other processes share, once it is known where that is.
    pub(super) async fn follow(
        &self,
        client: &Client,
        stream: &Arc<Stream>,
        start: &Start,
    ) -> (Follower, Joined) {
        client.settled().await;
        stream.known(terms::PATIENCE).await;
        match start {
            Start::After(id) => stream.follow_behind(id).await,
            start => client.log.follow(start, Instant::now()),
        }
    }

    /// Whether another process has begun what is shared, behind another id than the one that the client came with.
    pub(super) async fn is_begun_elsewhere(&self, client: &Client) -> bool {
        let (Some(stream), Some(last)) = (client.outside(), &self.last) else {
            return false;
        };
        let (_, joined) = stream.follow_behind(&last.id).await;
        joined.found != Found::All
    }
}
