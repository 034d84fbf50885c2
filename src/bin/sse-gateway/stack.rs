//! What stands in front of the proxy, and in which order. Each height has its reason.

use tower_layer::Layer;
use tower_sse::stage::{
    Drain, DrainHandle, EventIds, Farewell, Frame, Heartbeat, IdleTimeout, Lifetime, Metrics,
    NoBuffering, Retry,
};
use tower_sse::{EventLayer, EventService};

use crate::config::{Error, HeartbeatFrame, IdleCounts, Ids, Route, StreamSettings};
use crate::proxy::Proxy;
use crate::streams::{StreamLog, Streams};

/// A route's proxy with all that is done to its event streams.
pub(crate) type Stack = EventService<Proxy, Stages>;

/// The stages of a route, in the order in which an event meets them.
pub(crate) type Stages = (
    // First, to see what the upstream sent and not what became of it.
    Metrics,
    StreamLog,
    NoBuffering,
    // Before the opening comment, so that a client which is cut off at once knows when to come back.
    Option<Retry>,
    Option<EventIds>,
    Option<IdleTimeout>,
    Option<Lifetime>,
    Drain,
    // Last, since it is needless when another stage has just written.
    Option<Heartbeat>,
);

/// Puts the stages of a route around its proxy.
///
/// # Errors
///
/// When a name in the settings cannot be an event type.
pub(crate) fn build(
    route: &Route,
    proxy: Proxy,
    drain: Drain,
    streams: &Streams,
) -> Result<Stack, Error> {
    let stream = &route.stream;
    let farewell = farewell(stream).map_err(|error| Error::at("pause_event", error))?;
    let frame =
        frame(&stream.heartbeat_frame).map_err(|error| Error::at("heartbeat_frame", error))?;
    let stages = (
        Metrics::new(route.name.clone()),
        streams.stage(&route.name),
        NoBuffering,
        stream
            .retry
            .map(|time| Retry::after(time).with_jitter(stream.retry_jitter)),
        match stream.ids {
            Ids::Off => None,
            Ids::Fill => Some(EventIds::sequential()),
            Ids::Replace => Some(EventIds::sequential().replacing()),
        },
        stream.idle_timeout.map(|time| {
            let timeout = IdleTimeout::after(time).with_farewell(farewell.clone());
            match stream.idle_counts {
                IdleCounts::Bytes => timeout,
                IdleCounts::Events => timeout.events_only(),
            }
        }),
        stream
            .lifetime
            .map(|time| Lifetime::at_most(time).with_farewell(farewell.clone())),
        drain.with_farewell(farewell.clone()),
        stream.heartbeat.map(|interval| {
            let heartbeat = Heartbeat::every(interval).with_frame(frame.clone());
            match stream.opening_comment {
                true => heartbeat.at_open(),
                false => heartbeat,
            }
        }),
    );
    Ok(EventLayer::new(stages)
        .with_max_event_bytes(stream.max_event_bytes)
        .layer(proxy))
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
