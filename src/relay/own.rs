//! Answers a request whose stream is its own, and can be found again by its ids.
//!
//! The request is made as it is, and whether there is something to resume is for its answer to say. What is no event stream
//! passes untouched.

use std::future::{self, poll_fn};
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, request};
use http_body::Body;
use tokio::time::{Instant, timeout};

use super::asked::Asked;
use super::asks::Asks;
use super::config::{AfterEnd, Config};
use super::head::{Head, of_who_asked};
use super::inside::Inside;
use super::last_event_id::LastEventId;
use super::metrics::Replay;
use super::registry::Opened;
use super::secret::Hash;
use super::service::{Relaying, Services};
use super::share::Relayed;
use super::shared::{Client, Ended, Phase};
use super::task::terms::PATIENCE;
use super::template::Template;
use super::upstream::{Answer, Source, is_none};
use super::{ClientAddress, Hangup, RelayBody, elsewhere, gap, task};
use crate::history::{Found, History, Start};
use crate::stage::{self, Reason};

pub(super) async fn answer<S, B, R, H>(
    with: Relaying<H>,
    services: Services<S>,
    request: Request<B>,
) -> Relayed<R, S::Error>
where
    S: Inside<B, R>,
    B: Body + From<Bytes> + Send + 'static,
    R: Body + Send + 'static,
    H: History,
{
    let Relaying {
        config, registry, ..
    } = &with;
    let (mut parts, body) = request.into_parts();
    let binding = registry.binding(config, &parts, &with.room(&parts));
    let is_named = Asks::names_event_streams(&parts.headers);
    let mut last = LastEventId::take(&mut parts, config.tag);
    if let Some(last) = &mut last {
        last.prove(&config.secret.seal(&binding), &mut parts);
    }
    let hangup: Option<Hangup> = parts.extensions.remove();
    let mut had_all = false;
    if let Some(last) = &last {
        let known = match registry.find_own(config, last, &binding) {
            Some(client) => Some(client),
            None if config.store.is_none() => None,
            None => {
                let came = elsewhere::Came {
                    request: &parts,
                    has_body: !body.is_end_stream(),
                    last,
                    binding,
                };
                match came.find(&with, services.other.clone()).await {
                    Ok(found) => found,
                    Err(elsewhere::Unknown) => {
                        let no_upstream = Head::no_upstream();
                        return Ok(no_upstream.response(RelayBody::empty()));
                    }
                }
            }
        };
        let may_ask = parts.method == Method::GET && last.upstream.is_some();
        match resume(config, known, last, may_ask).await {
            Resumed::Answered(response) => {
                return Ok(response.map(|body| body.with_hangup(hangup)));
            }
            Resumed::Again => had_all = true,
            Resumed::Unknown => {}
        }
        // What a POST does is done once. Who has an id of the upstream may ask it to go on.
        if last.upstream.is_none() && parts.method != Method::GET {
            config.metrics.replay(Replay::Unknown);
            return Ok(broken(config, Reason::GAP));
        }
    }
    let asking = Asking {
        binding,
        template: (parts.method == Method::GET && body.is_end_stream())
            .then(|| Template::copy(&parts)),
        // For its label, and what it is bound to.
        request: super::keyed::copied(&parts),
        last,
    };
    if let Some(hangup) = hangup.clone() {
        parts.extensions.insert(hangup);
    }
    let mut asked = Asked::of(config, &mut parts);
    let Services { ready, other } = services;
    let mut service = ready.unwrap_or_else(|| other.clone());
    let mut called: Answer<R, S::Error> = Box::pin(async move {
        poll_fn(|cx| service.poll_ready(cx)).await?;
        service.call(Request::from_parts(parts, body)).await
    });
    let early = match (config.hold, config.open_after) {
        (true, _) => None,
        (false, None) => Some(called.as_mut().await),
        (false, Some(time)) => timeout(time, called.as_mut()).await.ok(),
    };
    let (head, source) = match early {
        Some(response) => {
            let (mut head, body) = response?.into_parts();
            let is_held = config.holds_without_upstream(&asking.request.headers)
                && is_named
                && asking.template.is_some();
            if is_held && is_none(&head) {
                let response = Response::from_parts(head, body);
                (
                    None,
                    Source::Pending(Box::pin(future::ready(Ok(response))), asked),
                )
            } else if stage::bypass(&head, false).is_some() {
                asked.answered(&mut head);
                return Ok(Response::from_parts(head, RelayBody::untouched(body)));
            } else {
                asked.answered(&mut head);
                (Some(head), Source::Body(Box::new(body), asked))
            }
        }
        None => (None, Source::Pending(called, asked)),
    };
    let opened = registry.open_own(
        config,
        &asking.request,
        asking.binding,
        asking.address(),
        asking
            .last
            .as_ref()
            .and_then(|last| last.upstream.as_deref()),
    );
    let Opened { client, log } = match opened {
        Ok(opened) => opened,
        Err(why) => {
            registry.refuse(config, why);
            // What was not answered early enough is waited for.
            let response = match (head, source) {
                (Some(head), Source::Body(body, _)) => Response::from_parts(
                    head,
                    RelayBody::behind(Bytes::new(), Some(Box::into_pin(body))),
                ),
                (_, Source::Pending(called, _)) => called.await?.map(RelayBody::untouched),
                _ => Head::status(StatusCode::BAD_GATEWAY).response(RelayBody::empty()),
            };
            return Ok(response);
        }
    };
    let for_all = head.as_ref().map_or_else(Head::own, Head::for_all);
    let response = match head {
        Some(head) => Response::from_parts(of_who_asked(head), ()),
        None => for_all.response(()),
    };
    registry.hold(&client, for_all.bytes());
    client.set_phase(Phase::Open(Arc::new(for_all)));
    let (follower, _) = client.log.follow(&Start::At(0), Instant::now());
    let relay = Arc::clone(&client);
    let template = asking.template;
    let registry = registry.clone();
    tokio::spawn(task::run(relay, log, registry, other, template, source));
    let told = match &asking.last {
        // Without an id of the upstream nobody knows what it has sent since.
        Some(last) if had_all && last.upstream.is_some() => {
            config.metrics.replay(Replay::Hit);
            Vec::new()
        }
        Some(last) => {
            config.metrics.replay(Replay::Unknown);
            match last.upstream {
                None => gap::event(&client, &gap::from_the_start(&client)),
                Some(_) => Vec::new(),
            }
        }
        None => Vec::new(),
    };
    let nearest = asking.last.as_ref().and_then(LastEventId::nearest);
    let body = RelayBody::relayed(told, None, Some((follower, client)))
        .with_nearest_id(nearest)
        .with_hangup(hangup);
    Ok(response.map(|()| body))
}

