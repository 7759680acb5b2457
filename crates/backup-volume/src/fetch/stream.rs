//! Dumps into any store: as one stream, in order, of which nothing stays here. A line that breaks costs all of it.

use std::io::{self, Write as _};
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use backup_set::{
    BackupError, BegunSet, CatalogEntry, DUMP_FILE, FileRole, Manifest, PartialFile, SetError,
    SetState, SetWriter, Store, Verdict, catalog, numbered_names,
};
use jiff::Timestamp;
use kube_transfer::file::{Entry, FileError};
use kube_transfer::{Delivered, DownloadError, RemoteCommand, Sink};
use wa_common::cluster::RetryPolicy;
use wa_common::report::{Steps, TransferProgress, causes_text};

use super::transfer::{Verification, VerifyingSink};
use super::{Fetch, FetchOptions, FetchOutcome, FetchedSet, require_room};
use crate::files;
use crate::volume::OpenVolume;

impl OpenVolume {
    /// Makes a set in `store` of each of the `dumps`, as [`fetch`](Self::fetch) does in a directory; each is read as one
    /// stream, and nothing of it is kept on this machine.
    pub async fn fetch_into(
        &self,
        entries: &[Entry],
        dumps: &[Entry],
        store: &impl Store,
        options: &FetchOptions,
    ) -> anyhow::Result<FetchOutcome> {
        let steps = Steps::new(&*self.caller.reporter);
        let fetches = self.fetches(entries, dumps, store.location(), options, &steps);
        let held = held_in(store)?;
        if let Some(available) = store.available_bytes()? {
            let missing = fetches
                .iter()
                .filter(|fetch| fetch.among(&held, fetch.key.is_some()).is_none());
            let needed = missing
                .map(|fetch| store.stored_bytes(fetch.dump.version.bytes))
                .sum();
            require_room(dumps, needed, store.location(), available)?;
        }
        let work = async {
            let (mut sets, mut failures) = (Vec::new(), Vec::new());
            for fetch in &fetches {
                match fetch.run_into(store, &held).await {
                    Ok(set) => sets.push(set),
                    Err(error) => failures.push(error.context(format!("{:?}", fetch.shown))),
                }
            }
            Ok(FetchOutcome { sets, failures })
        };
        self.guard(work).await
    }
}

/// What is in the store. One that is not there yet holds nothing.
fn held_in(store: &impl Store) -> anyhow::Result<Vec<CatalogEntry>> {
    match catalog(store) {
        Err(BackupError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Ok(Vec::new())
        }
        listed => Ok(listed?),
    }
}

/// Why a stream did not become a file.
enum StreamError {
    /// It could not be begun.
    Set(anyhow::Error),
    /// It was not brought over.
    Transfer(DownloadError),
}

type Streamed<B> = Delivered<(PartialFile<B>, Verification)>;

