//! What is done to each client's event stream.

use std::fmt::Display;

use tower_sse::stage::{
    self, Drain, EventIds, Farewell, Heartbeat, IdleTimeout, Lifetime, Metrics, NoBuffering, Retry,
};

use crate::config::{Error, HeartbeatFrame, IdleCounts, Ids, Route, RouteSettings};
use crate::stack::expiry::Expiry;
use crate::state::streams::{StreamLog, Streams};

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
    // Both end a stream at a time that is known when it opens.
    (Option<Lifetime>, Option<Expiry>),
    Drain,
    // Last, since it is needless when another stage has just written.
    Option<Heartbeat>,
);

const HEARTBEAT_JITTER: f64 = 0.1;

/// The stages of a route.
///
/// # Errors
///
/// When a name in the settings cannot be an event type.
pub(super) fn of(
    route: &Route,
    is_relayed: bool,
    drain: Drain,
    streams: &Streams,
) -> Result<Stages, Error> {
    let stream = &route.settings;
    let farewell = farewell(stream).map_err(|error| Error::at("pause_event", error))?;
    let frame =
        frame(&stream.heartbeat_frame).map_err(|error| Error::at("heartbeat_frame", error))?;
    let event_ids = match stream.ids {
        Ids::Off => None,
        Ids::Fill | Ids::Keep => Some(EventIds::sequential()),
        Ids::Replace => Some(EventIds::sequential().replacing()),
    };
    Ok((
        Metrics::new(route.name.clone()),
        streams.stage(&route.name),
        NoBuffering,
        stream
            .retry
            .map(|time| Retry::after(time).with_jitter(stream.retry_jitter)),
        event_ids
            .filter(|_| !is_relayed)
            .map(|ids| ids.with_tag(route.id_tag())),
        idle_timeout(stream)
            .filter(|_| !is_relayed)
            .map(|timeout| timeout.with_farewell(farewell.clone())),
        (
            stream
                .lifetime
                .map(|time| Lifetime::at_most(time).with_farewell(farewell.clone())),
            stream
                .jwt_keys
                .is_some()
                .then(|| Expiry::new(farewell.clone())),
        ),
        drain.with_farewell(farewell),
        stream.heartbeat.map(|interval| {
            // The clients of one relay are given events at the same time, and must not all be due at once.
            let jitter = if is_relayed { HEARTBEAT_JITTER } else { 0.0 };
            let heartbeat = Heartbeat::every(interval)
                .with_frame(frame)
                .with_jitter(jitter);
            match stream.opening_comment {
                true => heartbeat.at_open(),
                false => heartbeat,
            }
        }),
    ))
}

/// Ends a stream whose upstream is silent.
pub(super) fn idle_timeout(stream: &RouteSettings) -> Option<IdleTimeout> {
    let timeout = IdleTimeout::after(stream.idle_timeout?);
    Some(match stream.idle_counts {
        IdleCounts::Bytes => timeout,
        IdleCounts::Events => timeout.events_only(),
    })
}

fn farewell(stream: &RouteSettings) -> Result<Farewell, impl Display + use<>> {
    let farewell = match stream.retry {
        Some(time) => Farewell::new().with_retry(time, stream.retry_jitter),
        None => Farewell::new(),
    };
    match &stream.pause_event {
        Some(name) => farewell.with_event(name),
        None => Ok(farewell),
    }
}

fn frame(frame: &HeartbeatFrame) -> Result<stage::HeartbeatFrame, impl Display + use<>> {
    match frame {
        HeartbeatFrame::Line => Ok(stage::HeartbeatFrame::CommentLine),
        HeartbeatFrame::Block => Ok(stage::HeartbeatFrame::CommentBlock),
        HeartbeatFrame::Event(name) => stage::HeartbeatFrame::event(name),
    }
}