/// A request that was made, and what it takes to make a relay of its answer.
struct Asking {
    binding: Hash,
    template: Option<Template>,
    request: request::Parts,
    last: Option<LastEventId>,
}

impl Asking {
    fn address(&self) -> Option<std::net::IpAddr> {
        let address = self.request.extensions.get();
        address.map(|ClientAddress(address)| *address)
    }
}

/// What becomes of a client that comes back for its stream.
enum Resumed<R> {
    Answered(Response<RelayBody<R>>),
    /// It is not there any more.
    Unknown,
    /// It had all of it, and the upstream is asked anew.
    Again,
}

/// Gives a client that comes back what it missed, if its stream is still there. With `may_ask` it has an id of the upstream, and
/// comes by a request that can be made again.
async fn resume<R>(
    config: &Arc<Config>,
    known: Option<Client>,
    last: &LastEventId,
    may_ask: bool,
) -> Resumed<R> {
    let Some(client) = known else {
        return Resumed::Unknown;
    };
    let (follower, joined) = match client.outside() {
        Some(stream) => {
            client.settled().await;
            stream.known(PATIENCE).await;
            stream.follow_behind(&last.id).await
        }
        None => {
            let start = Start::After(last.id.clone());
            client.log.follow(&start, Instant::now())
        }
    };
    let (head, ended) = match client.phase() {
        Phase::Open(head) => (head, None),
        Phase::Ended(Some(head), how) => (head, Some(how)),
        _ => return Resumed::Unknown,
    };
    let is_gap = matches!(joined.found, Found::Some(_));
    match ended {
        None => {}
        Some(Ended::NoContent | Ended::Finished | Ended::Failed) if joined.ahead > 0 || is_gap => {}
        Some(Ended::Finished) if client.is_asked_again && config.after_end == AfterEnd::Again => {
            return Resumed::Again;
        }
        // A server of MCP ends an answer early, and goes on with it where it is asked by a GET.
        Some(Ended::Finished | Ended::Failed)
            if may_ask && !client.is_asked_again && config.after_end == AfterEnd::Again =>
        {
            return Resumed::Again;
        }
        Some(Ended::Failed) if client.is_broken() => {
            return Resumed::Answered(broken(config, Reason::UPSTREAM));
        }
        Some(Ended::NoContent | Ended::Finished | Ended::Failed) => {
            let no_content = Head::status(StatusCode::NO_CONTENT);
            return Resumed::Answered(no_content.response(RelayBody::empty()));
        }
        Some(Ended::Left | Ended::Refused | Ended::GaveUp | Ended::NotForAll) => {
            return Resumed::Unknown;
        }
    }
    if is_gap && gap::breaks_off(config, !client.is_asked_again) {
        config.metrics.replay(Replay::Gap);
        return Resumed::Answered(broken(config, Reason::GAP));
    }
    let told = gap::found(&client, &joined.found);
    let retry = client.retry();
    let body = RelayBody::relayed(told, None, Some((follower, client))).with_retry(retry);
    Resumed::Answered(head.response(body))
}

/// Tells the client of an answer that what it asks for is not there any more, and no more.
fn broken<R>(config: &Config, reason: Reason) -> Response<RelayBody<R>> {
    let event = gap::without_id(config, None, true);
    let told = event.map_or_else(Vec::new, |event| event.to_bytes().into());
    let body = RelayBody::relayed(told, None, None);
    Head::own().response(match config.breaks {
        true => body.with_broken(reason),
        false => body,
    })
}
