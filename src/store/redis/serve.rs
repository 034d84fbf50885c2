//! Serves the streams of a process by a store, for as long as somebody has it.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use tokio::sync::{Notify, mpsc, watch};

use super::StoreError;
use super::cluster::{self, Map};
use super::session::{Links, Place, Primary};
use crate::store::outside::Hub;

/// The first connections to a store, if there are any.
pub(super) enum First {
    Primary(Option<Box<Links>>),
    Cluster(Map),
}

impl First {
    /// None yet.
    pub(super) fn of(place: &Place) -> Self {
        match place.finder.is_cluster() {
            true => First::Cluster(Map::new()),
            false => First::Primary(None),
        }
    }

    pub(super) async fn connect(place: &Place, hub: &Hub) -> Result<Self, StoreError> {
        if place.finder.is_cluster() {
            return cluster::connect(place, hub).await.map(First::Cluster);
        }
        let server = place.finder.primary().await?;
        let links = place.connect(hub, server, 0).await?;
        Ok(First::Primary(Some(Box::new(links))))
    }

    /// Serves until nobody has the store any more.
    pub(super) async fn serve(self, hub: Arc<Hub>, place: Place, mut users: mpsc::Receiver<()>) {
        let serve = async {
            match self {
                First::Cluster(map) => cluster::serve(hub, place, map).await,
                First::Primary(links) => {
                    let (_wanted, wanted) = watch::channel(vec![0]);
                    let primary = Primary {
                        hub,
                        place,
                        server: None,
                        wanted,
                        lost: Arc::new(Notify::new()),
                    };
                    primary.serve(links.map(|links| *links)).await;
                }
            }
        };
        let mut serve = pin!(serve);
        poll_fn(|cx| match users.poll_recv(cx) {
            Poll::Ready(_) => Poll::Ready(()),
            Poll::Pending => serve.as_mut().poll(cx),
        })
        .await;
    }
}