impl Fetch<'_> {
    async fn run_into(
        &self,
        store: &impl Store,
        held: &[CatalogEntry],
    ) -> anyhow::Result<FetchedSet> {
        let started_at = Timestamp::now();
        if let Some(set) = self.among(held, self.key.is_some()) {
            return Ok(set);
        }
        // First of all: a dump may take hours, and without its key would not be kept.
        let key = self.read_key().await?;
        if let Some(set) = self.among(held, key.is_some()) {
            return Ok(set);
        }
        let set = SetWriter::create(store, &self.set_name())?;
        let fetching = self.steps.begin("fetched", "");
        // While it arrives.
        let verifying = self.options.verify;
        let verifying = verifying.then(|| self.steps.begin("verified", ""));
        let streamed = match self.stream(&set).await {
            Ok(streamed) => streamed,
            Err(StreamError::Set(error)) => return Err(error),
            Err(StreamError::Transfer(DownloadError::Sink(source))) => {
                return Err(SetError::writing(set.location(), source).into());
            }
            Err(StreamError::Transfer(error)) => {
                let error = anyhow::Error::new(error).context("cannot fetch it; nothing was kept");
                return Err(self.volume.explain(error, self.dump).await);
            }
        };
        self.require_unchanged(streamed.bytes()).await?;
        self.report_fetched(fetching, streamed.bytes(), &streamed.sha256().to_string());
        let ((file, verdict), proof) = streamed.into_parts();
        if let Some(Verdict::Failed(fault)) = &verdict {
            return Err(Self::broken(&set.location().join(DUMP_FILE), fault));
        }
        self.report_verdict(verifying, verdict.as_ref());
        let dump = file.complete(proof)?;
        self.seal(set, dump, key, started_at, verdict.as_ref())
    }

    async fn stream<B: BegunSet + 'static>(
        &self,
        set: &SetWriter<B>,
    ) -> Result<Streamed<B>, StreamError> {
        let file = self.volume.file(self.dump);
        let read = RemoteCommand::new("cat").arg(file.path());
        let attempt = async || {
            let sink = set
                .file(DUMP_FILE, FileRole::StoreDump)
                .map_err(anyhow::Error::from)
                .and_then(|file| {
                    let verifying = VerifyingSink::new(self.options.verify);
                    let verifying = verifying.context("cannot start the verification")?;
                    Ok(StreamSink { file, verifying })
                })
                .map_err(StreamError::Set)?;
            let shown = TransferProgress::begin(
                self.reporter(),
                Arc::clone(&self.shown),
                Some(self.dump.version.bytes),
                self.overall,
            );
            let progress = |bytes| shown.received(bytes);
            let download = file.pod().download(&read, sink, progress);
            download.await.map_err(StreamError::Transfer)
        };
        let passing = |error: &StreamError| match error {
            StreamError::Transfer(error) if error.is_transient() => Some(causes_text(error)),
            _ => None,
        };
        RetryPolicy::streams(self.options.retries)
            .run("fetch", self.reporter(), passing, attempt)
            .await
    }

    /// An error where somebody has written to the file while it was read.
    async fn require_unchanged(&self, received: u64) -> anyhow::Result<()> {
        let file = self.volume.file(self.dump);
        let passing = |error: &FileError| error.is_transient().then(|| causes_text(error));
        let now = RetryPolicy::reads(self.options.retries)
            .run("look", self.reporter(), passing, || file.stat())
            .await
            .context("cannot look at it again; nothing was kept")?;
        ensure!(
            now.version == self.dump.version && received == self.dump.version.bytes,
            "it was changed while it was fetched, and nothing was kept: fetch it when no backup runs"
        );
        Ok(())
    }

    /// The set that holds this dump already, as verified as this one is to be; one without the key does not count where
    /// this dump is to be kept `with_key`.
    fn among(&self, held: &[CatalogEntry], with_key: bool) -> Option<FetchedSet> {
        let first = self.set_name();
        let names: Vec<String> = numbered_names(&first).collect();
        held.iter().find_map(|entry| {
            let name = entry.path.file_name()?.to_str()?;
            let SetState::Complete(manifest) = &entry.state else {
                return None;
            };
            let is_it = names.iter().any(|one| one == name) && self.is_of(manifest, with_key);
            is_it.then(|| FetchedSet {
                path: entry.path.clone(),
                fetched: false,
                manifest: (**manifest).clone(),
            })
        })
    }

    fn is_of(&self, manifest: &Manifest, with_key: bool) -> bool {
        let files = manifest.files();
        let of_role = |role| files.iter().find(|file| file.role == role);
        let dump = of_role(FileRole::StoreDump);
        let has_size = dump.is_some_and(|dump| dump.plaintext_bytes() == self.dump.version.bytes);
        has_size
            && self.is_same_file(manifest)
            && (!with_key || of_role(FileRole::AuthEncryption).is_some())
    }

    fn set_name(&self) -> String {
        let instance = &self.volume.discovery().instance;
        let time = files::modified(self.dump);
        backup_set::set_name(&instance.name, &instance.namespace, time)
    }
}

/// Writes a dump into its file and verifies it meanwhile.
struct StreamSink<B: BegunSet> {
    file: PartialFile<B>,
    verifying: VerifyingSink,
}

impl<B: BegunSet + 'static> Sink for StreamSink<B> {
    type Finished = (PartialFile<B>, Verification);

    fn write(&mut self, data: &[u8]) -> io::Result<()> {
        self.file.write_all(data)?;
        self.verifying.write(data)
    }

    fn finish(self) -> io::Result<Self::Finished> {
        Ok((self.file, self.verifying.finish()?))
    }
}
