//! Short commands whose output fits in memory.

use std::io;

use kube::Client;

use crate::{
    download::{DownloadError, Sink, TransferOptions, download},
    exec::PodContainer,
    remote_command::RemoteCommand,
};

/// How much standard output [`run`] accepts; more is an error, not a cut.
pub const CAPTURE_LIMIT_BYTES: usize = 1 << 20;

/// What a command that succeeded has printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Captured {
    /// All of its standard output.
    pub stdout: Vec<u8>,
    /// The last 16 KiB of its standard error, control characters escaped.
    pub stderr: String,
}

/// Runs `command` in `target` and captures what it prints, verified like a [`download()`].
///
/// An exit code other than zero is [`DownloadError::Command`].
pub async fn run(
    client: &Client,
    target: &PodContainer,
    command: &RemoteCommand,
    options: &TransferOptions,
) -> Result<Captured, DownloadError> {
    let delivered = download(
        client,
        target,
        command,
        Capture(Vec::new()),
        options,
        |_| (),
    )
    .await?;
    let stderr = delivered.stderr().to_owned();
    Ok(Captured {
        stdout: delivered.into_output(),
        stderr,
    })
}

struct Capture(Vec<u8>);

impl Sink for Capture {
    type Finished = Vec<u8>;

    fn write(&mut self, data: &[u8]) -> io::Result<()> {
        if self.0.len() + data.len() > CAPTURE_LIMIT_BYTES {
            let message = format!("the command printed more than {CAPTURE_LIMIT_BYTES} bytes");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
        }
        self.0.extend_from_slice(data);
        Ok(())
    }

    fn finish(self) -> io::Result<Vec<u8>> {
        Ok(self.0)
    }
}
