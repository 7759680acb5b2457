//! One dump on the volume becomes a backup set here.

use std::cell::Cell;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use backup_set::{
    AUTH_ENCRYPTION_FILE, ClusterRecord, DUMP_FILE, DirectoryStore, FileRole, Manifest, Method,
    Origin, Place, SetWriter, ToolRecord, Verdict, VerificationFailed, Verifier, VolumeRecord,
    numbered_names, set_name,
};
use jiff::Timestamp;
use kube_transfer::file::{
    Entry, FetchError, FetchEvent, FetchOptions, Fetched, Partial, PartialError,
};
use kube_transfer::{DownloadError, RemoteCommand, Sink};
use serde::Serialize;
use wa_common::assistant::{auth_encryption_yaml, read_auth_encryption, store_auth_encryption};
use wa_common::cli::Context;
use wa_common::cluster::RetryPolicy;
use wa_common::report::{
    Event, Share, TransferProgress, bytes, causes_text, error_text, printable,
};

use crate::files;
use crate::volume::OpenVolume;

/// How to fetch.
#[derive(Debug, clap::Args)]
pub struct FetchArgs {
    /// Go on where an earlier pull was broken off, as far as the file on the volume is still the same
    #[arg(long)]
    resume: bool,

    /// How many streams read a file at the same time
    // A long link caps each connection, and setting up takes a while: six streams are four times as fast as one.
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u8).range(1..=32))]
    streams: u8,

    /// How often a stream that brings nothing is opened again
    #[arg(long, value_name = "N", default_value_t = 2)]
    retries: u32,

    /// Do not read the dump's data blocks (its size and SHA-256 are compared all the same)
    #[arg(long)]
    no_verify: bool,

    /// Fetch a dump also where its auth-encryption file cannot be read; restored data cannot be read without that key
    #[arg(long)]
    without_key: bool,
}

/// One dump to be fetched.
pub struct Fetch<'a> {
    pub context: &'a Context,
    pub volume: &'a OpenVolume,
    pub to: &'a Path,
    pub args: &'a FetchArgs,
    /// What the manifest names as the tool.
    pub tool: ToolRecord,
    pub dump: &'a Entry,
    /// The auth-encryption file that belongs to it.
    pub key: Option<&'a Entry>,
    /// Whether any dump on the volume has one.
    pub keys_are_kept: bool,
    /// How far all dumps together are, where there are several.
    pub overall: Option<Share>,
    /// The dump's name, fit to be shown.
    pub shown: Arc<str>,
}

/// A set that holds the dump.
#[derive(Serialize)]
pub struct Pulled {
    pub path: PathBuf,
    /// False where it was there already.
    pub fetched: bool,
    #[serde(flatten)]
    manifest: Manifest,
}

impl Pulled {
    pub fn is_verified(&self) -> bool {
        self.manifest.verified_at.is_some()
    }

    /// Whether the dump may be intact, and that cannot be told.
    pub fn is_not_judged(&self) -> bool {
        self.manifest.not_judged.is_some()
    }

    pub fn bytes(&self) -> u64 {
        self.manifest.files().iter().map(|file| file.bytes).sum()
    }

    /// The file on the volume.
    pub fn file(&self) -> String {
        let volume = self.manifest.volume.as_ref();
        volume.map_or_else(String::new, |volume| printable(&volume.file).into_owned())
    }
}

/// Where a set belongs.
enum Destination {
    /// The name that it gets, and what else has the names before that one.
    Free {
        name: String,
        in_the_way: Vec<String>,
    },
    /// It is there already.
    Taken(Box<Pulled>),
}

