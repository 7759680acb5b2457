//! Starts every process of the node from one thread.
//!
//! Containers are started with bubblewrap's `--die-with-parent`, which the kernel ties to the *thread* that forked. One
//! thread that lives exactly as long as the node makes that a promise: when the node is dropped, or the whole program
//! is killed, no container outlives it, and none dies early because a runtime retired a worker thread.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
};

use tokio::{
    process::{Child, Command},
    runtime::Handle,
    sync::oneshot,
};

struct Job {
    command: Command,
    reply: oneshot::Sender<io::Result<Child>>,
}

/// Handle to the launching thread; the thread, and with it every container, ends when the last handle is dropped or
/// [`Launcher::close`] is called.
#[derive(Clone, Debug)]
pub(crate) struct Launcher {
    jobs: Arc<Mutex<Option<mpsc::Sender<Job>>>>,
}

impl Launcher {
    /// Starts the thread. Must be called inside the runtime that will own the processes' pipes.
    pub(crate) fn start() -> io::Result<Self> {
        let runtime = Handle::current();
        let (jobs, queue) = mpsc::channel::<Job>();
        thread::Builder::new()
            .name("node-launcher".to_owned())
            .spawn(move || {
                let _runtime = runtime.enter();
                for Job { mut command, reply } in queue {
                    // A caller that is gone takes the process with it when it asked for `kill_on_drop`.
                    let _ = reply.send(command.spawn());
                }
            })?;
        Ok(Self {
            jobs: Arc::new(Mutex::new(Some(jobs))),
        })
    }

    /// Ends the thread, and with it every container. Nothing can be spawned afterwards.
    pub(crate) fn close(&self) {
        self.jobs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
    }

    /// Spawns `command` on the launching thread.
    pub(crate) async fn spawn(&self, command: Command) -> io::Result<Child> {
        let gone = || io::Error::other("the node is shutting down");
        let (reply, answer) = oneshot::channel();
        let jobs = self
            .jobs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        jobs.ok_or_else(gone)?
            .send(Job { command, reply })
            .map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}
