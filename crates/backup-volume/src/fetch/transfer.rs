//! The transfer of one dump from the volume: what is here already, retries, and the verification while it arrives.

use std::cell::Cell;
use std::fs::{self, Metadata};
use std::io;
use std::path::Path;
use std::sync::Arc;

use backup_set::{DUMP_FILE, Verdict, Verifier};
use kube_transfer::Sink;
use kube_transfer::file::{self, FetchError, FetchEvent, Fetched, Partial, PartialError};
use wa_common::cluster::RetryPolicy;
use wa_common::report::{Event, TransferProgress, bytes, causes_text};

use super::Fetch;
use crate::remedy::{Remediable, Remedy};

impl Fetch<'_> {
    /// Fetches the dump; where it arrived changed, fetches once more what differs.
    pub(super) async fn transfer(&self, path: &Path) -> Result<Fetched<Verification>, FetchError> {
        let resume = Cell::new(self.options.resume);
        let attempt = || {
            let resume = resume.replace(true);
            async move { self.attempt(path, resume).await }
        };
        let differs = |error: &FetchError| {
            matches!(error, FetchError::HashDiffers { .. }).then(|| error.to_string())
        };
        RetryPolicy::at_once(self.options.retries)
            .run("fetch", self.reporter(), differs, attempt)
            .await
    }

    async fn attempt(
        &self,
        path: &Path,
        resume: bool,
    ) -> Result<Fetched<Verification>, FetchError> {
        let partial = self.partial(path, resume)?;
        let sink = VerifyingSink::new(self.options.verify).map_err(FetchError::Sink)?;
        let options = file::FetchOptions::default()
            .with_streams(self.options.streams.into())
            .with_retries(RetryPolicy::connections(self.options.retries));
        let progress = TransferProgress::begin(
            self.reporter(),
            Arc::clone(&self.shown),
            Some(self.dump.version.bytes),
            self.overall,
        );
        let file = self.volume.file(self.dump);
        file.fetch(partial, sink, &options, |event| {
            self.report(&event, &progress);
        })
        .await
    }

    fn partial(&self, path: &Path, resume: bool) -> Result<Partial, PartialError> {
        let version = &self.dump.version;
        let held = if resume {
            Partial::resume(path, version)?
        } else {
            None
        };
        let Some(partial) = held else {
            if resume && path.parent().is_some_and(has_arrived) {
                self.reporter().report(&Event::Warning {
                    message: format!(
                        "nothing that is here of {} is of the file as it is on the volume now; it is fetched anew",
                        self.shown
                    ),
                });
            }
            return Partial::create(path, version);
        };
        self.reporter().report(&Event::Step {
            step: "resuming",
            detail: format!(
                "{} of {} are here",
                bytes(partial.held_bytes()),
                bytes(version.bytes)
            ),
        });
        Ok(partial)
    }

    fn report(&self, event: &FetchEvent<'_>, progress: &TransferProgress<'_>) {
        let warning = |message| Event::Warning { message };
        self.reporter().report(&match event {
            FetchEvent::Progress { bytes } => return progress.received(*bytes),
            FetchEvent::Comparing { bytes: held } => Event::Step {
                step: "comparing",
                detail: format!("{} that are here with the file on the volume", bytes(*held)),
            },
            FetchEvent::Retrying {
                stream,
                attempt,
                error,
            } => warning(format!(
                "stream {} broke: {}; attempt {attempt} of {} to open it again",
                stream + 1,
                causes_text(*error),
                self.options.retries
            )),
            FetchEvent::GivenUp { error } => warning(format!(
                "a stream was given up, the others go on: {}",
                causes_text(*error)
            )),
            FetchEvent::AskingAgain { error } => {
                warning(format!("{}; asking again", causes_text(*error)))
            }
            // What a newer version tells in addition.
            _ => return,
        });
    }
}

/// Says what is kept of a fetch that failed.
pub(super) fn explain(error: FetchError, set: &Path) -> anyhow::Error {
    let of_another = matches!(error, FetchError::Partial(PartialError::InUse { .. }));
    let error = anyhow::Error::new(error);
    if of_another {
        error.context("cannot fetch it")
    } else if has_arrived(set) {
        let what = format!(
            "cannot fetch it; what has arrived is kept in {}",
            set.display()
        );
        error.context(Remediable::new(what, Remedy::Resume))
    } else {
        error.context("cannot fetch it; nothing was kept")
    }
}

fn has_arrived(set: &Path) -> bool {
    arrived(set).is_ok_and(|found| found.len() > 0)
}

/// What an unfinished fetch has left in a set.
pub(super) fn arrived(set: &Path) -> io::Result<Metadata> {
    fs::metadata(set.join(format!("{DUMP_FILE}.partial")))
}

/// The verdict on the dump; `None` where that was declined.
pub(super) type Verification = Option<Verdict>;

/// Verifies a dump while it arrives; what it is written to is not its business.
pub(super) struct VerifyingSink(Option<Verifier>);

impl VerifyingSink {
    pub(super) fn new(verify: bool) -> io::Result<Self> {
        verify.then(Verifier::start).transpose().map(Self)
    }
}

impl Sink for VerifyingSink {
    type Finished = Verification;

    fn write(&mut self, data: &[u8]) -> io::Result<()> {
        if let Some(verifier) = &mut self.0 {
            verifier.feed(data);
        }
        Ok(())
    }

    fn finish(self) -> io::Result<Self::Finished> {
        self.0.map(Verifier::finish).transpose()
    }
}
