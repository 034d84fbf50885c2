//! Threads that serve clients, each with a runtime of its own.
//!
//! A connection stays on the thread that it was given to, and so does the connection to the upstream that is opened for it:
//! what arrives on the one goes out on the other without waking another thread. No runtime takes work from another, so a
//! connection goes to the thread that has the fewest, or stays on the one that has accepted it where that has hardly more.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, JoinHandle};

/// What is still at work at the end, such as a name that is being looked up, is left alone after this long.
const LAST_WORK: Duration = Duration::from_millis(500);

/// Shorter than the timeouts of a request, and long enough to cost nothing.
const TICK: Duration = Duration::from_secs(1);

/// Where connections are served. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Workers(Arc<[Worker]>);

#[derive(Debug)]
struct Worker {
    runtime: Handle,
    connections: Arc<AtomicUsize>,
}

impl Workers {
    /// On the runtime of the caller alone.
    pub(crate) fn here() -> Self {
        Self::on([Handle::current()])
    }

    fn on(runtimes: impl IntoIterator<Item = Handle>) -> Self {
        let workers = runtimes.into_iter().map(|runtime| Worker {
            runtime,
            connections: Arc::default(),
        });
        Workers(workers.collect())
    }

    /// Has each worker run something.
    pub(crate) fn on_all<F>(&self, run: impl Fn() -> F) -> Vec<JoinHandle<F::Output>>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let spawn = |worker: &Worker| worker.runtime.spawn(run());
        self.0.iter().map(spawn).collect()
    }

    /// Has so many workers, or all, run something that accepts connections.
    pub(crate) fn on_some<F>(
        &self,
        most: usize,
        accept: impl Fn(Here) -> F,
    ) -> Vec<JoinHandle<F::Output>>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let some = self.0.iter().take(most).enumerate();
        let accept = |(number, worker): (usize, &Worker)| {
            let workers = self.clone();
            worker.runtime.spawn(accept(Here { workers, number }))
        };
        some.map(accept).collect()
    }
}

/// The worker that has accepted a connection, among all of them.
pub(crate) struct Here {
    workers: Workers,
    number: usize,
}

impl Here {
    /// Has a worker run what serves a connection: this one, or that with the fewest where this one has some more. It is counted
    /// until the seat is dropped.
    pub(crate) fn serve<F>(&self, serve: impl FnOnce(Seat) -> F) -> AbortHandle
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let all = &self.workers.0;
        let count = |worker: &Worker| worker.connections.load(Ordering::Relaxed);
        let fewest = all.iter().map(count).min().unwrap_or_default();
        let may_have = fewest + fewest / SOME;
        let this = &all[self.number];
        let worker = match count(this) <= may_have {
            true => this,
            false => all
                .iter()
                .min_by_key(|worker| count(worker))
                .unwrap_or(this),
        };
        worker.connections.fetch_add(1, Ordering::Relaxed);
        let seat = Seat(worker.connections.clone());
        worker.runtime.spawn(serve(seat)).abort_handle()
    }
}

/// Some more are one for so many.
const SOME: usize = 16;

/// A connection that its worker has.
#[derive(Debug)]
pub(crate) struct Seat(Arc<AtomicUsize>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The threads of workers, which end when this is dropped.
pub(crate) struct Threads(Vec<Thread>);

struct Thread {
    stop: oneshot::Sender<()>,
    handle: thread::JoinHandle<()>,
}

/// Starts so many workers.
///
/// # Errors
///
/// When the operating system gives no more threads or descriptors.
pub(crate) fn start(count: usize) -> io::Result<(Workers, Threads)> {
    let mut threads = Threads(Vec::new());
    let mut runtimes = Vec::new();
    for number in 1..=count {
        let runtime = runtime()?;
        runtimes.push(runtime.handle().clone());
        let (stop, stopped) = oneshot::channel();
        let handle = thread::Builder::new()
            .name(format!("worker-{number}"))
            .spawn(move || {
                runtime.spawn(tick());
                // Told, or dropped, it is over.
                let _ = runtime.block_on(stopped);
                runtime.shutdown_timeout(LAST_WORK);
            })?;
        threads.0.push(Thread { stop, handle });
    }
    Ok((Workers::on(runtimes), threads))
}

/// A runtime of one thread: of a worker, or of what is there once.
///
/// # Errors
///
/// When the operating system gives no more descriptors.
pub(crate) fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

/// Sees to it that a timer always ends soon. One that ends before all others has tokio wake its own thread, by a system call, for
/// nothing; and a request has several that hardly ever end.
async fn tick() {
    loop {
        tokio::time::sleep(TICK).await;
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        let (stops, handles): (Vec<_>, Vec<_>) = self
            .0
            .drain(..)
            .map(|thread| (thread.stop, thread.handle))
            .unzip();
        drop(stops);
        for handle in handles {
            // One that has panicked is over as well.
            let _ = handle.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names of those that serve connections accepted by the first of two workers, of which each is at work on so many.
    async fn served_by(busy: [usize; 2], accepted: usize) -> Vec<String> {
        let (workers, threads) = start(2).expect("two threads");
        for (worker, count) in workers.0.iter().zip(busy) {
            worker.connections.store(count, Ordering::Relaxed);
        }
        let here = Here { workers, number: 0 };
        let (sender, mut served) = tokio::sync::mpsc::channel(1);
        let mut names = Vec::new();
        let mut seats = Vec::new();
        for _ in 0..accepted {
            let sender = sender.clone();
            here.serve(|seat| async move {
                let name = thread::current().name().map(str::to_owned);
                let _ = sender.send((name.expect("a name"), seat)).await;
            });
            let (name, seat) = served.recv().await.expect("it is served");
            names.push(name);
            seats.push(seat);
        }
        drop(seats);
        for (worker, count) in here.workers.0.iter().zip(busy) {
            assert_eq!(worker.connections.load(Ordering::Relaxed), count);
        }
        drop(threads);
        names
    }

    #[tokio::test]
    async fn a_connection_goes_to_the_thread_that_has_the_fewest() {
        let (one, two) = ("worker-1", "worker-2");
        assert_eq!(served_by([0, 0], 4).await, [one, two, one, two]);
        assert_eq!(served_by([2, 0], 3).await, [two, two, one]);
        assert_eq!(served_by([0, 2], 3).await, [one, one, one]);
    }

    #[tokio::test]
    async fn a_connection_stays_on_a_thread_that_has_hardly_more_than_others() {
        let (one, two) = ("worker-1", "worker-2");
        assert_eq!(
            served_by([100, 100], 8).await,
            [&[one; 7][..], &[two]].concat()
        );
        assert_eq!(served_by([1000, 100], 3).await, [two; 3]);
        assert_eq!(served_by([100, 1000], 3).await, [one; 3]);
    }
}
