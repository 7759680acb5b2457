//! Dumps on the volume become backup sets here.

mod key;
mod stream;
mod transfer;

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use backup_set::{
    AUTH_ENCRYPTION_FILE, BegunSet, ClusterRecord, CompletedFile, DUMP_FILE, DirectoryStore, Fault,
    FileRole, Manifest, Method, Origin, Place, SetWriter, Target, ToolRecord, Verdict,
    VerificationFailed, VolumeRecord, numbered_names, set_name,
};
use jiff::Timestamp;
use kube_transfer::file::Entry;
use serde::Serialize;
use serde_json::json;
use wa_common::assistant::{read_back, store_auth_encryption};
use wa_common::report::{Event, Reporter, RunningStep, Share, Steps, bytes, count, printable};

use crate::files;
use crate::remedy::{Remediable, Remedy};
use crate::volume::OpenVolume;
use transfer::arrived;

/// How dumps are fetched.
#[derive(Debug, Clone)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an option of its own"
)]
pub struct FetchOptions {
    /// What the manifests name as the tool.
    pub tool: ToolRecord,
    /// Whether to go on where an earlier fetch was broken off, as far as the file on the volume is still the same.
    pub resume: bool,
    /// How many streams read a file at the same time.
    pub streams: u8,
    /// How often a stream that brings nothing is opened again.
    pub retries: u32,
    /// Whether the dump's data blocks are read while it arrives; its size and SHA-256 are compared in any case.
    pub verify: bool,
    /// Whether what was stored is read back from there and compared, before the set is sealed.
    pub read_back: bool,
    /// Whether a dump is fetched also where its auth-encryption file cannot be read.
    pub without_key: bool,
}

impl FetchOptions {
    /// A long link caps each connection, and setting up takes a while: six streams are four times as fast as one.
    pub const DEFAULT_STREAMS: u8 = 6;
    /// How often a stream that brings nothing is opened again.
    pub const DEFAULT_RETRIES: u32 = 2;

    /// Verified sets with their keys, made by `tool`.
    pub fn new(tool: ToolRecord) -> Self {
        Self {
            tool,
            resume: false,
            streams: Self::DEFAULT_STREAMS,
            retries: Self::DEFAULT_RETRIES,
            verify: true,
            read_back: false,
            without_key: false,
        }
    }
}

/// What became of the dumps that were to be fetched.
#[derive(Debug)]
pub struct FetchOutcome {
    /// The sets that hold a dump now, or did so before.
    pub sets: Vec<FetchedSet>,
    /// One for each dump that could not be fetched.
    pub failures: Vec<anyhow::Error>,
}

/// A set that holds the dump.
#[derive(Debug, Serialize)]
pub struct FetchedSet {
    /// Where it is.
    pub path: PathBuf,
    /// False where it was there already.
    pub fetched: bool,
    #[serde(flatten)]
    /// What it holds.
    pub manifest: Manifest,
}

impl FetchedSet {
    /// Whether the dump was found intact.
    pub fn is_verified(&self) -> bool {
        self.manifest.verified_at.is_some()
    }

    /// Whether the dump may be intact, and that cannot be known.
    pub fn is_not_judged(&self) -> bool {
        self.manifest.not_judged.is_some()
    }

    /// The size of the set in bytes.
    pub fn bytes(&self) -> u64 {
        self.manifest.files().iter().map(|file| file.bytes).sum()
    }

    /// The file on the volume, fit to be shown.
    pub fn file(&self) -> String {
        let volume = self.manifest.volume.as_ref();
        volume.map_or_else(String::new, |volume| printable(&volume.file).into_owned())
    }
}

impl OpenVolume {
    /// Makes a set in the directory `to` of each of the `dumps`, one after the other: one that cannot be fetched does not
    /// keep the others from it. `files` are all that are on the volume, among them the dumps' keys. Refused as a whole where
    /// there is no room for all of them.
    pub async fn fetch(
        &self,
        files: &[Entry],
        dumps: &[Entry],
        to: &Path,
        options: &FetchOptions,
    ) -> anyhow::Result<FetchOutcome> {
        let steps = Steps::new(&*self.caller.reporter);
        let fetches = self.fetches(files, dumps, to, options, &steps);
        let needed = fetches.iter().map(Fetch::bytes_to_store).sum();
        require_room(dumps, needed, to, Target::look(to)?.available_bytes)?;
        let work = async {
            let (mut sets, mut failures) = (Vec::new(), Vec::new());
            for fetch in &fetches {
                match fetch.run().await {
                    Ok(set) => sets.push(set),
                    Err(error) => failures.push(error.context(format!("{:?}", fetch.shown))),
                }
            }
            Ok(FetchOutcome { sets, failures })
        };
        self.guard(work).await
    }

