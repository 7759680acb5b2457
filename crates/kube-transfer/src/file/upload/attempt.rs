//! One attempt to bring over what the pod does not have yet.

use std::io;

use transfer_proof::{Hasher, Measured};

use super::{
    UploadError, UploadEvent, UploadSource,
    dialogue::{Answer, Dialogue, unreadable},
};
use crate::{Sha256Digest, file::FileHandle};

/// Parts are compared in blocks of `dd`.
const BLOCK_BYTES: u64 = 64 << 10;
/// What is compared at once: what differs is sent again from the beginning of such a part.
const COMPARED_BYTES: u64 = 64 << 20;
/// What must stay free: file systems need some for themselves, and others write too.
pub(super) const MARGIN_BYTES: u64 = 16 << 20;

/// What becomes of a file of the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Existing {
    /// It stays, and is an error unless it is this one.
    Keep,
    /// It is replaced.
    Replace,
    /// As [`Self::Replace`], for a file that soon becomes part of another: it is not synced.
    Piece,
}

impl Existing {
    /// As the script calls it.
    fn word(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Replace => "replace",
            Self::Piece => "piece",
        }
    }
}

/// What is known of an upload from one attempt to the next.
pub(super) struct Upload<'a> {
    pub(super) file: &'a FileHandle,
    pub(super) source: &'a UploadSource,
    pub(super) existing: Existing,
    /// Tells this upload's connections from those of another.
    pub(super) id: String,
    /// Free in the pod before anything was sent.
    pub(super) available: Option<u64>,
    /// Of the beginning of the source, which the pod is known to have.
    pub(super) equal: Hasher,
    /// How much data was handed to connections in all.
    pub(super) sent: u64,
    /// Whether the pod was told to put the file in its place.
    pub(super) confirmed: bool,
}

