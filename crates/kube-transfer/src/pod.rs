//! A container of a pod as what commands, files and jobs are reached through.

use std::fmt;

use kube::Client;

use crate::{
    download::{Delivered, DownloadError, Sink, TransferOptions, download},
    exec::PodContainer,
    file::{Entry, FileError, FileHandle, Space, query},
    job::{JobDirectory, JobError},
    remote_command::RemoteCommand,
    run::{CAPTURE_LIMIT_BYTES, Captured, capture},
};

/// A container of a pod, with the client and the limits for everything that is done in it. Cheap to clone; nothing is
/// asked of the pod before something is done.
#[derive(Clone)]
pub struct PodHandle {
    pub(crate) client: Client,
    pub(crate) container: PodContainer,
    pub(crate) options: TransferOptions,
}

impl fmt::Debug for PodHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PodHandle")
            .field("container", &self.container)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl PodHandle {
    /// A handle with the usual limits. The client must have no time-outs and repeat nothing, see
    /// [`stream_config`](crate::stream_config).
    pub fn new(client: &Client, container: PodContainer) -> Self {
        Self {
            client: client.clone(),
            container,
            options: TransferOptions::default(),
        }
    }

    /// The same container with other limits.
    #[must_use]
    pub fn with_options(self, options: TransferOptions) -> Self {
        Self { options, ..self }
    }

    /// Which container it is.
    pub fn container(&self) -> &PodContainer {
        &self.container
    }

    /// Runs a command and captures what it prints, verified like a [`download`](Self::download), if it is no more than
    /// [`CAPTURE_LIMIT_BYTES`].
    ///
    /// An exit code other than zero is [`DownloadError::Command`].
    pub async fn run(&self, command: &RemoteCommand) -> Result<Captured, DownloadError> {
        capture(self, command, CAPTURE_LIMIT_BYTES).await
    }

    /// Runs a command and streams its standard output into `sink`.
    ///
    /// `progress` is called with the number of bytes received so far, for every frame: it must be cheap. Dropping the
    /// future ends the connection, upon which the pod kills the command. Nothing is tried again: that is the caller's
    /// decision, for which [`DownloadError::is_transient`] helps.
    pub async fn download<S: Sink>(
        &self,
        command: &RemoteCommand,
        sink: S,
        progress: impl FnMut(u64),
    ) -> Result<Delivered<S::Finished>, DownloadError> {
        download(self, command, sink, progress).await
    }

    /// The entries of `directory`, in no particular order.
    pub async fn list(&self, directory: &str) -> Result<Vec<Entry>, FileError> {
        query::list(self, directory).await
    }

    /// The room in the file system that holds `directory`.
    pub async fn space(&self, directory: &str) -> Result<Space, FileError> {
        query::space(self, directory).await
    }

    /// The file with this absolute path, which need not be there.
    pub fn file(&self, path: impl Into<String>) -> FileHandle {
        FileHandle::new(self.clone(), path.into())
    }

    /// The directory of a job, whose parent must be there when the job is started.
    pub fn job(&self, directory: impl Into<String>) -> Result<JobDirectory, JobError> {
        JobDirectory::new(self.clone(), directory.into())
    }
}
