//! A request of a shared route that is made as it came, and others that join its stream.

use std::future::poll_fn;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response, request};
use http_body::Body;
use tokio::time::Instant;

use super::asked::Asked;
use super::head::{Head, of_who_asked};
use super::inside::Inside;
use super::last_event_id::LastEventId;
use super::metrics::Replay;
use super::registry::Opened;
use super::service::Services;
use super::share::{Relayed, Sharing};
use super::shared::Phase;
use super::template::Template;
use super::upstream::Source;
use super::vary::Vary;
use super::{RelayBody, gap, task};
use crate::history::{History, Start};
use crate::stage;

impl<H: History> Sharing<H> {
    /// Makes the request as it is, and a relay of the event stream that comes of it.
    pub(super) async fn own<S, B, R>(
        mut self,
        mut services: Services<S>,
        body: B,
    ) -> Relayed<R, S::Error>
    where
        S: Inside<B, R>,
        B: Body + From<Bytes> + Send + 'static,
        R: Body + Send + 'static,
    {
        if self.parts.method != Method::GET {
            return self.pass(services, body).await;
        }
        // By what reaches the upstream it is one of those who share.
        let may_be_joined = self.keyed.is_whole && self.last.is_none();
        let template = match may_be_joined {
            true => Template::new(self.key.for_all(&self.parts, &[]), Bytes::new()),
            false => Template::copy(&self.parts),
        };
        let mut asked = Asked::of(&self.with.config, &mut self.parts);
        let sent = self.parts.headers.clone();
        let head = request_without_headers(&self.parts);
        let head = std::mem::replace(&mut self.parts, head);
        let mut service = services.take();
        poll_fn(|cx| service.poll_ready(cx)).await?;
        let response = service.call(Request::from_parts(head, body)).await?;
        let (mut head, body) = response.into_parts();
        asked.answered(&mut head);
        if stage::bypass(&head, false).is_some() {
            return Ok(Response::from_parts(head, RelayBody::untouched(body)));
        }
        self.parts.headers = sent;
        let vary = Vary::of(&head.headers, &self.parts.headers, self.with.config.insist);
        let may_be_joined = may_be_joined && vary != Vary::Private;
        let is_for_all = vary.names().iter().all(|name| self.key.tells_apart(name));
        let opened = self
            .with
            .registry
            .adopt(&self.ask(false), may_be_joined, is_for_all);
        let Opened { client, log } = match opened {
            Ok(opened) => opened,
            Err(why) => {
                self.with.registry.refuse(&self.with.config, why);
                return Ok(Response::from_parts(head, RelayBody::untouched(body)));
            }
        };
        client.set_vary(vary);
        let for_all = Head::for_all(&head);
        self.with.registry.hold(&client, for_all.bytes());
        client.set_phase(Phase::Open(Arc::new(for_all)));
        let (follower, _) = client.log.follow(&Start::At(0), Instant::now());
        let relay = Arc::clone(&client);
        let registry = self.with.registry.clone();
        let source = Source::Body(Box::new(body), asked);
        let service = services.other;
        tokio::spawn(task::run(
            relay,
            log,
            registry,
            service,
            Some(template),
            source,
        ));
        let told = match &self.last {
            Some(last) => {
                self.with.config.metrics.replay(Replay::Unknown);
                // The upstream was told of its own.
                match last.upstream {
                    None => gap::event(&client, &gap::from_the_start(&client)),
                    Some(_) => Vec::new(),
                }
            }
            None => Vec::new(),
        };
        let nearest = self.last.as_ref().and_then(LastEventId::nearest);
        let body =
            RelayBody::relayed(told, None, Some((follower, client))).with_nearest_id(nearest);
        let response = Response::from_parts(of_who_asked(head), body);
        Ok(response.map(|body| body.with_hangup(self.hangup)))
    }
}

/// What a request's key and label are made of beside its fields.
fn request_without_headers(parts: &request::Parts) -> request::Parts {
    let (mut head, ()) = Request::new(()).into_parts();
    head.method = parts.method.clone();
    head.uri = parts.uri.clone();
    head.version = parts.version;
    head.extensions = parts.extensions.clone();
    head
}