impl Fetch<'_> {
    pub async fn run(&self) -> anyhow::Result<Pulled> {
        let started_at = Timestamp::now();
        if let Destination::Taken(pulled) = self.destination(self.key.is_some()) {
            return Ok(*pulled);
        }
        // First of all: a dump may take hours, and without its key would not be kept.
        let key = self.read_key().await?;
        let (name, in_the_way) = match self.destination(key.is_some()) {
            Destination::Taken(pulled) => return Ok(*pulled),
            Destination::Free { name, in_the_way } => (name, in_the_way),
        };
        for what in in_the_way {
            self.context.reporter.report(&Event::Warning {
                message: format!("{what}; it is left as it is, and the set is named {name}"),
            });
        }
        let mut set = SetWriter::resume_or_create(&DirectoryStore::new(self.to), &name)?;
        set.keep_data();
        let path = set.path(DUMP_FILE);
        let fetched = match self.fetch(&path).await {
            Ok(fetched) => fetched,
            Err(error) => {
                let error = explain(error, set.location());
                return Err(self.volume.explain(error, self.dump).await);
            }
        };
        self.step(
            "fetched",
            format!(
                "{}, {}, SHA-256 {}, as computed in the pod",
                self.shown,
                bytes(fetched.bytes()),
                fetched.sha256()
            ),
        );
        if let Some(Verdict::Failed(fault)) = fetched.output() {
            let error = VerificationFailed::of_dump(&path, fault);
            fetched.discard()?;
            return Err(anyhow::Error::new(error).context("it arrived as it is on the volume, and is broken there; no backup was made (--no-verify makes one all the same)"));
        }
        let (_, verdict, proof) = fetched.save()?;
        self.say(verdict.as_ref());
        let dump = set.adopt(DUMP_FILE, FileRole::StoreDump, proof)?;
        let mut others = Vec::new();
        if let Some(yaml) = key {
            others.push(store_auth_encryption(&set, &yaml, &*self.context.reporter)?);
        }
        let manifest = self.manifest(started_at, verdict.as_ref());
        let (path, manifest) = set.seal(dump, others, manifest)?.into_parts();
        Ok(Pulled {
            path,
            fetched: true,
            manifest,
        })
    }

    /// What it takes of the disk, beside what earlier pulls have left there.
    pub fn bytes_to_store(&self) -> u64 {
        let bytes = self.dump.version.bytes;
        match self.destination(self.key.is_some()) {
            Destination::Taken(_) => 0,
            Destination::Free { name, .. } => {
                let arrived = arrived(&self.to.join(name));
                let here = arrived.map_or(0, |found| found.blocks() * 512);
                bytes.saturating_sub(here)
            }
        }
    }

    /// Where the set belongs: it is named after the time of the dump, and numbered where that name has another's. A set
    /// without the key is another's where this dump is to be kept `with_key`.
    fn destination(&self, with_key: bool) -> Destination {
        let instance = &self.volume.discovery.instance;
        let time = files::modified(self.dump);
        let first = set_name(&instance.name, &instance.namespace, time);
        let mut in_the_way = Vec::new();
        let mut last = first.clone();
        for name in numbered_names(&first) {
            let directory = self.to.join(&name);
            match Place::look(&directory) {
                Place::Free | Place::Unfinished => return Destination::Free { name, in_the_way },
                Place::Set(manifest) if self.is_held_by(&directory, &manifest, with_key) => {
                    return Destination::Taken(Box::new(Pulled {
                        path: directory,
                        fetched: false,
                        manifest: *manifest,
                    }));
                }
                // Another dump's.
                Place::Set(_) => {}
                Place::InTheWay { what } => {
                    in_the_way.push(format!("{} {what}", directory.display()));
                }
            }
            last = name;
        }
        // Refused where the set is to be made.
        let name = last;
        Destination::Free { name, in_the_way }
    }

    /// Whether the set holds this dump, from an earlier pull, and as verified as this one is to be.
    fn is_held_by(&self, directory: &Path, manifest: &Manifest, with_key: bool) -> bool {
        let bytes = self.dump.version.bytes;
        let file = manifest.volume.as_ref().map(|volume| &volume.file);
        let here = directory.join(DUMP_FILE).metadata();
        let judged = manifest.verified_at.is_some() || manifest.not_judged.is_some();
        let verified = judged || self.args.no_verify;
        let has_key = || directory.join(AUTH_ENCRYPTION_FILE).exists();
        verified
            && file == Some(&self.dump.name)
            && here.is_ok_and(|found| found.len() == bytes)
            && (!with_key || has_key())
    }

    /// Fetches the dump; where it arrived changed, fetches once more what differs.
    async fn fetch(&self, path: &Path) -> Result<Fetched<Verification>, FetchError> {
        let resume = Cell::new(self.args.resume);
        let attempt = || {
            let resume = resume.replace(true);
            async move { self.attempt(path, resume).await }
        };
        let differs = |error: &FetchError| {
            matches!(error, FetchError::HashDiffers { .. }).then(|| error.to_string())
        };
        RetryPolicy::at_once(self.args.retries)
            .run("fetch", &*self.context.reporter, differs, attempt)
            .await
    }

    async fn attempt(
        &self,
        path: &Path,
        resume: bool,
    ) -> Result<Fetched<Verification>, FetchError> {
        let partial = self.partial(path, resume)?;
        let sink = Check::new(!self.args.no_verify).map_err(FetchError::Sink)?;
        let options = FetchOptions {
            streams: self.args.streams.into(),
            retries: self.args.retries,
            ..FetchOptions::default()
        };
        let progress = TransferProgress::begin(
            &*self.context.reporter,
            Arc::clone(&self.shown),
            Some(self.dump.version.bytes),
            self.overall,
        );
        let file = self.volume.file(self.dump);
        file.fetch(partial, sink, &options, |event| {
            self.tell(&event, &progress);
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
                self.context.reporter.report(&Event::Warning {
                    message: format!(
                        "nothing that is here of {} is of the file as it is on the volume now; it is fetched anew",
                        self.shown
                    ),
                });
            }
            return Partial::create(path, version);
        };
        self.step(
            "resuming",
            format!(
                "{} of {} are here",
                bytes(partial.held_bytes()),
                bytes(version.bytes)
            ),
        );
        Ok(partial)
    }

    fn tell(&self, event: &FetchEvent<'_>, progress: &TransferProgress<'_>) {
        let warning = |message| Event::Warning { message };
        self.context.reporter.report(&match event {
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
                self.args.retries
            )),
            FetchEvent::GivenUp { error } => warning(format!(
                "a stream was given up, the others go on: {}",
                causes_text(*error)
            )),
            FetchEvent::AskingAgain { error } => {
                warning(format!("{}; asking again", causes_text(*error)))
            }
        });
    }

    /// The auth-encryption file of the dump, where there is one of use. A dump without it is still a dump: what is wrong
    /// with its content is only told. One that cannot be read now may be the key all the same, and is an error.
    async fn read_key(&self) -> anyhow::Result<Option<String>> {
        let Some(key) = self.key else {
            if self.keys_are_kept {
                self.warn_of_no_key(&format!(
                    "on the volume there is one for other dumps, and none for {}",
                    self.shown
                ));
            }
            return Ok(None);
        };
        let yaml = match self.content(key).await {
            Ok(content) => {
                read_auth_encryption(&content).and_then(|secret| auth_encryption_yaml(&secret))
            }
            // It is larger than any Secret.
            Err(error @ DownloadError::Sink(_)) => Err(error.into()),
            Err(error) if self.args.without_key => Err(error.into()),
            Err(error) => {
                let error = anyhow::Error::new(error).context(format!(
                    "cannot read its auth-encryption file {:?}, without which restored data cannot be read; it was not fetched (--without-key fetches the dump alone)",
                    key.name
                ));
                return Err(self.volume.explain(error, key).await);
            }
        };
        Ok(yaml
            .map_err(|error| {
                let why = error_text(&error);
                self.warn_of_no_key(&format!("{:?} cannot be used: {why}", key.name));
            })
            .ok())
    }

    fn warn_of_no_key(&self, why: &str) {
        self.context.reporter.report(&Event::Warning {
            message: format!(
                "the set has no {AUTH_ENCRYPTION_FILE}, without which restored data cannot be read: {why}"
            ),
        });
    }

    /// The content of a small file on the volume.
    async fn content(&self, entry: &Entry) -> Result<Vec<u8>, DownloadError> {
        let file = self.volume.file(entry);
        let read = RemoteCommand::new("cat").arg(file.path());
        let attempt = || file.pod().run(&read);
        let passing = |error: &DownloadError| error.is_transient().then(|| causes_text(error));
        let read = RetryPolicy::reads(self.args.retries)
            .run(
                AUTH_ENCRYPTION_FILE,
                &*self.context.reporter,
                passing,
                attempt,
            )
            .await?;
        Ok(read.stdout)
    }

    fn manifest(&self, started_at: Timestamp, verdict: Option<&Verdict>) -> Manifest {
        let (verified, not_judged) = match verdict {
            Some(Verdict::Intact(verified)) => (Some(&**verified), None),
            Some(Verdict::NotJudged(why)) => (None, Some(why.clone())),
            _ => (None, None),
        };
        let discovery = &self.volume.discovery;
        let origin = Origin {
            tool: self.tool.clone(),
            cluster: ClusterRecord {
                server: self.volume.cluster.server().to_owned(),
                context: self.volume.cluster.context().map(str::to_owned),
            },
            namespace: discovery.instance.namespace.clone(),
            instance: discovery.instance.name.clone(),
            method: Method::Volume,
            started_at,
        };
        let mut manifest = Manifest::new(origin, verified);
        manifest.not_judged = not_judged;
        // Today's: the volume does not tell which one it was that night.
        manifest.release.clone_from(&discovery.instance.release);
        manifest.volume = Some(VolumeRecord {
            claim: discovery.claim_name(),
            file: self.dump.name.clone(),
            modified: files::modified(self.dump),
            via: self.volume.access.via.name().to_owned(),
        });
        manifest
    }

    fn say(&self, verdict: Option<&Verdict>) {
        let warn = |message| self.context.reporter.report(&Event::Warning { message });
        match verdict {
            Some(Verdict::Intact(verified)) => {
                self.step("verified", verified.to_string());
                for remark in &verified.remarks {
                    warn(format!("{}: {remark}", self.shown));
                }
            }
            Some(Verdict::NotJudged(why)) => warn(format!(
                "{} is kept, but cannot be judged: {why}",
                self.shown
            )),
            Some(Verdict::Unread(why)) => {
                warn(format!(
                    "{} is kept, but was not verified: {why}",
                    self.shown
                ));
            }
            Some(Verdict::Failed(_)) | None => {}
        }
    }

    fn step(&self, step: &'static str, detail: String) {
        self.context.reporter.report(&Event::Step { step, detail });
    }
}

/// Says what is kept of a fetch that failed.
fn explain(error: FetchError, set: &Path) -> anyhow::Error {
    let of_another = matches!(error, FetchError::Partial(PartialError::InUse { .. }));
    let error = anyhow::Error::new(error);
    if of_another {
        error.context("cannot fetch it")
    } else if has_arrived(set) {
        error.context(format!(
            "cannot fetch it; what has arrived is kept in {}, to go on with --resume",
            set.display()
        ))
    } else {
        error.context("cannot fetch it; nothing was kept")
    }
}

fn has_arrived(set: &Path) -> bool {
    arrived(set).is_ok_and(|found| found.len() > 0)
}

/// What an unfinished fetch has left in a set.
fn arrived(set: &Path) -> io::Result<Metadata> {
    fs::metadata(set.join(format!("{DUMP_FILE}.partial")))
}

/// The verdict on the dump; `None` where that was declined.
type Verification = Option<Verdict>;

/// Verifies a dump while it arrives; what it is written to is not its business.
struct Check(Option<Verifier>);

impl Check {
    fn new(verify: bool) -> io::Result<Self> {
        verify.then(Verifier::start).transpose().map(Self)
    }
}

impl Sink for Check {
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
