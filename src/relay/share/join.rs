//! A client joins a relay that is there: behind what it has, from where others begin, or not at all.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderName, Method, StatusCode};
use http_body::Body;
use tokio::time::Instant;

use super::{Joining, Sharing};
use crate::history::{Found, Gap, History, Start};
use crate::relay::catch_up::{Came, CatchUp};
use crate::relay::head::Head;
use crate::relay::inside::Inside;
use crate::relay::keyed::value;
use crate::relay::last_event_id::LastEventId;
use crate::relay::outside::Stream;
use crate::relay::registry::By;
use crate::relay::shared::{Client, Ended, Phase, Refusal};
use crate::relay::template::Template;
use crate::relay::vary::Vary;
use crate::relay::{RelayBody, gap};

impl<H: History> Sharing<H> {
    pub(super) async fn join<S, B, R>(
        &self,
        client: Client,
        by: By,
        anew: bool,
        service: S,
    ) -> Joining<R>
    where
        S: Inside<B, R>,
        B: From<Bytes> + Send + 'static,
        R: Body + Send + 'static,
    {
        let config = &self.with.config;
        let last = self.last.as_ref();
        let start = match last {
            Some(last) => Start::After(last.id.clone()),
            None => config.start.of_log(),
        };
        let start = match start {
            // The answer to a POST has a beginning, and is of no use without it.
            _ if last.is_none() && !client.is_asked_again => {
                if client.log.stats().dropped_up_to > 0 {
                    return Joining::Own;
                }
                Start::All
            }
            start => start,
        };
        let (follower, mut joined) = match client.outside() {
            Some(stream) => self.follow(&client, stream, &start).await,
            None => client.log.follow(&start, Instant::now()),
        };
        let is_cut = |stream: &Arc<Stream>| stream.has_dropped();
        if last.is_none() && !client.is_asked_again && client.outside().is_some_and(is_cut) {
            return Joining::Own;
        }
        if let (Found::Some(gap), Some(last)) = (&mut joined.found, last) {
            // Some of what is gone, and of what is kept, it may have had: from another, that counts for itself.
            let may_be_had = !client.knows_epoch(last.epoch()) && last.is_nearest_of(&gap.id);
            gap.missed = gap.missed.filter(|_| !may_be_had);
        }
        // Who comes with an unknown id goes on here, if at all.
        let position = client.log.stats().appended;
        let settled = client.settled().await;
        // What it was waited for may be for others.
        let (hash, fields) = (&self.keyed.hash, &self.parts.headers);
        if by == By::Key && !client.is_for(hash, fields) {
            return match client.vary() {
                Some(Vary::Private) => Joining::Own,
                _ => Joining::Again,
            };
        }
        let (head, ended) = match settled {
            Phase::Open(head) => (head, None),
            Phase::Ended(Some(head), how) => (head, Some(how)),
            Phase::Refused(Refusal::Same(head, body)) => {
                return Joining::Done(head.response(RelayBody::behind(body, None)));
            }
            Phase::Refused(Refusal::Own) => return Joining::Own,
            Phase::Starting | Phase::Ended(None, _) => return Joining::Again,
        };
        let unknown = matches!(joined.found, Found::Unknown(_));
        // Also when nothing behind it is kept: who is answered 204 believes to have had all.
        let lacks = joined.ahead > 0 || matches!(joined.found, Found::Some(_));
        match ended {
            None => {}
            Some(Ended::NoContent | Ended::Finished | Ended::Failed) if lacks => {}
            Some(Ended::Finished | Ended::Failed) if unknown && !anew => return Joining::Anew,
            Some(Ended::NoContent | Ended::Finished | Ended::Failed) => {
                let no_content = Head::status(StatusCode::NO_CONTENT);
                return Joining::Done(no_content.response(RelayBody::empty()));
            }
            Some(Ended::Left | Ended::Refused | Ended::GaveUp | Ended::NotForAll) => {
                return Joining::Again;
            }
        }
        let retry = client.retry();
        let told = gap::found(&client, &joined.found);
        let missed = match joined.found {
            Found::Some(gap) => Some(gap),
            Found::NotAsked | Found::All | Found::Unknown(_) => None,
        };
        let is_missing = unknown || missed.is_some() && !self.comes_again(&client);
        let may_come = last.filter(|_| is_missing && ended.is_none());
        let names = client.vary().map_or(Vec::new(), Vary::names);
        let catch_up = may_come
            .and_then(|last| self.catch_up(&client, position, last, missed, &names, service));
        let of_another =
            last.filter(|last| catch_up.is_some() || !client.knows_epoch(last.epoch()));
        let nearest = of_another.and_then(LastEventId::nearest);
        let body = RelayBody::relayed(told, catch_up, Some((follower, client)))
            .with_retry(retry)
            .with_nearest_id(nearest);
        Joining::Done(head.response(body))
    }

    /// Whether the upstream has set the id that the client came with once more since: then it says of no position.
    fn comes_again(&self, client: &Client) -> bool {
        let upstream = self.last.as_ref().and_then(|last| last.upstream.clone());
        let Some(upstream) = upstream else {
            return false;
        };
        let start = Start::After(upstream);
        let (_, joined) = client.log.follow(&start, Instant::now());
        joined.found == Found::All
    }

    /// Has the upstream asked what is behind an id that is not known here, or behind which some is missing, if it can be one
    /// of the upstream.
    pub(super) fn catch_up<S, B, R>(
        &self,
        client: &Client,
        position: u64,
        last: &LastEventId,
        missed: Option<Gap>,
        names: &[HeaderName],
        service: S,
    ) -> Option<CatchUp>
    where
        S: Inside<B, R>,
        B: From<Bytes> + Send + 'static,
        R: Body + Send + 'static,
    {
        let upstream = last.upstream.clone().filter(|id| value(id).is_some())?;
        // What a POST does is done once; and an upstream that sets no ids knows none.
        if self.parts.method != Method::GET || client.has_no_ids() {
            return None;
        }
        let template = Template::new(self.key.for_all(&self.parts, names), Bytes::new());
        Some(CatchUp::begin(
            Arc::clone(client),
            Came {
                id: last.id.clone(),
                upstream: upstream.into(),
                position,
                missed,
            },
            service,
            template,
            self.with.registry.catch_ups.clone(),
        ))
    }
}
