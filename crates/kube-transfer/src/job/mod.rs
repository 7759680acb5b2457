//! Detached jobs: programs in a pod that outlive the exec that started them, the connection, and this process.
//!
//! A job lives in a directory of the pod that its caller chooses, and whoever knows the directory finds it again, from any
//! machine. [`start`](JobDirectory::start) makes the directory, 0700, which must not be there before: so nobody starts a
//! job twice. In it are the job's log, its state and, once it has ended, its exit code; files 0600. When the start loses
//! its connection, [`status`](JobDirectory::status) settles whether there is a job.
//!
//! A small shell, the wrapper, stays with the program in a session of its own. Process 1 of the container inherits it; as
//! that may be a database that takes a strange exit code for a crash of one of its own, the wrapper always exits 0. It
//! alone signals the program. [`stop`](RunningJob::stop) goes through it.
//!
//! A job is known by the number and the start time of its wrapper, and by the container: its id where the caller gives it
//! ([`in_container`](JobDirectory::in_container)), and in any case the start time of its process 1. So a number that was
//! used again is not taken for the job, and what ran in a container that was restarted is [`Gone`](JobState::Gone). It has
//! ended when its exit code is there; when that is not, and its wrapper is not there or a zombie, it is gone.
//!
//! What can be done with a job depends on its state, and what cannot be done does not compile: only an [`EndedJob`] can be
//! collected, and no [`RunningJob`] removed.
//!
//! ```compile_fail,E0599
//! # async fn example(running: kube_transfer::job::RunningJob) {
//! running.collect().await;
//! # }
//! ```
//!
//! ```no_run
//! # use std::time::Duration;
//! # use kube_transfer::{PodHandle, RemoteCommand, Secret};
//! # use kube_transfer::job::{JobError, JobState, LogPart};
//! # async fn example(pod: PodHandle, password: String) -> Result<(), Box<dyn std::error::Error>> {
//! let directory = pod.job("/tmp/restore-7f3a")?;
//! let command = RemoteCommand::new("pg_restore")
//!     .args(["--username", "store", "--dbname", "store", "/store-backups/store.dump"])
//!     .env("PGPASSWORD", Secret::new(password)?)?;
//! let job = match directory.start(&command).await {
//!     Ok(job) => job,
//!     // Somebody has started it, perhaps this process before it died.
//!     Err(JobError::Exists { .. } | JobError::Unsettled { .. }) => match directory.status().await? {
//!         JobState::Running(job) => job,
//!         state => return Err(format!("nothing to follow: {state:?}").into()),
//!     },
//!     Err(error) => return Err(error.into()),
//! };
//! let mut log = job.log(0);
//! let end = loop {
//!     match log.next().await {
//!         Ok(LogPart::Data(data)) => println!("{}", data.escape_ascii()),
//!         Ok(LogPart::End(end)) => break end,
//!         Err(error) if error.is_transient() => tokio::time::sleep(Duration::from_secs(1)).await,
//!         Err(error) => return Err(error.into()),
//!     }
//! };
//! if let JobState::Ended(job) = end {
//!     println!("{:?}", job.collect().await?);
//!     job.remove().await?;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The container needs Linux with `/proc`, `sh`, `setsid`, coreutils or busybox, and `sha256sum` or `openssl`.

mod actions;
mod answer;
mod directory;
mod error;
mod handle;
mod log;
mod script;
mod start;

pub use actions::Collected;
pub use directory::JobDirectory;
pub use error::JobError;
pub use handle::{EndedJob, GoneJob, RunningJob};
pub use log::{JobLog, LogPart};

/// What a job's directory tells.
///
/// May not grow unnoticed: whoever decides what to do about a job must have thought of every state.
#[derive(Debug, Clone)]
pub enum JobState {
    /// There is no directory: no job was started, or it was removed.
    Absent,
    /// A job is just being started: look again in a moment.
    Starting,
    /// The job runs.
    Running(RunningJob),
    /// The job has ended by itself or was stopped, and left its exit code.
    Ended(EndedJob),
    /// The job was ended together with its wrapper, as by a restart of the container: how far it came is not known.
    Gone(GoneJob),
}
