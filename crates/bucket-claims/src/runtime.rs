//! Threads for what a command waits for.

use std::sync::mpsc;

use anyhow::Context as _;
use tokio::runtime::{Builder, Runtime};

/// A runtime that is not waited for when it is dropped, which may be on a thread of another one.
pub(crate) struct OwnRuntime(Option<Runtime>);

impl OwnRuntime {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("bucket-claims")
            .enable_all()
            .build();
        Ok(Self(Some(runtime.context("cannot start a thread")?)))
    }

    /// Makes something whose tasks are to run here.
    pub(crate) fn enter<T>(&self, make: impl FnOnce() -> T) -> T {
        let _entered = self.0.as_ref().map(Runtime::enter);
        make()
    }

    /// Does the work here, and waits for it.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> anyhow::Result<T> {
        let (sender, done) = mpsc::sync_channel(1);
        if let Some(runtime) = &self.0 {
            runtime.spawn(async move {
                // Whoever waited may be gone.
                let _ = sender.send(work.await);
            });
        }
        done.recv().context("the thread for the bucket has ended")
    }
}

impl Drop for OwnRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