impl Upload<'_> {
    /// Brings over what is missing; returns what is in its place.
    pub(super) async fn attempt(
        &mut self,
        observe: &mut impl FnMut(UploadEvent<'_>),
    ) -> Result<Measured, UploadError> {
        let arguments = [
            self.source.bytes().to_string(),
            self.id.clone(),
            self.existing.word().to_owned(),
            BLOCK_BYTES.to_string(),
        ];
        let mut pod = Dialogue::start(self.file, arguments).await?;
        let Answer::Have { bytes, placed } = pod.answer(0).await? else {
            return Err(unreadable("no word of what is there"));
        };
        if placed && let Some(placed) = self.accept(&mut pod, observe).await? {
            return Ok(placed);
        }
        self.compare(&mut pod, bytes, observe).await?;
        self.require_unchanged()?;
        self.require_space()?;
        let computed = self.send(&mut pod, observe).await?;
        let Answer::Written(reported) = pod.answer(self.source.bytes()).await? else {
            return Err(unreadable("no word of what was written"));
        };
        if computed.sha256() != reported {
            // Somewhere before what was sent now: all of it has to be compared.
            self.equal = Hasher::default();
            return Err(UploadError::HashDiffers {
                reported,
                computed: computed.sha256(),
            });
        }
        self.require_unchanged()?;
        self.confirmed = true;
        pod.confirm().await;
        done(pod.answer(0).await?)?;
        Ok(computed)
    }

    /// Takes the file that is in its place already, when it is this one.
    async fn accept(
        &mut self,
        pod: &mut Dialogue<'_>,
        observe: &mut impl FnMut(UploadEvent<'_>),
    ) -> Result<Option<Measured>, UploadError> {
        let bytes = self.source.bytes();
        observe(UploadEvent::Comparing { bytes });
        pod.say("placed").await;
        let (here, whole) = pod
            .while_alive(self.source.hash(0..bytes, Hasher::default()))
            .await
            .map_err(|error| self.unread(error))?;
        if here == hash(pod.answer(bytes).await?)? {
            self.require_unchanged()?;
            pod.say("accept").await;
            done(pod.answer(0).await?)?;
            return Ok(Some(whole.measured()));
        }
        if self.existing != Existing::Keep {
            return Ok(None);
        }
        Err(UploadError::Exists {
            path: self.file.path.clone(),
        })
    }

    /// Finds out how much of the `bytes` that the pod has is the beginning of the source.
    async fn compare(
        &mut self,
        pod: &mut Dialogue<'_>,
        bytes: u64,
        observe: &mut impl FnMut(UploadEvent<'_>),
    ) -> Result<(), UploadError> {
        let mut there = bytes.min(self.source.bytes());
        if bytes != self.source.bytes() {
            there -= there % BLOCK_BYTES;
        }
        if there < self.equal_bytes() {
            self.equal = Hasher::default();
        }
        if self.equal_bytes() < there {
            let bytes = there - self.equal_bytes();
            observe(UploadEvent::Comparing { bytes });
        }
        while self.equal_bytes() < there {
            let start = self.equal_bytes();
            let end = there.min(start + COMPARED_BYTES);
            let (skip, count) = (start / BLOCK_BYTES, (end - start).div_ceil(BLOCK_BYTES));
            pod.say(&format!("hash {skip} {count}")).await;
            let (here, continued) = pod
                .while_alive(self.source.hash(start..end, self.equal.clone()))
                .await
                .map_err(|error| self.unread(error))?;
            if here != hash(pod.answer(end - start).await?)? {
                break;
            }
            self.equal = continued;
        }
        Ok(())
    }

    /// Sends what is missing; returns the size and hash of the whole.
    async fn send(
        &mut self,
        pod: &mut Dialogue<'_>,
        observe: &mut impl FnMut(UploadEvent<'_>),
    ) -> Result<Measured, UploadError> {
        let kept = self.equal_bytes();
        pod.say(&format!("take {kept}")).await;
        observe(UploadEvent::Progress { bytes: kept });
        let stdin = pod.stdin();
        let (mut chunks, reading) = self.source.rest(self.equal.clone());
        while let Some(chunk) = chunks.recv().await {
            let sent = pod.send(&stdin, &chunk).await;
            if sent.is_ok() {
                self.sent += chunk.len() as u64;
            }
            sent?;
            let bytes = kept + pod.sent();
            observe(UploadEvent::Progress { bytes });
        }
        let whole = reading
            .await
            .map_err(io::Error::other)
            .and_then(|read| read)
            .map_err(|error| self.unread(error))?;
        pod.end_of_data().await;
        Ok(whole.measured())
    }

    /// How much of the beginning of the source the pod is known to have.
    pub(super) fn equal_bytes(&self) -> u64 {
        self.equal.measured().bytes()
    }

    /// The error for the caller, when no further attempt is made.
    pub(super) fn last_error(&self, error: UploadError) -> UploadError {
        match error {
            UploadError::Stream(cause) if self.confirmed => UploadError::Unconfirmed {
                path: self.file.path.clone(),
                cause,
            },
            error => error,
        }
    }

    /// Before anything is sent, whether what is missing has room in the pod.
    fn require_space(&self) -> Result<(), UploadError> {
        let missing = self.source.bytes() - self.equal_bytes();
        let needed = missing.saturating_add(MARGIN_BYTES);
        match self.available {
            Some(available) if self.sent == 0 && missing > 0 && available < needed => {
                Err(UploadError::NoSpace {
                    path: self.file.path.clone(),
                    needed,
                    available,
                })
            }
            _ => Ok(()),
        }
    }

    fn require_unchanged(&self) -> Result<(), UploadError> {
        match self.source.is_unchanged() {
            Ok(true) => Ok(()),
            Ok(false) => Err(UploadError::SourceChanged),
            Err(error) => Err(UploadError::Source(error)),
        }
    }

    /// A source that became shorter cannot be read either.
    fn unread(&self, error: io::Error) -> UploadError {
        match self.source.is_unchanged() {
            Ok(false) => UploadError::SourceChanged,
            _ => UploadError::Source(error),
        }
    }
}

fn hash(answer: Answer) -> Result<Sha256Digest, UploadError> {
    match answer {
        Answer::Hash(digest) => Ok(digest),
        answer => Err(unreadable(&format!("{answer:?} for a hash"))),
    }
}

fn done(answer: Answer) -> Result<(), UploadError> {
    match answer {
        Answer::Done => Ok(()),
        answer => Err(unreadable(&format!("{answer:?} at the end"))),
    }
}
