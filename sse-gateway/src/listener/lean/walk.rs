//! Writes the events of a relay to all its clients of a thread, one behind the other.
//!
//! A stream that waits for the next event of its relay [lends](Lends) its socket: to wake and poll each stream for each event costs more
//! than the write, above all for what each of them has in memory. Whatever else is to be done, the stream does
//! itself: it is woken, takes its socket back, and tells its body what was written meanwhile.
//!
//! All of this is one thread's: streams never leave the thread on which they were opened.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use slab::Slab;
use tokio::net::TcpStream;
use tokio::task::{AbortHandle, yield_now};
use tokio::time::{Instant, timeout};
use tower_sse::level::{Batch, Given, Level, Next, PAUSE, Reader, Reading};

use super::head;
use crate::workers::Workers;

#[cfg(doc)]
use crate::listener::Lends;

/// A stream among those of its relay. To be left before its body is polled, or dropped.
pub(super) struct Seat {
    log: usize,
    key: usize,
}

/// What a stream has when it is back.
pub(super) struct Left {
    pub(super) socket: TcpStream,
    /// What was written, and is to be told to the body.
    pub(super) given: Option<Given>,
    /// What the client did not take of that.
    pub(super) rest: Bytes,
    /// Whether the connection is broken.
    pub(super) has_failed: bool,
}

/// The streams of a relay.
struct Group {
    walker: AbortHandle,
    reader: Reader,
    members: Slab<Member>,
    walk: Option<Walk>,
    /// When events came last,
    came: Instant,
    /// and when they were last written.
    given: Instant,
}

struct Member {
    socket: TcpStream,
    level: Level,
    /// Wakes its stream.
    waker: Waker,
    /// What was written to it.
    events: u32,
    bytes: u32,
    left: Option<Box<Fallen>>,
}

/// Why a stream is to go on by itself.
#[derive(Default)]
struct Fallen {
    rest: Bytes,
    has_failed: bool,
}

/// Events on their way to one member after the other.
struct Walk {
    batch: Batch,
    framed: Vec<u8>,
    /// The key of the next member.
    next: usize,
}

/// After so many members,
const MOST_MEMBERS: usize = 256;
/// or so many bytes, others have their turn.
const MOST_BYTES: usize = 1024 * 1024;
/// A member comes back when it was given so many bytes, to tell of them.
const MOST_GIVEN: u32 = 1 << 30;

thread_local! {
    static GROUPS: RefCell<HashMap<usize, Group>> = RefCell::default();
}

/// Lends a socket, if its stream would otherwise wait for the next event.
pub(super) fn enter(level: Level, socket: TcpStream, waker: &Waker) -> Result<Seat, TcpStream> {
    if !level.rests() {
        return Err(socket);
    }
    let log = level.log();
    GROUPS.with_borrow_mut(|groups| {
        let group = groups.entry(log).or_insert_with(|| {
            let now = Instant::now();
            Group {
                walker: tokio::spawn(Walker { log }).abort_handle(),
                reader: level.reader(),
                members: Slab::new(),
                walk: None,
                came: now,
                given: now,
            }
        });
        let count = group.members.len();
        if count == group.members.capacity() {
            group.members.reserve_exact(count / 8 + 8);
        }
        let key = group.members.insert(Member {
            socket,
            level,
            waker: waker.clone(),
            events: 0,
            bytes: 0,
            left: None,
        });
        Ok(Seat { log, key })
    })
}

impl Seat {
    /// Takes the socket back.
    pub(super) fn leave(self) -> Option<Left> {
        let (member, last, group) = GROUPS.with_borrow_mut(|groups| {
            let group = groups.get_mut(&self.log)?;
            let member = group.members.try_remove(self.key)?;
            let (last, is_last) = (group.given, group.members.is_empty());
            let group = is_last.then(|| groups.remove(&self.log));
            Some((member, last, group))
        })?;
        drop(group);
        let given = Given {
            events: member.events.into(),
            bytes: member.bytes.into(),
            last,
        };
        let fallen = member.left.unwrap_or_default();
        Some(Left {
            socket: member.socket,
            given: (given.events > 0).then_some(given),
            rest: fallen.rest,
            has_failed: fallen.has_failed,
        })
    }
}

