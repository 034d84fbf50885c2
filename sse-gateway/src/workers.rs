//! Threads that serve clients, each with a runtime of its own.
//!
//! A connection stays on the thread that it was given to, and so does the connection to the upstream that is opened for it:
//! what arrives on the one goes out on the other without waking another thread. No runtime takes work from another, so a
//! connection goes to the thread that has the fewest.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;

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

    /// Has the worker with the fewest connections run what serves one. It is counted until the seat is dropped.
    pub(crate) fn serve<F>(&self, serve: impl FnOnce(Seat) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let count = |worker: &&Worker| worker.connections.load(Ordering::Relaxed);
        if let Some(worker) = self.0.iter().min_by_key(count) {
            worker.connections.fetch_add(1, Ordering::Relaxed);
            let seat = Seat(worker.connections.clone());
            worker.runtime.spawn(serve(seat));
        }
    }
}

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
    handle: JoinHandle<()>,
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

    #[tokio::test]
    async fn a_connection_goes_to_the_thread_that_has_the_fewest() {
        let (workers, threads) = start(2).expect("two threads");
        let (sender, mut served) = tokio::sync::mpsc::channel(1);
        let serve = || {
            let sender = sender.clone();
            workers.serve(|seat| async move {
                let name = thread::current().name().map(str::to_owned);
                let _ = sender.send((name.expect("a name"), seat)).await;
            });
        };
        let mut seats = Vec::new();
        for _ in 0..4 {
            serve();
            seats.push(served.recv().await.expect("it is served"));
        }
        let names: Vec<_> = seats.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["worker-1", "worker-2", "worker-1", "worker-2"]);

        seats.retain(|(name, _)| name == "worker-1");
        for _ in 0..2 {
            serve();
            let seat = served.recv().await.expect("it is served");
            assert_eq!(seat.0, "worker-2");
            seats.push(seat);
        }
        drop(threads);
    }
}
