//! Short commands whose output fits in memory.

use std::io;

use crate::{
    download::{DownloadError, Sink},
    pod::PodHandle,
    remote_command::RemoteCommand,
};

/// How much standard output [`PodHandle::run`] accepts; more is an error, not a cut.
pub const CAPTURE_LIMIT_BYTES: usize = 1 << 20;

/// What a command that succeeded has printed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Captured {
    /// All of its standard output.
    pub stdout: Vec<u8>,
    /// The last 16 KiB of its standard error, control characters escaped.
    pub stderr: String,
}

impl PodHandle {
    /// Runs a command and captures what it prints, verified like a [`download`](Self::download), if it is no more than
    /// [`CAPTURE_LIMIT_BYTES`].
    ///
    /// An exit code other than zero is [`DownloadError::Command`].
    pub async fn run(&self, command: &RemoteCommand) -> Result<Captured, DownloadError> {
        capture(self, command, CAPTURE_LIMIT_BYTES).await
    }
}

/// Runs `command` and captures at most `limit_bytes` of what it prints.
pub(crate) async fn capture(
    pod: &PodHandle,
    command: &RemoteCommand,
    limit_bytes: usize,
) -> Result<Captured, DownloadError> {
    let sink = Capture {
        captured: Vec::new(),
        limit_bytes,
    };
    let delivered = pod.download(command, sink, |_| ()).await?;
    let stderr = delivered.stderr().to_owned();
    Ok(Captured {
        stdout: delivered.into_output(),
        stderr,
    })
}

struct Capture {
    captured: Vec<u8>,
    limit_bytes: usize,
}

impl Sink for Capture {
    type Finished = Vec<u8>;

    fn write(&mut self, data: &[u8]) -> io::Result<()> {
        if self.captured.len() + data.len() > self.limit_bytes {
            let message = format!("the command printed more than {} bytes", self.limit_bytes);
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
        }
        self.captured.extend_from_slice(data);
        Ok(())
    }

    fn finish(self) -> io::Result<Vec<u8>> {
        Ok(self.captured)
    }
}
