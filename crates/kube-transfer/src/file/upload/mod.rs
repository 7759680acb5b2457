//! A local file, put into a pod whole or not at all, over as many connections as it takes.
//!
//! A large one is cut into pieces, which are brought at the same time (`pieces`). What follows is said of each of them, and of
//! a smaller file.
//!
//! What arrives is kept in `<path>.partial/`, a directory that only its owner can enter. A connection that breaks is opened
//! again: the pod says how much it has, and as far as its SHA-256 is that of the source, it is not sent again. So what is
//! left of another file is of no use and no danger, and an upload can be continued by another process, even from another
//! machine. Only one connection writes at a time; one that is given up, but does not know yet, is told to end.
//!
//! At the end the pod syncs the file and hashes all of it, and gives it its name once this side has compared. The room in
//! the volume is looked at before; when the volume fills up meanwhile, what has arrived is removed.
//!
//! On a line that breaks, what is sent twice is at most what was under way, and less than 64 KiB, each time.
//!
//! The container needs Linux with `/proc`, `sh`, `head`, `dd`, `stat`, `df`, `mkdir`, `chmod`, `mv`, `rm`, `cat`, `sleep`,
//! and `sha256sum` or `openssl`.

mod attempt;
mod dialogue;
mod error;
mod pieces;
mod source;

use tokio::time::sleep;
use transfer_proof::{Measured, Sha256Digest};

use super::{FileError, FileHandle, query};
use crate::{download::DownloadError, remote_command::RemoteCommand, retry::Retries, script};
use attempt::{Existing, Upload};
pub use error::UploadError;
use pieces::Brought;
pub use source::UploadSource;

/// What tells who writes what has arrived.
const PARTIAL: &str = concat!(include_str!("../../process.sh"), include_str!("partial.sh"));
const DISCARD: &str = include_str!("discard.sh");
/// The exit codes of our scripts.
const NOT_WRITTEN: i32 = 252;
const FOREIGN: i32 = 253;
const BUSY: i32 = 254;
/// An attempt that brought so much is worth another one.
const LEAST_BYTES: u64 = 1 << 20;

/// How a file is uploaded.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct UploadOptions {
    /// Whether a file of the same name is replaced.
    pub replace: bool,
    /// How many attempts in a row may fail and bring less than 1 MiB, before the upload is given up.
    pub retries: Retries,
    /// How many connections bring a file of more than two pieces at the same time, where it can be read from any place on,
    /// and the volume has room for 64 MiB beside it; 1 for one after the other.
    pub connections: usize,
    /// The smallest piece, in bytes: each costs a few round trips.
    pub least_piece_bytes: u64,
}

impl Default for UploadOptions {
    fn default() -> Self {
        Self {
            replace: false,
            retries: Retries::new(5),
            connections: 8,
            least_piece_bytes: 16 << 20,
        }
    }
}

impl UploadOptions {
    /// Also where there is a file of the same name, which is replaced.
    #[must_use]
    pub fn replacing(self) -> Self {
        Self {
            replace: true,
            ..self
        }
    }

    /// With so many retries.
    #[must_use]
    pub fn with_retries(self, retries: Retries) -> Self {
        Self { retries, ..self }
    }
}

/// What happens during an upload.
#[derive(Debug)]
#[non_exhaustive]
pub enum UploadEvent<'a> {
    /// What is there already is compared with the source.
    Comparing {
        /// How much.
        bytes: u64,
    },
    /// So much is there or on its way. Falls when the connection breaks.
    Progress {
        /// How much of the file.
        bytes: u64,
    },
    /// The connection broke, or the pod could not be asked, and it is tried again.
    Retrying {
        /// How many attempts have failed in a row.
        attempt: u32,
        /// Why.
        error: &'a UploadError,
    },
}

/// Proof of a complete upload: exists only when the pod has synced, hashed and named the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uploaded {
    bytes: u64,
    sha256: Sha256Digest,
    sent_bytes: u64,
}

impl Uploaded {
    /// How many bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Their SHA-256.
    pub fn sha256(&self) -> Sha256Digest {
        self.sha256
    }

    /// How much of it was sent: less where some was there, more where a connection broke.
    pub fn sent_bytes(&self) -> u64 {
        self.sent_bytes
    }
}

