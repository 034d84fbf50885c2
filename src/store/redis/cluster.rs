//! Keeps the connections of a process to a cluster: to each primary, for the partitions that it has.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::sleep;

use super::StoreError;
use super::address::Endpoint;
use super::session::{Links, Place, Primary};
use crate::store::outside::Hub;

/// Between two looks at the map, at least where something was lost, and at most.
const AGAIN: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(10);

/// The primaries that are connected to, and what each has.
pub(super) type Map = Vec<(Endpoint, Vec<usize>, Option<Links>)>;

/// Connects with all primaries.
pub(super) async fn connect(place: &Place, hub: &Hub) -> Result<Map, StoreError> {
    let mut all = Vec::new();
    for (endpoint, partitions) in place.finder.map(&place.keys, &[]).await? {
        let server = place.finder.server(endpoint.clone());
        let first = partitions.first().copied().unwrap_or_default();
        let links = place.connect(hub, server, first).await?;
        all.push((endpoint, partitions, Some(links)));
    }
    Ok(all)
}

/// Serves the streams of a process, until it is dropped.
pub(super) async fn serve(hub: Arc<Hub>, place: Place, first: Map) {
    let lost = Arc::new(Notify::new());
    let mut nodes = Nodes {
        hub,
        place,
        lost: lost.clone(),
        tasks: JoinSet::new(),
        known: HashMap::new(),
    };
    for (endpoint, partitions, links) in first {
        nodes.set(endpoint, partitions, links);
    }
    let mut is_known = false;
    loop {
        if !nodes.known.is_empty() {
            let mut later = pin!(sleep(LONGEST));
            let mut lost = pin!(lost.notified());
            poll_fn(|cx| match lost.as_mut().poll(cx) {
                Poll::Ready(()) => Poll::Ready(()),
                Poll::Pending => later.as_mut().poll(cx),
            })
            .await;
        }
        match nodes.look().await {
            Ok(()) => is_known = false,
            Err(error) if !is_known => {
                is_known = true;
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(%error, cause, "the store is away");
            }
            Err(_) => {}
        }
        sleep(AGAIN).await;
    }
}

struct Nodes {
    hub: Arc<Hub>,
    place: Place,
    lost: Arc<Notify>,
    /// All of them end with it.
    tasks: JoinSet<()>,
    known: HashMap<Endpoint, (watch::Sender<Vec<usize>>, AbortHandle)>,
}

impl Nodes {
    /// Reads the map again, and has each primary have what it has there.
    async fn look(&mut self) -> Result<(), StoreError> {
        let known: Vec<_> = self.known.keys().cloned().collect();
        let map = self.place.finder.map(&self.place.keys, &known).await?;
        let gone: Vec<_> = known
            .into_iter()
            .filter(|known| map.iter().all(|(endpoint, _)| endpoint != known))
            .collect();
        for endpoint in gone {
            if let Some((_, task)) = self.known.remove(&endpoint) {
                task.abort();
            }
        }
        for (endpoint, partitions) in map {
            self.set(endpoint, partitions, None);
        }
        while self.tasks.try_join_next().is_some() {}
        Ok(())
    }

    fn set(&mut self, endpoint: Endpoint, partitions: Vec<usize>, links: Option<Links>) {
        if let Some((wanted, _)) = self.known.get(&endpoint) {
            wanted.send_if_modified(|wanted| {
                let is_other = *wanted != partitions;
                *wanted = partitions;
                is_other
            });
            return;
        }
        let (sender, wanted) = watch::channel(partitions);
        let primary = Primary {
            hub: self.hub.clone(),
            place: self.place.clone(),
            server: Some(self.place.finder.server(endpoint.clone())),
            wanted,
            lost: self.lost.clone(),
        };
        let task = self.tasks.spawn(primary.serve(links));
        self.known.insert(endpoint, (sender, task));
    }
}
