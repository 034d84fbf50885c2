//! Answers a request whose stream may be shared.
//!
//! A client that names event streams waits for the answer that another with its key waits for already, or is the first and
//! *leads*: the relay then asks for all. Any other GET waits for nobody: it joins a stream that is open, or is made as it
//! is, and if an event stream comes of it, others can join that.

use std::future::poll_fn;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Request, Response, header, request};
use http_body::Body;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tower_service::Service;

use super::asks::Asks;
use super::collect::collect;
use super::head::Head;
use super::inside::Inside;
use super::keyed::{Keyed, copied_fields, value};
use super::last_event_id::{LAST_EVENT_ID, LastEventId};
use super::late::Leader;
use super::metrics::Replay;
use super::registry::{Ask, By, Entry, Opened};
use super::service::{Relaying, Services};
use super::shared::{Phase, Refusal};
use super::template::Template;
use super::upstream::{First, Source};
use super::vary::Vary;
use super::{ClientAddress, Hangup, Key, RelayBody, gap, task};
use crate::history::{History, Reserved, Start};

mod join;
mod outside;

/// A relay may go between the moment it is found and the moment it is joined, or turn out to be for others. So often it is
/// looked for anew.
const TRIES: usize = 6;

pub(super) type Relayed<R, E> = Result<Response<RelayBody<R>>, E>;

pub(super) async fn answer<S, B, R, H>(
    with: Relaying<H>,
    services: Services<S>,
    request: Request<B>,
    asks: Asks,
) -> Relayed<R, S::Error>
where
    S: Inside<B, R>,
    B: Body + From<Bytes> + Send + 'static,
    B::Data: Send,
    R: Body + Send + 'static,
    H: History,
{
    let (mut parts, body) = request.into_parts();
    let room = with.room(&parts);
    let is_named = asks != Asks::Anything;
    let mut last = LastEventId::take(&mut parts, with.config.tag);
    // The upstream request is not this connection's alone.
    let hangup: Option<Hangup> = parts.extensions.remove();
    let address = parts
        .extensions
        .get()
        .map(|ClientAddress(address)| *address);
    let (bytes, body, held) = match asks {
        Asks::Body => match collect(body, &with, address).await {
            Ok((bytes, held)) => (bytes.clone(), bytes.into(), Some(held)),
            Err(status) => return Ok(Head::status(status).response(RelayBody::empty())),
        },
        _ => (Bytes::new(), body, None),
    };
    let key = with.config.key.clone().unwrap_or_default();
    let keyed = Keyed::new(&key, &with.config.secret, &parts, &room, &bytes);
    if let Some(last) = &mut last {
        last.prove(&with.config.secret.seal(&keyed.hash), &mut parts);
    }
    let sharing = Sharing {
        with,
        parts,
        keyed,
        key,
        last,
        bytes,
        is_named,
        address,
        hangup,
    };
    sharing.answer(services, body, held).await
}

pub(super) struct Sharing<H> {
    pub(super) with: Relaying<H>,
    pub(super) parts: request::Parts,
    pub(super) keyed: Keyed,
    pub(super) key: Key,
    pub(super) last: Option<LastEventId>,
    /// The body of a request that is shared by it.
    bytes: Bytes,
    is_named: bool,
    address: Option<std::net::IpAddr>,
    pub(super) hangup: Option<Hangup>,
}

/// What a client leads with.
struct Lead<S, L> {
    opened: Opened<L>,
    /// What the body of the request takes of the budget.
    held: Reserved,
    /// The client's own goes upstream in fields of these names.
    names: Vec<HeaderName>,
    /// Whether nobody waits for its answer.
    is_alone: bool,
    service: S,
    other: S,
}

/// What came of a client that found a relay.
enum Joining<R> {
    Done(Response<RelayBody<R>>),
    /// The request has to be made alone.
    Own,
    /// The relay has gone, or is for others.
    Again,
    /// It has finished, and not with this client.
    Anew,
}

