//! Taking a backup that everything is ready for: the dump, its verification, the set.

use std::cell::{Cell, RefCell};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use backup_set::{
    BegunSet, ClusterRecord, CompletedFile, DUMP_FILE, FileRole, Manifest, Method, Origin,
    PgDumpRecord, Purpose, SetError, SetWriter, Store, ToolRecord, set_name,
};
use jiff::Timestamp;
use kube_transfer::{Delivered, DownloadError, RemoteCommand};
use serde_json::json;
use tokio::time::Instant;
use wa_common::assistant::{PostgresPod, auth_encryption_yaml, read_back, store_auth_encryption};
use wa_common::cluster::{Cluster, RetryPolicy};
use wa_common::report::{
    Event, Reporter, RunningStep, Steps, TransferProgress, bytes, causes_text, count,
};

use crate::judged::{Judged, judged};
use crate::pg_dump::{self, DumpSink, Received};
use crate::preflight::Ready;
use crate::silence::{DEFAULT_SILENT_AFTER, SilenceWatch};

/// gzip at its fastest.
pub const DEFAULT_COMPRESSION: &str = "1";
/// How often a dump that the connection broke is begun again.
pub const DEFAULT_RETRIES: u32 = 2;

/// How a backup is taken.
#[derive(Debug, Clone)]
pub struct BackupOptions {
    /// What the manifest names as the tool.
    pub tool: ToolRecord,
    /// What the backup is made for.
    pub purpose: Purpose,
    /// What `pg_dump --compress` is given.
    pub compress: String,
    /// Whether the dump's data blocks are read while it arrives; its size and SHA-256 are compared in any case.
    pub verify: bool,
    /// Whether what was stored is read back from there and compared, before the set is sealed.
    pub read_back: bool,
    /// Whether what was written stays when the backup fails, for a look at it.
    pub keep_partial: bool,
    /// How often a dump that the connection broke is begun again.
    pub retries: u32,
    /// How long pg_dump may send nothing before what it waits for is looked up; `None` never does.
    pub silent_after: Option<Duration>,
}

impl BackupOptions {
    /// A verified backup to be kept, made by `tool`.
    pub fn new(tool: ToolRecord) -> Self {
        Self {
            tool,
            purpose: Purpose::Backup,
            compress: DEFAULT_COMPRESSION.to_owned(),
            verify: true,
            read_back: false,
            keep_partial: false,
            retries: DEFAULT_RETRIES,
            silent_after: Some(DEFAULT_SILENT_AFTER),
        }
    }
}

/// A backup set that was made.
#[derive(Debug)]
pub struct StoredBackup {
    /// Where it is.
    pub path: PathBuf,
    /// How long it took.
    pub took: Duration,
    /// What it holds.
    pub manifest: Manifest,
    /// The verdict on its dump.
    pub judged: Judged,
}

/// Why there is no dump.
enum DumpError {
    /// There is nothing to write it to.
    Sink(anyhow::Error),
    /// It did not arrive.
    Transfer(DownloadError),
    /// It is empty.
    Nothing,
}

/// One backup that everything is ready for.
pub struct Backup<'a> {
    cluster: &'a Cluster,
    reporter: &'a dyn Reporter,
    steps: &'a Steps<'a>,
    ready: &'a Ready,
    options: &'a BackupOptions,
    started_at: Timestamp,
}

impl<'a> Backup<'a> {
    /// A backup that begins now, with steps among `steps`; refused where the pod's `pg_dump` does not have the compression.
    pub fn new(
        cluster: &'a Cluster,
        reporter: &'a dyn Reporter,
        steps: &'a Steps<'a>,
        ready: &'a Ready,
        options: &'a BackupOptions,
    ) -> anyhow::Result<Self> {
        ready.versions.require_compression(&options.compress)?;
        Ok(Self {
            cluster,
            reporter,
            steps,
            ready,
            options,
            started_at: Timestamp::now(),
        })
    }

    /// The name of the set, where nothing else has it.
    pub fn set_name(&self) -> String {
        let instance = &self.ready.instance;
        set_name(&instance.name, &instance.namespace, self.started_at)
    }