    fn fetches<'a>(
        &'a self,
        files: &'a [Entry],
        dumps: &'a [Entry],
        to: &'a Path,
        options: &'a FetchOptions,
        steps: &'a Steps<'a>,
    ) -> Vec<Fetch<'a>> {
        let of = dumps.iter().map(|dump| dump.version.bytes).sum();
        let mut before = 0;
        let keys_are_kept = files::any_has_key(files);
        let fetch = |dump: &'a Entry| {
            let overall = (dumps.len() > 1).then_some(Share { bytes: before, of });
            before += dump.version.bytes;
            Fetch {
                volume: self,
                to,
                options,
                steps,
                dump,
                key: files::key_of(dump, files),
                keys_are_kept,
                overall,
                shown: Arc::from(printable(&dump.name)),
            }
        };
        dumps.iter().map(fetch).collect()
    }
}

/// An error where the dumps need more room than there is.
fn require_room(dumps: &[Entry], needed: u64, to: &Path, available: u64) -> Result<(), Remediable> {
    if available >= needed {
        return Ok(());
    }
    let what = format!(
        "{} needs {} in {}, and only {} are free; nothing was fetched",
        count(dumps.len() as u64, "dump"),
        bytes(needed),
        to.display(),
        bytes(available)
    );
    Err(Remediable::new(what, Remedy::OtherDirectory))
}

/// One dump to be fetched.
struct Fetch<'a> {
    volume: &'a OpenVolume,
    to: &'a Path,
    options: &'a FetchOptions,
    steps: &'a Steps<'a>,
    dump: &'a Entry,
    /// The auth-encryption file that belongs to it.
    key: Option<&'a Entry>,
    /// Whether any dump on the volume has one.
    keys_are_kept: bool,
    /// How far all dumps together are, where there are several.
    overall: Option<Share>,
    /// The dump's name, fit to be shown.
    shown: Arc<str>,
}

/// Where a set belongs.
enum Destination {
    /// The name that it gets, and what else has the names before that one.
    Free {
        name: String,
        in_the_way: Vec<String>,
    },
    /// It is there already.
    Taken(Box<FetchedSet>),
}

