//! Ends streams over a window when told to, so that a server can stop without a crowd at the next one.
//!
//! Streams that never end would keep a server from stopping for ever, and all closed at once they come back
//! all at once. When the drain is started by its [`DrainHandle`], each stream of a GET request ends at a
//! random moment of the window, at a boundary between two events and with a [`Farewell`]. Streams of
//! other methods are taken for finite, such as the answer of a language model: they may finish until the deadline.
//!
//! # Example
//!
//! ```
//! use std::time::Duration;
//! use tower_sse::{EventLayer, stage::{Drain, DrainHandle}};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let handle = DrainHandle::new();
//! let layer = EventLayer::new(
//!     Drain::on(&handle)
//!         .with_window(Duration::from_secs(10))
//!         .with_deadline(Duration::from_secs(30)),
//! );
//! # let _ = layer.clone();
//!
//! // Later, on SIGTERM:
//! handle.start();
//! handle.drained().await;
//! # }
//! ```

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use http::{Method, request, response};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::{End, Farewell, Outbox, Reason, Stage, Times, jitter};
use crate::slots::{self, Slots};

/// Ends streams over a window when told to. See the [module docs](self).
#[derive(Debug)]
pub struct Drain {
    handle: DrainHandle,
    settings: Arc<Settings>,
    /// The answer to something else than a GET.
    finite: bool,
    /// Where in the window it is this stream's turn, from 0 to 1.
    turn: f64,
    slot: Option<usize>,
}

/// Shared, since each stream has its copy of the stage.
#[derive(Clone, Debug)]
struct Settings {
    window: Duration,
    deadline: Duration,
    farewell: Farewell,
}

/// Starts a [`Drain`], and tells how far it is. Clones are the same handle.
#[derive(Clone, Debug, Default)]
pub struct DrainHandle {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    made: Instant,
    started: Moment,
    /// When all that is left was told to end.
    hurried: Moment,
    /// Of all open streams; a waker once the stream has waited.
    open: Mutex<Slots<Option<Waker>>>,
    /// Told when no stream is left.
    empty: Notify,
}

/// When something began, if it has: so many nanoseconds and one after the handle was made, or zero. Read without the lock, each
/// time a stream is asked for its deadline.
#[derive(Debug, Default)]
struct Moment(AtomicU64);

// ===== impl Drain =====

impl Drain {
    /// Ends streams when this handle says so.
    pub fn on(handle: &DrainHandle) -> Self {
        Drain {
            handle: handle.clone(),
            settings: Arc::new(Settings {
                window: Duration::from_secs(10),
                deadline: Duration::from_secs(30),
                farewell: Farewell::default(),
            }),
            finite: false,
            turn: 0.0,
            slot: None,
        }
    }

    /// Sets the time over which the ends are spread. Default: 10 s.
    #[must_use]
    pub fn with_window(mut self, window: Duration) -> Self {
        self.set().window = window;
        self
    }

    /// Sets how long after the start a finite stream is ended too. Default: 30 s.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.set().deadline = deadline;
        self
    }

    /// Sets the last words to the client.
    #[must_use]
    pub fn with_farewell(mut self, farewell: Farewell) -> Self {
        self.set().farewell = farewell;
        self
    }

    fn set(&mut self) -> &mut Settings {
        Arc::make_mut(&mut self.settings)
    }
}

impl Clone for Drain {
    /// The same settings, for another stream.
    fn clone(&self) -> Self {
        Drain {
            handle: self.handle.clone(),
            settings: self.settings.clone(),
            slot: None,
            ..*self
        }
    }
}

impl Stage for Drain {
    fn on_request(&mut self, request: &request::Parts, _: &Times) {
        self.finite = request.method != Method::GET;
    }

    fn on_response(&mut self, _: &mut response::Parts, _: &Times, _: &mut Outbox) {
        self.turn = jitter::fraction();
        self.slot = Some(self.handle.shared.lock().enter(None));
    }

    #[inline]
    fn passes(&self) -> bool {
        true
    }

