//! From the synchronous world of stores to the asynchronous one of requests.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// How many threads make requests.
const THREADS: usize = 2;

/// A runtime of its own: whoever calls may be on a thread of another one, which must not wait for itself.
#[derive(Debug, Clone)]
pub(crate) struct Bridge(Arc<Owned>);

#[derive(Debug)]
struct Owned {
    runtime: Option<Runtime>,
    /// Whether everything is given up.
    stopped: watch::Sender<bool>,
}

impl Drop for Owned {
    /// Without waiting, which is forbidden where this may happen.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A result that is on its way.
#[derive(Debug)]
pub(crate) struct Pending<T> {
    result: Receiver<T>,
    task: Option<AbortHandle>,
}

impl Bridge {
    pub(crate) fn new() -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("object-store")
            .enable_all()
            .build()?;
        Ok(Self(Arc::new(Owned {
            runtime: Some(runtime),
            stopped: watch::Sender::new(false),
        })))
    }

    /// Gives up what is on its way, and everything that is begun later.
    pub(crate) fn stop(&self) {
        self.0.stopped.send_replace(true);
    }

    /// Begins the work.
    pub(crate) fn begin<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Pending<T> {
        let mut stopped = self.0.stopped.subscribe();
        self.spawn(async move {
            tokio::select! {
                biased;
                _ = stopped.wait_for(|stopped| *stopped) => None,
                result = work => Some(result),
            }
        })
    }

    /// Does the work, and waits for it.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> io::Result<T> {
        self.begin(work).wait()
    }

    /// As [`Self::run`], also after everything was given up: for tidying up.
    pub(crate) fn run_at_the_end<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> io::Result<T> {
        self.spawn(async move { Some(work.await) }).wait()
    }

    fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = Option<T>> + Send + 'static,
    ) -> Pending<T> {
        let (sender, result) = sync_channel(1);
        let task = self.0.runtime.as_ref().map(|runtime| {
            let task = runtime.spawn(async move {
                if let Some(result) = work.await {
                    // Nobody may be waiting any more.
                    let _ = sender.send(result);
                }
            });
            task.abort_handle()
        });
        Pending { result, task }
    }
}

impl<T> Pending<T> {
    pub(crate) fn wait(self) -> io::Result<T> {
        self.result
            .recv()
            .map_err(|_| io::Error::new(io::ErrorKind::ConnectionAborted, "it was given up"))
    }

    /// Gives it up.
    pub(crate) fn cancel(self) {
        if let Some(task) = self.task {
            task.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_is_woken_when_everything_is_given_up_and_tidying_up_still_works() {
        let bridge = Bridge::new().unwrap();
        let pending = bridge.begin(std::future::pending::<()>());
        bridge.stop();
        assert!(pending.wait().is_err());
        assert!(bridge.run(async {}).is_err());
        assert_eq!(bridge.run_at_the_end(async { 7 }).unwrap(), 7);
    }
}
