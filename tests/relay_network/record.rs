//! What each relay was given by the upstream, and what it has kept of it: a history in memory that writes down what
//! is appended, and a body that writes down what is read.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame};
use tokio::task::Id;
use tokio::time::Instant;
use tower_sse::history::seam::{Appended, Draft, Keep, Log, Logs, MemoryLog, Reserved, Seal};
use tower_sse::history::{History, MemoryHistory};
use tower_sse::wire::Epoch;

use crate::world::World;

/// The type of the events that tell of a gap.
pub(crate) const GAP: &str = "stream-gap";

/// What relays did, also those of a gateway that has crashed.
#[derive(Default)]
pub(crate) struct Book {
    pub(crate) relays: BTreeMap<String, RelayRecord>,
    /// What was read by the task of a relay: one stream for each connection.
    pub(crate) read: HashMap<Id, Vec<Vec<u8>>>,
}

/// A relay, by the epoch of its ids.
#[derive(Default)]
pub(crate) struct RelayRecord {
    /// The place of its gateway.
    pub(crate) gateway: usize,
    /// The id that it asked the upstream with at first.
    pub(crate) behind: Option<Bytes>,
    pub(crate) entries: Vec<Entry>,
    /// Where those are that have data, and so a number.
    numbered: Vec<usize>,
    /// Where each id of the upstream was set, from the first to the last.
    set: HashMap<Bytes, Vec<usize>>,
    /// How many entries were dropped to stay within the bounds.
    pub(crate) evicted: u64,
    pub(crate) task: Option<Id>,
}

/// An event in the history of a relay.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) event_type: String,
    pub(crate) data: Option<String>,
    /// Whether its blank line came.
    pub(crate) is_whole: bool,
    /// Whether it tells of a gap, as this relay or one behind it has found.
    pub(crate) is_gap: bool,
    pub(crate) upstream: Option<Bytes>,
    pub(crate) sets_id: bool,
    /// The number of connections to the upstream by then.
    pub(crate) connection: usize,
    /// How many entries were dropped before it was appended.
    pub(crate) evicted_before: u64,
}

impl RelayRecord {
    fn push(&mut self, entry: Entry) {
        let place = self.entries.len();
        if entry.data.is_some() {
            self.numbered.push(place);
        }
        if let Some(id) = entry.upstream.as_ref().filter(|_| entry.sets_id) {
            self.set.entry(id.clone()).or_default().push(place);
        }
        self.entries.push(entry);
    }

    /// Where the event with this number is.
    pub(crate) fn place(&self, sequence: u64) -> Option<usize> {
        let place = usize::try_from(sequence).ok()?.checked_sub(1)?;
        self.numbered.get(place).copied()
    }

    pub(crate) fn numbered(&self, sequence: u64) -> Option<&Entry> {
        self.entries.get(self.place(sequence)?)
    }

    /// The number of the last event up to this place.
    pub(crate) fn sequence(&self, place: usize) -> u64 {
        self.numbered.partition_point(|other| *other <= place) as u64
    }

    /// Where this id of the upstream was set.
    pub(crate) fn set_at(&self, id: &[u8]) -> &[usize] {
        self.set.get(id).map_or(&[], Vec::as_slice)
    }
}

/// A history of the gateway that is written down.
#[derive(Clone)]
pub(crate) struct Recorded {
    inner: MemoryHistory,
    world: Arc<World>,
    /// That of its gateway.
    place: usize,
}

pub(crate) struct RecordedLog {
    inner: MemoryLog,
    epoch: String,
    world: Arc<World>,
}

impl Recorded {
    pub(crate) fn new(inner: MemoryHistory, world: Arc<World>, place: usize) -> Self {
        Recorded {
            inner,
            world,
            place,
        }
    }
}

impl History for Recorded {}

impl Logs for Recorded {
    type Log = RecordedLog;

    fn reserve(&self, bytes: usize) -> Option<Reserved> {
        self.inner.reserve(bytes)
    }

    fn open(&self, epoch: Epoch, seal: Seal, behind: Option<Bytes>) -> RecordedLog {
        let name = String::from_utf8(epoch.as_bytes().to_vec()).unwrap();
        let record = RelayRecord {
            gateway: self.place,
            behind: behind.clone(),
            ..RelayRecord::default()
        };
        let before = self.world.state().book.relays.insert(name.clone(), record);
        assert!(before.is_none(), "an epoch is given once");
        RecordedLog {
            inner: self.inner.open(epoch, seal, behind),
            epoch: name,
            world: self.world.clone(),
        }
    }
}

impl RecordedLog {
    fn write_down(&self, events: &[Draft], evicted_before: u64) {
        let mut state = self.world.state();
        let book = &mut state.book;
        let task = tokio::task::id();
        let connection = book.read.get(&task).map_or(0, Vec::len);
        let record = book.relays.get_mut(&self.epoch).unwrap();
        record.task = Some(task);
        for draft in events {
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            let event_type = text(draft.event.event_type());
            record.push(Entry {
                is_whole: draft.event.has_blank_line(),
                is_gap: event_type == GAP,
                event_type,
                data: draft.event.data().map(|data| text(&data)),
                upstream: draft.upstream.clone(),
                sets_id: draft.sets_id,
                connection,
                evicted_before,
            });
        }
    }

    fn count_evicted(&self) -> u64 {
        let all = self.inner.stats().evictions;
        let evicted = all.events + all.bytes + all.age + all.budget;
        let mut state = self.world.state();
        let record = state.book.relays.get_mut(&self.epoch).unwrap();
        record.evicted = evicted;
        evicted
    }
}

impl Log for RecordedLog {
    fn replica(&self) -> &MemoryLog {
        &self.inner
    }

    async fn append(&self, events: Vec<Draft>, now: Instant) -> Appended {
        self.write_down(&events, self.count_evicted());
        let appended = self.inner.append(events, now).await;
        self.count_evicted();
        appended
    }

    async fn append_within(
        &self,
        events: &mut VecDeque<Draft>,
        keep: Keep,
        now: Instant,
    ) -> Appended {
        let before: Vec<Draft> = events.iter().cloned().collect();
        let evicted = self.count_evicted();
        let appended = self.inner.append_within(events, keep, now).await;
        self.write_down(&before[..before.len() - events.len()], evicted);
        self.count_evicted();
        appended
    }

    fn close(&self) {
        self.inner.close();
    }
}

/// A body from the upstream that is written down as a relay reads it.
pub(crate) struct Read<B> {
    inner: B,
    world: Arc<World>,
    task: Id,
    connection: usize,
}

impl<B> Read<B> {
    /// Read by this task.
    pub(crate) fn new(inner: B, world: Arc<World>, task: Id) -> Self {
        let connection = {
            let mut state = world.state();
            let connections = state.book.read.entry(task).or_default();
            connections.push(Vec::new());
            connections.len() - 1
        };
        Read {
            inner,
            world,
            task,
            connection,
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Read<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        if let Some(data) = frame
            .as_ref()
            .and_then(|frame| frame.as_ref().ok()?.data_ref())
        {
            let mut state = self.world.state();
            if let Some(connections) = state.book.read.get_mut(&self.task) {
                connections[self.connection].extend_from_slice(data);
            }
        }
        Poll::Ready(frame)
    }
}
