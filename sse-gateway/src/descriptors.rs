//! The descriptors that the process may open, and who may have the last of them.
//!
//! Clients wait in the listener's queue where there are none for them, each with one more for its request to the upstream;
//! upstreams are not connected to; the admin listener goes on. All sockets are counted, in statics, as what they are
//! counted against is the process's too.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rlimit::Resource;
use tokio::sync::Notify;

use crate::config::Error;

/// Sockets that are open, but for those that the admin listener has kept for it.
static OPEN: AtomicUsize = AtomicUsize::new(0);
/// Connections whose first request may yet need a socket to the upstream.
static EXPECTED: AtomicUsize = AtomicUsize::new(0);
/// How many sockets there may be with clients and upstreams. Set once, before there are any.
static MOST: AtomicUsize = AtomicUsize::new(usize::MAX);
/// Beside these, for the admin listener alone.
static FOR_ADMIN: AtomicUsize = AtomicUsize::new(0);
/// Of those, the ones that it uses.
static ADMIN: AtomicUsize = AtomicUsize::new(0);
static FREED: Notify = Notify::const_new();

/// For the admin listener and for what is not counted, such as the sockets and files of name resolution.
const RESERVE: usize = 32;
/// With fewer it is no gateway.
const FEWEST: usize = 8;
/// What is open at the start, where the system does not tell.
const AT_START: usize = 32;

/// Raises the soft limit of open files to the hard one, and gives it.
pub(crate) fn raise_limit() -> usize {
    let before = Resource::NOFILE.get_soft();
    let raised = rlimit::increase_nofile_limit(u64::MAX);
    let limit = match (before, raised) {
        (Ok(before), Ok(limit)) => {
            tracing::info!(limit, before, "open files");
            limit
        }
        (before, raised) => {
            let error = before.as_ref().err().or(raised.as_ref().err());
            let error = error.map(tracing::field::display);
            tracing::warn!(error, "the limit of open files could not be raised");
            before.unwrap_or(u64::MAX)
        }
    };
    usize::try_from(limit).unwrap_or(usize::MAX)
}

/// Divides the descriptors, all but those that are open now.
///
/// # Errors
///
/// When there are too few.
pub(crate) fn divide(limit: usize) -> Result<(), Error> {
    let open = open_files().unwrap_or(AT_START);
    let reserve = RESERVE.min(limit / 4);
    let most = limit.saturating_sub(open + reserve);
    if most < FEWEST {
        return Err(Error::at(
            "open files",
            format_args!(
                "the limit of {limit} is too low; raise it, with ulimit -n 1024 or LimitNOFILE=1024 in a unit of systemd"
            ),
        ));
    }
    MOST.store(most, Ordering::Relaxed);
    FOR_ADMIN.store(reserve / 2, Ordering::Relaxed);
    Ok(())
}

fn open_files() -> io::Result<usize> {
    let folder = std::fs::read_dir("/proc/self/fd").or_else(|_| std::fs::read_dir("/dev/fd"))?;
    Ok(folder.count())
}

/// A socket, counted until this is dropped. It goes where the socket goes.
#[derive(Debug)]
pub(crate) struct Descriptor {
    /// Where it is counted.
    count: &'static AtomicUsize,
}

impl Descriptor {
    /// Of one that is open.
    pub(crate) fn new() -> Self {
        Self::counted_in(&OPEN)
    }

    /// Of one that is open to the admin listener.
    fn of_admin() -> Self {
        let kept = Self::counted_in(&ADMIN);
        match ADMIN.load(Ordering::Relaxed) <= FOR_ADMIN.load(Ordering::Relaxed) {
            true => kept,
            false => Self::new(),
        }
    }

    fn counted_in(count: &'static AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Descriptor { count }
    }

    /// Of one that is to be opened to an upstream, if there may be another.
    pub(crate) fn of_upstream() -> Option<Self> {
        let descriptor = Self::new();
        (OPEN.load(Ordering::Relaxed) <= MOST.load(Ordering::Relaxed)).then_some(descriptor)
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
        FREED.notify_waiters();
    }
}

/// The socket to the upstream that a client may need, counted until its first request has one, or until this is dropped.
#[derive(Debug)]
pub(crate) struct Expected(AtomicBool);

impl Expected {
    pub(crate) fn new() -> Self {
        EXPECTED.fetch_add(1, Ordering::Relaxed);
        Expected(AtomicBool::new(true))
    }

    /// What the request needs is counted from now on.
    pub(crate) fn came(&self) {
        if self.0.load(Ordering::Relaxed) && self.0.swap(false, Ordering::Relaxed) {
            EXPECTED.fetch_sub(1, Ordering::Release);
            FREED.notify_waiters();
        }
    }
}

impl Drop for Expected {
    fn drop(&mut self) {
        self.came();
    }
}

/// Whom a listener is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum For {
    Clients,
    Admin,
}

impl For {
    /// Of a connection that was accepted.
    pub(crate) fn descriptor(self) -> Descriptor {
        match self {
            For::Clients => Descriptor::new(),
            For::Admin => Descriptor::of_admin(),
        }
    }

    /// Whether the connection with this descriptor may be served.
    pub(crate) fn has_room(self, descriptor: &Descriptor) -> bool {
        // In this order: what is no longer expected is open by then, and never in neither count.
        let expected = EXPECTED.load(Ordering::Acquire);
        let taken = expected + OPEN.load(Ordering::Relaxed);
        let most = MOST.load(Ordering::Relaxed);
        match self {
            // Its request to the upstream needs another.
            For::Clients => taken + 2 <= most,
            For::Admin => std::ptr::eq(descriptor.count, &ADMIN) || taken <= most,
        }
    }

    /// Resolves when it may. Meanwhile others are asked to give way, if it is for clients.
    pub(crate) async fn room(self, descriptor: &Descriptor, give_way: impl Fn()) {
        loop {
            // From here on, so that what is freed between the look and the wait ends it.
            let freed = FREED.notified();
            if self.has_room(descriptor) {
                return;
            }
            if self == For::Clients {
                give_way();
            }
            let _ = tokio::time::timeout(PAUSE, freed).await;
        }
    }
}

const PAUSE: Duration = Duration::from_millis(200);
