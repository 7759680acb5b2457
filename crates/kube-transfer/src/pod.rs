//! A container of a pod as what commands, files and jobs are reached through; what is done in it, the modules above add.

use std::{fmt, time::Duration};

use kube::Client;

use crate::exec::{PodContainer, StreamOptions};

/// Limits of a transfer.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TransferOptions {
    /// Of the stream below.
    pub stream: StreamOptions,
    /// How long the command may put out nothing while the connection lives.
    pub stall_limit: Duration,
    /// How long the rest may take once the pod has reported: data under way, and the exit of the shell.
    pub settle_limit: Duration,
}

impl Default for TransferOptions {
    fn default() -> Self {
        Self {
            stream: StreamOptions::default(),
            stall_limit: Duration::from_mins(10),
            settle_limit: Duration::from_secs(30),
        }
    }
}

impl TransferOptions {
    /// With these limits of the stream below.
    #[must_use]
    pub fn with_stream(self, stream: StreamOptions) -> Self {
        Self { stream, ..self }
    }

    /// With another [`stall_limit`](Self::stall_limit).
    #[must_use]
    pub fn with_stall_limit(self, stall_limit: Duration) -> Self {
        Self {
            stall_limit,
            ..self
        }
    }

    /// With another [`settle_limit`](Self::settle_limit).
    #[must_use]
    pub fn with_settle_limit(self, settle_limit: Duration) -> Self {
        Self {
            settle_limit,
            ..self
        }
    }
}

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
}