    /// Makes a set in `store`, whole or not at all.
    pub async fn to_set(&self, store: &impl Store) -> anyhow::Result<StoredBackup> {
        let mut set = SetWriter::create(store, &self.set_name())?;
        if self.options.keep_partial {
            set.keep_partial();
        }
        let open = || Ok(set.file(DUMP_FILE, FileRole::StoreDump)?);
        let cannot_write = |source| SetError::writing(set.location(), source).into();
        let step = self.steps.begin(DUMP_FILE, "");
        let verifying = self.begin_verifying();
        let (delivered, pod) = self.download(open, |_| true, cannot_write).await?;
        arrived(step, delivered.bytes(), &delivered.sha256().to_string());
        let (received, proof) = delivered.into_parts();
        let (file, judged) = judged(received, &set.location().join(DUMP_FILE))?;
        self.report_verdict(verifying, &judged);
        let dump = file.complete(proof)?;
        let key = self.store_auth_encryption(&set)?;
        if self.options.read_back {
            let files = std::iter::once(&dump).chain(&key);
            read_back(&set, files, self.steps, self.reporter)?;
        }
        let mut manifest = self.manifest(pod.name, &judged);
        // Nothing depends on it that a backup should fail for.
        manifest.instance_uid = self.ready.instance.uid(self.cluster).await.ok().flatten();
        let sealed = set.seal(dump, key.into_iter().collect(), manifest)?;
        let (path, manifest) = sealed.into_parts();
        let took = Timestamp::now().duration_since(self.started_at);
        Ok(StoredBackup {
            path,
            took: Duration::try_from(took).unwrap_or_default(),
            manifest,
            judged,
        })
    }