    fn deadline(&self, _: &Times) -> Option<Instant> {
        let started = self.handle.shared.started()?;
        let after = if self.finite {
            self.settings.deadline
        } else {
            let settings = &self.settings;
            settings.window.mul_f64(self.turn).min(settings.deadline)
        };
        self.handle.shared.hurried().or(started.checked_add(after))
    }

    fn on_deadline(&mut self, times: &Times, out: &mut Outbox) {
        if self.deadline(times).is_some_and(|due| due <= times.now) {
            self.settings.farewell.write(Reason::DRAIN, out);
        }
    }

    fn on_end(&mut self, _: End, _: &Times) {
        let Some(slot) = self.slot.take() else {
            return;
        };
        let empty = {
            let mut open = self.handle.shared.lock();
            open.leave(slot);
            open.is_empty()
        };
        if empty {
            self.handle.shared.empty.notify_waiters();
        }
    }

    fn on_wait(&mut self, waker: &Waker) {
        let slot = self.slot.expect("a stream waits only while it is open");
        slots::wait(&mut self.handle.shared.lock()[slot], waker);
    }
}

// ===== impl DrainHandle =====

impl DrainHandle {
    /// A handle, to be given to the [`Drain`] of every layer that is to be drained with it.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts the drain. Once started, it goes on; a second call changes nothing.
    pub fn start(&self) {
        self.begin(&[&self.shared.started]);
    }

    /// Ends all streams at once, each with its last words, also those that are finite. Those that open later end as well.
    pub fn hurry(&self) {
        self.begin(&[&self.shared.started, &self.shared.hurried]);
    }

    /// Notes that something begins now, if it has not begun before, and wakes all streams.
    fn begin(&self, moments: &[&Moment]) {
        let wakers: Vec<Waker> = {
            let open = self.shared.lock();
            for moment in moments {
                moment.set(self.shared.made);
            }
            open.all().iter().flatten().cloned().collect()
        };
        for waker in wakers {
            waker.wake();
        }
    }

    /// Calls it off: streams that have not ended stay.
    pub fn cancel(&self) {
        let _open = self.shared.lock();
        self.shared.started.clear();
        self.shared.hurried.clear();
    }

    /// Whether it was started.
    pub fn is_draining(&self) -> bool {
        self.shared.started().is_some()
    }

    /// How many streams are open: those that remain, once the drain was started.
    pub fn open_streams(&self) -> usize {
        self.shared.lock().len()
    }

    /// Waits until no stream is open.
    pub async fn drained(&self) {
        loop {
            let empty = self.shared.empty.notified();
            if self.open_streams() == 0 {
                return;
            }
            empty.await;
        }
    }
}

// ===== impl Shared =====

impl Default for Shared {
    fn default() -> Self {
        Shared {
            made: Instant::now(),
            started: Moment::default(),
            hurried: Moment::default(),
            open: Mutex::default(),
            empty: Notify::default(),
        }
    }
}

impl Shared {
    fn started(&self) -> Option<Instant> {
        self.started.get(self.made)
    }

    fn hurried(&self) -> Option<Instant> {
        self.hurried.get(self.made)
    }

    fn lock(&self) -> MutexGuard<'_, Slots<Option<Waker>>> {
        // Nothing in here can be left half done by a panic.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Moment {
    fn get(&self, made: Instant) -> Option<Instant> {
        let nanos = self.0.load(Ordering::Acquire).checked_sub(1)?;
        made.checked_add(Duration::from_nanos(nanos))
    }

    /// Leaves it as it is if it has begun. The caller has the lock.
    fn set(&self, made: Instant) {
        if self.get(made).is_none() {
            let nanos = Instant::now().saturating_duration_since(made).as_nanos();
            let nanos = u64::try_from(nanos).unwrap_or(u64::MAX);
            self.0.store(nanos.saturating_add(1), Ordering::Release);
        }
    }

    fn clear(&self) {
        self.0.store(0, Ordering::Release);
    }
}
