//! Reads the upstream no faster than a client reads, where the history is too small for what is between them.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::outside::Stream;
use super::shared::Relay;
use super::task::either;
use super::{OnFull, SlowClient};
use crate::history::{Draft, Hold, Keep, Log};

/// Between two looks whether somebody reads in another process.
const LOOK: Duration = Duration::from_secs(1);

/// What a batch of events has become in the log.
#[derive(Clone, Copy)]
pub(super) struct Written {
    /// The position of the first.
    pub(super) first: u64,
    /// The position of the last that has set an id.
    pub(super) last_id: Option<u64>,
}

/// Appends events as there is room for them, and then waits until there is room for more.
///
/// Nothing else is read from the upstream meanwhile, so it is held where it stands, down to its socket.
pub(super) async fn write(relay: &Relay, log: &impl Log, events: Vec<Draft>) -> Written {
    if let Some(stream) = relay.outside() {
        let appended = stream.append(events).await;
        relay.watchdog.appended();
        match appended.hold {
            Hold::Absent if relay.clients() == 0 => wait_for_somebody(relay, stream).await,
            hold => wait_for_room(relay, hold).await,
        }
        return Written {
            first: appended.position,
            last_id: appended.last_id,
        };
    }
    let mut events = VecDeque::from(events);
    let mut written: Option<Written> = None;
    let keep = match relay.config.on_full {
        OnFull::Wait => Keep::All,
        OnFull::Drop => Keep::Unread,
    };
    loop {
        let now = Instant::now();
        let appended = log.append_within(&mut events, keep, now).await;
        let written = written.get_or_insert(Written {
            first: appended.position,
            last_id: None,
        });
        written.last_id = appended.last_id.or(written.last_id);
        relay.watchdog.appended();
        match appended.hold {
            Hold::Free if events.is_empty() => return *written,
            Hold::Free => {}
            hold => wait_for_room(relay, hold).await,
        }
    }
}

/// The same where nobody reads here. Somebody may do so in another process, who holds nothing up.
async fn wait_for_somebody(relay: &Relay, stream: &Arc<Stream>) {
    let others = pin!(async {
        while !stream.has_others().await {
            sleep(LOOK).await;
        }
        relay.log.pass_over();
    });
    either(pin!(wait_for_room(relay, Hold::Absent)), others).await;
}

async fn wait_for_room(relay: &Relay, mut hold: Hold) {
    let config = &relay.config;
    let disconnects = config.slow_client == SlowClient::Disconnect;
    loop {
        let time = match hold {
            Hold::Free => return,
            // Who has stopped is found at both of two looks.
            Hold::Reader => config.client_stall_timeout / 2,
            // It is there, and goes on behind the gap.
            Hold::Absent if !disconnects && relay.clients() > 0 => Duration::ZERO,
            Hold::Absent => config.give_up,
        };
        let changed = poll_fn(|cx| relay.log.poll_hold(cx, hold));
        hold = match timeout(time, changed).await {
            Ok(changed) => changed,
            Err(_) => {
                if hold == Hold::Reader && disconnects {
                    let oldest = relay.log.stats().dropped_up_to;
                    relay.watchdog.look_at_holders(oldest);
                }
                relay.log.pass_over()
            }
        };
    }
}