    /// Writes the dump alone to what `open` opens, which messages call `name`. Only a dump of which nothing has arrived
    /// is begun again: another would be written after the first one's beginning.
    pub async fn to_stream<W: Write + Send + 'static>(
        &self,
        name: &str,
        open: impl Fn() -> anyhow::Result<W>,
    ) -> anyhow::Result<Judged> {
        let cannot_write =
            |source| anyhow::Error::new(source).context(format!("cannot write to {name}"));
        let step = self.steps.begin(DUMP_FILE, "");
        let verifying = self.begin_verifying();
        let (delivered, _) = self
            .download(open, |received| received == 0, cannot_write)
            .await
            .with_context(|| format!("what {name} has got is no backup: delete it"))?;
        arrived(step, delivered.bytes(), &delivered.sha256().to_string());
        let (_, judged) = judged(delivered.into_output(), Path::new(name))?;
        self.report_verdict(verifying, &judged);
        Ok(judged)
    }

    /// The dump, and the pod it came through. Begun again as often as allowed when the connection broke, or the pod
    /// went away, and `may_retry` (given how many bytes had arrived) says so.
    async fn download<W: Write + Send + 'static>(
        &self,
        open: impl Fn() -> anyhow::Result<W>,
        may_retry: impl Fn(u64) -> bool,
        cannot_write: impl Fn(io::Error) -> anyhow::Error,
    ) -> anyhow::Result<(Delivered<Received<W>>, PostgresPod)> {
        let command = pg_dump::pg_dump_command(&self.ready.datastore, &self.options.compress)?;
        let (pod, received) = (RefCell::new(self.ready.pod.clone()), Cell::new(0));
        let attempts = Cell::new(0_u32);
        let attempt = async || {
            if attempts.replace(attempts.get() + 1) > 0
                // Where none is Ready now, the attempt says so.
                && let Ok(found) = PostgresPod::find(
                    self.cluster,
                    &self.ready.instance,
                    Some(&self.ready.datastore),
                )
                .await
            {
                pod.replace(found);
            }
            let pod = pod.borrow().clone();
            received.set(0);
            let sink = open()
                .and_then(|out| {
                    DumpSink::new(out, self.options.verify).context("cannot start the verification")
                })
                .map_err(DumpError::Sink)?;
            match self.attempt(&pod, &command, sink, &received).await {
                // Nothing else would notice where verification was declined.
                Ok(delivered) if !self.options.verify && delivered.bytes() == 0 => {
                    Err(DumpError::Nothing)
                }
                attempt => attempt.map_err(DumpError::Transfer),
            }
        };
        let passing = |error: &DumpError| match error {
            DumpError::Transfer(error)
                if (error.is_transient() || error.pod_is_gone()) && may_retry(received.get()) =>
            {
                Some(causes_text(error))
            }
            _ => None,
        };
        let dumped = RetryPolicy::streams(self.options.retries)
            .run("dump", self.reporter, passing, attempt)
            .await;
        let pod = pod.into_inner();
        match dumped {
            Ok(delivered) => Ok((delivered, pod)),
            Err(DumpError::Sink(error)) => Err(error),
            Err(DumpError::Nothing) => bail!(
                "pg_dump wrote nothing, and yet reported success; no backup was kept: look at pg_dump in pod {}",
                pod.name
            ),
            Err(DumpError::Transfer(error)) => {
                let tried = match attempts.get() {
                    0 | 1 => String::new(),
                    more => format!(", after {}", count(more, "attempt")),
                };
                let error = match error {
                    DownloadError::Sink(source) => cannot_write(source),
                    error => error.into(),
                };
                Err(error.context(format!("the dump failed{tried}; no backup was kept")))
            }
        }
    }

    async fn attempt<W: Write + Send + 'static>(
        &self,
        pod: &PostgresPod,
        command: &RemoteCommand,
        sink: DumpSink<W>,
        received: &Cell<u64>,
    ) -> Result<Delivered<Received<W>>, DownloadError> {
        let shown = TransferProgress::begin(self.reporter, DUMP_FILE, None, None);
        let heard = Cell::new(Instant::now());
        let progress = |bytes| {
            received.set(bytes);
            heard.set(Instant::now());
            shown.received(bytes);
        };
        let handle = self.cluster.pod(&pod.container());
        let download = handle.download(command, sink, progress);
        let silence = SilenceWatch {
            cluster: self.cluster,
            target: pod.container(),
            datastore: &self.ready.datastore,
            reporter: self.reporter,
            heard: &heard,
            limit: self.options.silent_after,
        };
        tokio::select! {
            downloaded = download => downloaded,
            never = silence.watch() => match never {},
        }
    }

    fn store_auth_encryption<B: BegunSet>(
        &self,
        set: &SetWriter<B>,
    ) -> anyhow::Result<Option<CompletedFile>> {
        let Some(secret) = &self.ready.auth_encryption else {
            return Ok(None);
        };
        let yaml = auth_encryption_yaml(secret)?;
        let file = store_auth_encryption(set, &yaml, self.steps)?;
        Ok(Some(file))
    }

    fn manifest(&self, pod: String, judged: &Judged) -> Manifest {
        let origin = Origin {
            tool: self.options.tool.clone(),
            cluster: ClusterRecord {
                server: self.cluster.server().to_owned(),
                context: self.cluster.context().map(str::to_owned),
            },
            namespace: self.ready.instance.namespace.clone(),
            instance: self.ready.instance.name.clone(),
            method: Method::PgDump,
            started_at: self.started_at,
        };
        let mut manifest = Manifest::new(origin, judged.verified());
        manifest.purpose = self.options.purpose;
        manifest.release.clone_from(&self.ready.instance.release);
        manifest.not_judged = judged.reason().map(str::to_owned);
        manifest.pg_dump = PgDumpRecord {
            pod: Some(pod),
            version: Some(self.ready.versions.pg_dump.clone()),
            server_version: Some(self.ready.versions.server.clone()),
            database: Some(self.ready.datastore.database.clone()),
        };
        manifest
    }

    /// The dump is verified while it arrives, where that was not declined.
    fn begin_verifying(&self) -> Option<RunningStep<'a>> {
        let verify = self.options.verify;
        verify.then(|| self.steps.begin("verified", ""))
    }

    fn report_verdict(&self, verifying: Option<RunningStep<'_>>, judged: &Judged) {
        let warn = |message| self.reporter.report(&Event::Warning { message });
        match judged {
            Judged::Declined => {}
            Judged::Verified(verified) => {
                if let Some(step) = verifying {
                    step.done_with(verified.to_string(), verified.counts());
                }
                for remark in &verified.remarks {
                    warn(remark.to_string());
                }
            }
            Judged::Not(why) => warn(format!(
                "the dump arrived as the pod sent it, and is kept, but cannot be judged: {why}"
            )),
        }
    }
}

fn arrived(step: RunningStep<'_>, size: u64, sha256: &str) {
    step.done_with(
        format!("{}, SHA-256 {sha256}, as computed in the pod", bytes(size)),
        json!({"bytes": size, "sha256": sha256}),
    );
}