impl<H: History> Sharing<H> {
    async fn answer<S, B, R>(
        mut self,
        mut services: Services<S>,
        body: B,
        mut held: Option<Reserved>,
    ) -> Relayed<R, S::Error>
    where
        S: Inside<B, R>,
        B: Body + From<Bytes> + Send + 'static,
        R: Body + Send + 'static,
    {
        let mut anew = false;
        let mut has_looked = false;
        // While it looks on, what it found stays: it says by what the answers differ.
        let mut found = Vec::new();
        for _ in 0..TRIES {
            let entry = self.with.registry.enter(&self.ask(anew));
            let is_alone = matches!(entry, Entry::Alone(..));
            let joining = match entry {
                Entry::Full(why) => {
                    self.with.registry.refuse(&self.with.config, why);
                    return self.pass(services, body).await;
                }
                Entry::Own if !self.is_named && !has_looked => {
                    has_looked = true;
                    // It waits for nobody's answer. One that is open is there.
                    if !self.is_open_elsewhere().await {
                        break;
                    }
                    self.is_named = true;
                    continue;
                }
                Entry::Own => break,
                Entry::Join(client, by) => {
                    found.push(Arc::clone(&client));
                    services.ready = None;
                    self.join(client, by, anew, services.other.clone()).await
                }
                Entry::Lead(opened, names) | Entry::Alone(opened, names) => {
                    found.push(Arc::clone(&opened.client));
                    let lead = Lead {
                        opened,
                        held: held.take().unwrap_or_default(),
                        names,
                        is_alone,
                        service: services.take(),
                        other: services.other.clone(),
                    };
                    self.lead(lead).await?
                }
            };
            match joining {
                Joining::Done(response) => {
                    let hangup = self.hangup.take();
                    return Ok(response.map(|body| body.with_hangup(hangup)));
                }
                Joining::Own => break,
                Joining::Again => {}
                Joining::Anew => anew = true,
            }
        }
        drop(found);
        self.own(services, body).await
    }