/// Has all streams tell their bodies what was written for them, so that what is counted is what was sent. Where a thread is busy
/// it is waited for a moment.
pub(crate) async fn settle(workers: &Workers) {
    let all = workers.on_all(|| async {
        GROUPS.with_borrow(|groups| groups.values().for_each(Group::wake_all));
        // Behind the streams that were woken.
        yield_now().await;
    });
    let all = async {
        for one in all {
            // One that has panicked is over as well.
            let _ = one.await;
        }
    };
    let _ = timeout(SETTLES, all).await;
}

/// How long that may take.
const SETTLES: Duration = Duration::from_secs(1);

/// How many streams of this thread have lent their sockets.
#[cfg(test)]
pub(super) fn members() -> usize {
    GROUPS.with_borrow(|groups| groups.values().map(|group| group.members.len()).sum())
}

/// The task that walks.
struct Walker {
    log: usize,
}

impl Future for Walker {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let polled = GROUPS.with_borrow_mut(|groups| {
            let group = groups.get_mut(&self.log);
            group.map_or(Poll::Ready(Step::End), |group| group.poll_walk(cx))
        });
        match ready!(polled) {
            Step::End => Poll::Ready(()),
            Step::Pause => pin!(tokio::task::yield_now()).poll(cx),
        }
    }
}

enum Step {
    End,
    Pause,
}

impl Group {
    fn poll_walk(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        let (mut members, mut bytes) = (0, 0);
        loop {
            let Some(walk) = &mut self.walk else {
                match ready!(self.reader.poll_read(cx)) {
                    Reading::Batch(batch) if self.is_soon() => self.walk = Some(Walk::new(batch)),
                    Reading::Batch(_) | Reading::Apart => self.wake_all(),
                    Reading::End => {
                        self.wake_all();
                        return Poll::Ready(Step::End);
                    }
                }
                continue;
            };
            while walk.next < self.members.capacity() {
                if members >= MOST_MEMBERS || bytes >= MOST_BYTES {
                    return Poll::Ready(Step::Pause);
                }
                if let Some(member) = self.members.get_mut(walk.next) {
                    member.give(walk);
                    members += 1;
                    bytes += walk.framed.len();
                }
                walk.next += 1;
            }
            self.walk = None;
        }
    }

    /// Events have come. Whether that is soon behind the last.
    fn is_soon(&mut self) -> bool {
        let now = Instant::now();
        let is_soon = now - std::mem::replace(&mut self.came, now) < PAUSE;
        if is_soon {
            self.given = now;
        }
        is_soon
    }

    fn wake_all(&self) {
        for (_, member) in &self.members {
            member.waker.wake_by_ref();
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.walker.abort();
    }
}

impl Walk {
    fn new(batch: Batch) -> Self {
        let mut framed = Vec::with_capacity(batch.bytes.len() + 16);
        head::write_size(batch.bytes.len(), &mut framed);
        framed.extend_from_slice(&batch.bytes);
        framed.extend_from_slice(b"\r\n");
        Walk {
            batch,
            framed,
            next: 0,
        }
    }
}

impl Member {
    fn give(&mut self, walk: &Walk) {
        if self.left.is_some() {
            return;
        }
        match self.level.reads(&walk.batch) {
            Next::These => {}
            Next::Others => return,
            Next::Apart => {
                self.fall(Fallen::default());
                return;
            }
        }
        // A batch is much smaller.
        self.events += walk.batch.events as u32;
        self.bytes += walk.batch.bytes.len() as u32;
        let written = match self.socket.try_write(&walk.framed) {
            Ok(written) => written,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(_) => {
                self.fall(Fallen {
                    has_failed: true,
                    ..Fallen::default()
                });
                return;
            }
        };
        if written < walk.framed.len() || self.bytes > MOST_GIVEN {
            self.fall(Fallen {
                rest: Bytes::copy_from_slice(&walk.framed[written..]),
                has_failed: false,
            });
        }
    }

    /// Its stream goes on by itself.
    fn fall(&mut self, fallen: Fallen) {
        self.left = Some(Box::new(fallen));
        self.waker.wake_by_ref();
    }
}