impl Fetch<'_> {
    async fn run(&self) -> anyhow::Result<FetchedSet> {
        let started_at = Timestamp::now();
        if let Destination::Taken(set) = self.destination(self.key.is_some()) {
            return Ok(*set);
        }
        // First of all: a dump may take hours, and without its key would not be kept.
        let key = self.read_key().await?;
        let (name, in_the_way) = match self.destination(key.is_some()) {
            Destination::Taken(set) => return Ok(*set),
            Destination::Free { name, in_the_way } => (name, in_the_way),
        };
        for what in in_the_way {
            self.reporter().report(&Event::Warning {
                message: format!("{what}; it is left as it is, and the set is named {name}"),
            });
        }
        let mut set = SetWriter::resume_or_create(&DirectoryStore::new(self.to), &name)?;
        set.keep_data();
        let path = set.path(DUMP_FILE);
        let fetching = self.steps.begin("fetched", "");
        // While it arrives.
        let verifying = self.options.verify;
        let verifying = verifying.then(|| self.steps.begin("verified", ""));
        let fetched = match self.transfer(&path).await {
            Ok(fetched) => fetched,
            Err(error) => {
                let error = transfer::explain(error, set.location());
                return Err(self.volume.explain(error, self.dump).await);
            }
        };
        self.report_fetched(fetching, fetched.bytes(), &fetched.sha256().to_string());
        if let Some(Verdict::Failed(fault)) = fetched.output() {
            let error = Self::broken(&path, fault);
            fetched.discard()?;
            return Err(error);
        }
        let (_, verdict, proof) = fetched.save()?;
        self.report_verdict(verifying, verdict.as_ref());
        let dump = set.adopt(DUMP_FILE, FileRole::StoreDump, proof)?;
        self.seal(set, dump, key, started_at, verdict.as_ref())
    }

    /// Adds the encryption key, where there is one, reads everything back where that was asked for, and writes the manifest.
    fn seal<B: BegunSet>(
        &self,
        set: SetWriter<B>,
        dump: CompletedFile,
        key: Option<String>,
        started_at: Timestamp,
        verdict: Option<&Verdict>,
    ) -> anyhow::Result<FetchedSet> {
        let mut others = Vec::new();
        if let Some(yaml) = key {
            others.push(store_auth_encryption(&set, &yaml, self.steps)?);
        }
        if self.options.read_back {
            let files = std::iter::once(&dump).chain(&others);
            read_back(&set, files, self.steps, self.reporter())?;
        }
        let manifest = self.manifest(started_at, verdict);
        let (path, manifest) = set.seal(dump, others, manifest)?.into_parts();
        Ok(FetchedSet {
            path,
            fetched: true,
            manifest,
        })
    }

    fn report_fetched(&self, fetching: RunningStep<'_>, size: u64, sha256: &str) {
        fetching.done_with(
            format!(
                "{}, {}, SHA-256 {sha256}, as computed in the pod",
                self.shown,
                bytes(size)
            ),
            json!({"file": self.dump.name, "bytes": size, "sha256": sha256}),
        );
    }

    /// The dump that would be `path`, and was found broken.
    fn broken(path: &Path, fault: &Fault) -> anyhow::Error {
        let error = VerificationFailed::of_dump(path, fault);
        let what = "it arrived as it is on the volume, and is broken there; no backup was made";
        let remedy = Remediable::new(what, Remedy::WithoutVerification);
        anyhow::Error::new(error).context(remedy)
    }

    /// What it takes of the disk, beside what earlier pulls have left there.
    fn bytes_to_store(&self) -> u64 {
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
        let instance = &self.volume.discovery().instance;
        let time = files::modified(self.dump);
        let first = set_name(&instance.name, &instance.namespace, time);
        let mut in_the_way = Vec::new();
        let mut last = first.clone();
        for name in numbered_names(&first) {
            let directory = self.to.join(&name);
            match Place::look(&directory) {
                Place::Free | Place::Unfinished => return Destination::Free { name, in_the_way },
                Place::Set(manifest) if self.is_held_by(&directory, &manifest, with_key) => {
                    return Destination::Taken(Box::new(FetchedSet {
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
        let here = directory.join(DUMP_FILE).metadata();
        let has_key = || directory.join(AUTH_ENCRYPTION_FILE).exists();
        self.is_same_file(manifest)
            && here.is_ok_and(|found| found.len() == bytes)
            && (!with_key || has_key())
    }

    /// Whether the set was made of this file, and is as verified as this one is to be.
    fn is_same_file(&self, manifest: &Manifest) -> bool {
        let file = manifest.volume.as_ref().map(|volume| &volume.file);
        let judged = manifest.verified_at.is_some() || manifest.not_judged.is_some();
        (judged || !self.options.verify) && file == Some(&self.dump.name)
    }

    fn manifest(&self, started_at: Timestamp, verdict: Option<&Verdict>) -> Manifest {
        let (verified, not_judged) = match verdict {
            Some(Verdict::Intact(verified)) => (Some(&**verified), None),
            Some(Verdict::NotJudged(why)) => (None, Some(why.clone())),
            _ => (None, None),
        };
        let discovery = self.volume.discovery();
        let origin = Origin {
            tool: self.options.tool.clone(),
            cluster: ClusterRecord {
                server: self.volume.caller.cluster.server().to_owned(),
                context: self.volume.caller.cluster.context().map(str::to_owned),
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
            via: self.volume.via().name().to_owned(),
        });
        manifest
    }

    fn report_verdict(&self, verifying: Option<RunningStep<'_>>, verdict: Option<&Verdict>) {
        let warn = |message| self.reporter().report(&Event::Warning { message });
        match verdict {
            Some(Verdict::Intact(verified)) => {
                if let Some(step) = verifying {
                    step.done_with(verified.to_string(), verified.counts());
                }
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

    fn reporter(&self) -> &dyn Reporter {
        &*self.volume.caller.reporter
    }
}