    pub(super) fn ask(&self, anew: bool) -> Ask<'_> {
        Ask {
            config: &self.with.config,
            request: &self.parts,
            keyed: &self.keyed,
            last: self.last.as_ref(),
            address: self.address,
            is_named: self.is_named,
            anew,
        }
    }

    /// Makes the relay's upstream request, in a task of its own.
    ///
    /// When the task is lost, since the service panicked, the request is not made again.
    async fn lead<S, B, R>(&self, lead: Lead<S, H::Log>) -> Result<Joining<R>, S::Error>
    where
        S: Inside<B, R>,
        B: From<Bytes> + Send + 'static,
        R: Body + Send + 'static,
    {
        let Relaying {
            config, registry, ..
        } = &self.with;
        let Lead {
            opened: Opened { client, log },
            held,
            names,
            is_alone,
            service,
            other,
        } = lead;
        let names = &names[..];
        let proven = registry.proven(&self.ask(false));
        let mut request = self.key.for_all(&self.parts, names);
        request.headers.remove(&LAST_EVENT_ID);
        if let Some(id) = proven.and_then(value) {
            request.headers.insert(LAST_EVENT_ID, id);
        }
        let template = Template::new(request, self.bytes.clone()).holding(held);
        let (first, answer) = oneshot::channel();
        let relay = Arc::clone(&client);
        let leader = Leader {
            // It is looked at where the stream is opened before there is an answer.
            headers: match config.opens_early() {
                true => copied_fields(&self.parts.headers),
                false => HeaderMap::new(),
            },
            is_whole: self.keyed.is_whole,
            is_alone,
        };
        let source = Source::Ask(first, leader);
        let task = task::run(
            relay,
            log,
            registry.clone(),
            service,
            Some(template),
            source,
        );
        // Before the task begins, so that nothing can be missed.
        let (follower, _) = client.log.follow(&Start::At(0), Instant::now());
        tokio::spawn(task);
        match answer.await {
            Ok(First::Passed(mut head, before, rest)) => {
                let is_own = matches!(client.phase(), Phase::Refused(Refusal::Own));
                // Something was left out of the request: this is not the answer to it.
                let is_nobodys = is_own && !self.keyed.is_whole;
                match client.vary() {
                    // What a POST does is done once.
                    _ if !client.is_asked_again => {}
                    _ if is_nobodys => return Ok(Joining::Own),
                    Some(vary @ Vary::Fields(_)) if !vary.suits(&self.parts.headers) => {
                        return Ok(Joining::Again);
                    }
                    _ => {}
                }
                if is_nobodys {
                    // It would take the place of the client's own.
                    head.headers.remove(header::SET_COOKIE);
                }
                let body = RelayBody::behind(before, rest);
                return Ok(Joining::Done(Response::from_parts(head, body)));
            }
            Ok(First::Failed(error)) => return Err(error),
            Ok(First::There) => return Ok(self.join(client, By::Key, false, other).await),
            Ok(First::Opened(None)) if client.outside().is_some() => {
                return Ok(self.join(client, By::Key, false, other).await);
            }
            Ok(First::Opened(_)) if proven.is_some() && self.is_begun_elsewhere(&client).await => {
                return Ok(self.join(client, By::Key, false, other).await);
            }
            Ok(First::Opened(own)) => {
                let vary = own.as_ref().and_then(|_| client.vary());
                match vary {
                    // Where there is no answer yet, the relay's task sees whom it is for.
                    None => {}
                    // What a POST does is done once: this is its answer, for whomever else it is.
                    _ if !client.is_asked_again => {}
                    // It is not for others, and nothing was left out of the request.
                    Some(Vary::Private) if self.keyed.is_whole => {}
                    Some(Vary::Private) => return Ok(Joining::Own),
                    // Made for all, it turned out to be for others than the one who asked.
                    Some(vary) if !vary.suits(&self.parts.headers) => return Ok(Joining::Again),
                    _ if is_alone && !registry.publish(&client, &self.parts.headers) => {
                        return Ok(Joining::Again);
                    }
                    _ => {}
                }
                if let Phase::Open(head) | Phase::Ended(Some(head), _) = client.phase() {
                    // A cookie that is set where none was sent would take the place of the client's own.
                    let response = match own.filter(|_| self.keyed.is_whole) {
                        Some(own) => Response::from_parts(own, ()),
                        None => head.response(()),
                    };
                    let (told, catch_up) = match &self.last {
                        Some(last) if proven.is_none() => {
                            config.metrics.replay(Replay::Unknown);
                            let told = gap::event(&client, &gap::from_the_start(&client));
                            (told, self.catch_up(&client, 0, last, None, names, other))
                        }
                        _ => (Vec::new(), None),
                    };
                    let nearest = self.last.as_ref().and_then(LastEventId::nearest);
                    let body = RelayBody::relayed(told, catch_up, Some((follower, client)))
                        .with_nearest_id(nearest);
                    return Ok(Joining::Done(response.map(|()| body)));
                }
            }
            Err(_) => {}
        }
        let no_upstream = Head::no_upstream();
        Ok(Joining::Done(no_upstream.response(RelayBody::empty())))
    }

    /// Makes the request as it is.
    pub(super) async fn pass<S, B, R>(
        mut self,
        mut services: Services<S>,
        body: B,
    ) -> Relayed<R, S::Error>
    where
        S: Service<Request<B>, Response = Response<R>> + Clone,
        R: Body,
    {
        if let Some(hangup) = self.hangup {
            self.parts.extensions.insert(hangup);
        }
        let mut service = services.take();
        poll_fn(|cx| service.poll_ready(cx)).await?;
        let response = service.call(Request::from_parts(self.parts, body)).await?;
        Ok(response.map(RelayBody::untouched))
    }
}