impl FileHandle {
    /// Puts `source` in its place, which its owner alone can read: whole or not at all.
    ///
    /// A connection that breaks is opened again, and what has arrived is not sent again, nor is it by a later call, also
    /// of another process: it stays in `<path>.partial/` until an upload is done, or
    /// [`discard_upload`](Self::discard_upload) removes it. A file with this very content that is there already counts as
    /// put in place. `observe` must be quick. Dropping the future ends the connection.
    pub async fn upload(
        &self,
        source: &UploadSource,
        options: &UploadOptions,
        observe: impl FnMut(UploadEvent<'_>),
    ) -> Result<Uploaded, UploadError> {
        upload(self, source, options, observe).await
    }

    /// Removes what an upload that was not finished has left in `<path>.partial/`. Does nothing when there is nothing;
    /// an upload that is still going on in the pod is not disturbed, and an error.
    pub async fn discard_upload(&self) -> Result<(), UploadError> {
        discard(self).await
    }
}

async fn upload(
    file: &FileHandle,
    source: &UploadSource,
    options: &UploadOptions,
    mut observe: impl FnMut(UploadEvent<'_>),
) -> Result<Uploaded, UploadError> {
    let existing = if options.replace {
        Existing::Replace
    } else {
        Existing::Keep
    };
    let brought = pieces::bring(file, source, options, &mut observe).await?;
    over_one_connection(file, source, options, existing, brought, observe).await
}

/// Brings what is missing over one connection after the other, and puts the file in its place.
async fn over_one_connection(
    file: &FileHandle,
    source: &UploadSource,
    options: &UploadOptions,
    existing: Existing,
    brought: Option<Brought>,
    mut observe: impl FnMut(UploadEvent<'_>),
) -> Result<Uploaded, UploadError> {
    let directory = directory_of(file)?;
    let (equal, sent) = brought
        .map(|brought| (brought.whole, brought.sent))
        .unwrap_or_default();
    let mut upload = Upload {
        file,
        source,
        existing,
        id: script::nonce(),
        // For pieces it was looked at beforehand.
        available: (existing == Existing::Piece).then_some(u64::MAX),
        equal,
        sent,
        confirmed: false,
    };
    let (mut failures, mut brought) = (0, upload.equal_bytes());
    loop {
        let result = attempt(&mut upload, directory, &mut observe).await;
        let error = match result {
            Ok(placed) => {
                return Ok(Uploaded {
                    bytes: placed.bytes(),
                    sha256: placed.sha256(),
                    sent_bytes: upload.sent,
                });
            }
            Err(error) => error,
        };
        // What is on its way when a connection breaks counts when the next one finds it.
        if upload.equal_bytes() >= brought + LEAST_BYTES {
            (failures, brought) = (0, upload.equal_bytes());
        }
        failures += 1;
        let pause = options.retries.pause_after(failures);
        let Some(pause) = pause.filter(|_| error.is_transient()) else {
            return Err(upload.last_error(error));
        };
        observe(UploadEvent::Retrying {
            attempt: failures,
            error: &error,
        });
        sleep(pause).await;
    }
}

async fn attempt(
    upload: &mut Upload<'_>,
    directory: &str,
    observe: &mut impl FnMut(UploadEvent<'_>),
) -> Result<Measured, UploadError> {
    if upload.available.is_none() {
        let room = query::space(&upload.file.pod, directory).await?;
        upload.available = Some(room.available);
    }
    upload.attempt(observe).await
}

async fn discard(file: &FileHandle) -> Result<(), UploadError> {
    directory_of(file)?;
    let command = script_of(DISCARD).arg(&file.path);
    match file.pod.run(&command).await {
        Ok(_) => Ok(()),
        Err(error) => Err(script_failed(&file.path, error)),
    }
}

/// A script that can tell who writes what has arrived.
fn script_of(text: &str) -> RemoteCommand {
    RemoteCommand::sent_script(&format!("{PARTIAL}{text}"))
}

/// Why one of our scripts that have exit codes failed.
fn script_failed(path: &str, error: DownloadError) -> UploadError {
    let path = path.to_owned();
    match error {
        DownloadError::Command { code: FOREIGN, .. } => UploadError::ForeignPartial { path },
        DownloadError::Command { code: BUSY, .. } => UploadError::Busy { path },
        DownloadError::Command {
            code: NOT_WRITTEN,
            stderr,
        } => UploadError::Failed {
            action: "write".to_owned(),
            said: stderr,
        },
        cause => FileError::from_program(&path, "sh", cause).into(),
    }
}

fn directory_of(file: &FileHandle) -> Result<&str, FileError> {
    let path = query::absolute(&file.path)?;
    match path.rsplit_once('/') {
        Some((_, "")) | None => Err(FileError::InvalidPath {
            path: path.to_owned(),
        }),
        Some(("", _)) => Ok("/"),
        Some((directory, _)) => Ok(directory),
    }
}
