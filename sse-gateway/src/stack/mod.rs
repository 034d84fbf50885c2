//! What stands in front of the proxy, and in which order. Each height has its reason.

mod hold;
pub(crate) mod router;

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;

use http::{Request, Response};
use http_body_util::Either;
use hyper::body::Incoming;
use tower_layer::Layer;
use tower_service::Service;
use tower_sse::history::{MemoryHistory, MemoryLog};
use tower_sse::relay::{RelayBody, RelayService, move_last_event_id_to_header};
use tower_sse::stage::{
    BrokenEnds, Drain, DrainHandle, EventIds, Farewell, Frame, Heartbeat, IdleTimeout, Lifetime,
    Metrics, NoBuffering, Retry,
};
use tower_sse::{EventBody, EventLayer, EventService};

use crate::admin::relays;
use crate::admin::streams::{StreamLog, Streams};
use crate::config::{Error, HeartbeatFrame, IdleCounts, Ids, NoAnswer, Route, StreamSettings};
use crate::proxy::client_body::ClientBody;
use crate::proxy::response_body::ProxyBody;
use crate::proxy::upstream_side::UpstreamSide;
use crate::stack::hold::{Hold, HoldBody, HoldService};

/// A route's proxy with all that is done to its event streams.
pub(crate) enum Stack {
    /// Each client has its own.
    Plain(EventService<HoldService<UpstreamSide>, Stages, BrokenEnds>),
    /// From the client to the upstream: what is done for each client, the relay, what is done for the upstream's stream.
    Relayed(EventService<Relaying, Stages, BrokenEnds>),
}

type Relaying = RelayService<UpstreamSide, MemoryHistory, BrokenEnds>;

/// The one of a relayed route lies elsewhere: the other is not to be larger for it.
pub(crate) type StackBody =
    Either<EventBody<HoldBody<ProxyBody>, Stages, BrokenEnds>, Pin<Box<RelayedBody>>>;

pub(crate) type RelayedBody =
    EventBody<RelayBody<ProxyBody, MemoryLog, BrokenEnds>, Stages, BrokenEnds>;

/// The stages of a route, in the order in which an event meets them.
pub(crate) type Stages = (
    // First, to see what the upstream sent and not what became of it.
    Metrics,
    StreamLog,
    NoBuffering,
    // Goes out with the opening comment, or in front of the first event with data.
    Option<Retry>,
    // None when the route is relayed: the history gives ids, and the relay looks for silence.
    Option<EventIds>,
    Option<IdleTimeout>,
    Option<Lifetime>,
    Drain,
    // Last, since it is needless when another stage has just written.
    Option<Heartbeat>,
);

/// Puts the stages of a route around its proxy, and the relay between them if there is one.
///
/// # Errors
///
/// When a name in the settings cannot be an event type.
pub(crate) fn build(
    route: &Route,
    upstream: UpstreamSide,
    relay: Option<relays::Layer>,
    drain: Drain,
    streams: &Streams,
) -> Result<Stack, Error> {
    let stream = &route.stream;
    let farewell = farewell(stream).map_err(|error| Error::at("pause_event", error))?;
    let frame =
        frame(&stream.heartbeat_frame).map_err(|error| Error::at("heartbeat_frame", error))?;
    let idle_timeout = stream.idle_timeout.map(|time| {
        let timeout = IdleTimeout::after(time);
        match stream.idle_counts {
            IdleCounts::Bytes => timeout,
            IdleCounts::Events => timeout.events_only(),
        }
    });
    let event_ids = match stream.ids {
        Ids::Off => None,
        Ids::Fill | Ids::Keep => Some(EventIds::sequential()),
        Ids::Replace => Some(EventIds::sequential().replacing()),
    };
    let own = relay.is_none();
    let stages = (
        Metrics::new(route.name.clone()),
        streams.stage(&route.name),
        NoBuffering,
        stream
            .retry
            .map(|time| Retry::after(time).with_jitter(stream.retry_jitter)),
        event_ids
            .filter(|_| own)
            .map(|ids| ids.with_tag(route.id_tag())),
        idle_timeout
            .clone()
            .filter(|_| own)
            .map(|timeout| timeout.with_farewell(farewell.clone())),
        stream
            .lifetime
            .map(|time| Lifetime::at_most(time).with_farewell(farewell.clone())),
        drain.with_farewell(farewell.clone()),
        stream.heartbeat.map(|interval| {
            // The clients of one relay are given events at the same time, and must not all be due at once.
            let jitter = if own { 0.0 } else { HEARTBEAT_JITTER };
            let heartbeat = Heartbeat::every(interval)
                .with_frame(frame.clone())
                .with_jitter(jitter);
            match stream.opening_comment {
                true => heartbeat.at_open(),
                false => heartbeat,
            }
        }),
    );
    let stages = EventLayer::new(stages)
        .with_max_event_bytes(stream.max_event_bytes)
        .with_broken_ends();
    Ok(match relay {
        None => Stack::Plain(stages.layer(HoldService::new(upstream, hold(stream)))),
        Some(relay) => {
            // In front of the relay the upstream's silence can be told from that of a relay which waits for it.
            let relay = match idle_timeout {
                Some(timeout) => relay.with_upstream_stages(timeout),
                None => relay,
            };
            Stack::Relayed(stages.layer(relay.layer(upstream)))
        }
    })
}

const HEARTBEAT_JITTER: f64 = 0.1;

impl Stack {
    /// The response to a request. All of the stack is ready at any time, so a clone of it is too.
    pub(crate) fn answer(
        &self,
        request: Request<Incoming>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<StackBody>, Infallible>> + Send>> {
        let (mut head, body) = request.into_parts();
        // The stages look for it in its field.
        move_last_event_id_to_header(&mut head);
        let request = Request::from_parts(head, body);
        match self {
            Stack::Plain(stack) => {
                let response = stack.clone().call(request.map(ClientBody::Coming));
                Box::pin(async { Ok(response.await?.map(Either::Left)) })
            }
            Stack::Relayed(stack) => {
                let response = stack.clone().call(request.map(ClientBody::Coming));
                Box::pin(async { Ok(response.await?.map(|body| Either::Right(Box::pin(body)))) })
            }
        }
    }
}

fn hold(stream: &StreamSettings) -> Hold {
    Hold {
        at_once: stream.relay.hold,
        after: stream.relay.open_after,
        unanswered: stream.no_answer == NoAnswer::Hold,
        give_up: stream.relay.give_up,
    }
}

/// The drain of all routes, by its handle.
pub(crate) fn drain(handle: &DrainHandle, config: &crate::config::Config) -> Drain {
    Drain::on(handle)
        .with_window(config.drain_window)
        .with_deadline(config.drain_deadline)
}

fn farewell(stream: &StreamSettings) -> Result<Farewell, impl std::fmt::Display + use<>> {
    let farewell = match stream.retry {
        Some(time) => Farewell::new().with_retry(time, stream.retry_jitter),
        None => Farewell::new(),
    };
    match &stream.pause_event {
        Some(name) => farewell.with_event(name),
        None => Ok(farewell),
    }
}

fn frame(frame: &HeartbeatFrame) -> Result<Frame, impl std::fmt::Display + use<>> {
    match frame {
        HeartbeatFrame::Line => Ok(Frame::CommentLine),
        HeartbeatFrame::Block => Ok(Frame::CommentBlock),
        HeartbeatFrame::Event(name) => Frame::event(name),
    }
}
