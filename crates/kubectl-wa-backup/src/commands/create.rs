//! `create`: one verified backup.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal as _, Write, stdout};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use backup_set::{
    AUTH_ENCRYPTION_FILE, ClusterRecord, CompletedFile, DUMP_FILE, DirectoryStore, FileRole,
    Manifest, Method, NOT_IN_A_DUMP, Origin, PgDumpRecord, SetError, SetWriter, ToolRecord,
    set_name,
};
use jiff::Timestamp;
use kube_transfer::{Delivered, DownloadError, RemoteCommand};
use owo_colors::OwoColorize as _;
use serde::Serialize;
use serde_json::json;
use tokio::time::Instant;
use wa_common::assistant::{PostgresPod, auth_encryption_yaml, store_auth_encryption};
use wa_common::cli::{Context, DryRun, Exit, Render};
use wa_common::cluster::{Cluster, RetryPolicy};
use wa_common::report::{
    Event, RunningStep, Steps, Styles, TransferProgress, bytes, causes_text, count, elapsed,
};

use store_backup::dump::{self, DumpSink, Received};
use store_backup::judged::{Judged, judged};
use store_backup::key_file::KeyFile;
use store_backup::preflight::{self, Ready};
use store_backup::silence::SilenceWatch;

/// Where backups go unless told otherwise.
pub(super) const DEFAULT_DIRECTORY: &str = "./wa-backups";
const DEFAULT_RETRIES: u32 = 2;
/// gzip at its fastest.
const DEFAULT_COMPRESSION: &str = "1";

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Directory that the backup set is made in
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DIRECTORY)]
    to: PathBuf,

    /// Write only the dump, to standard output
    #[arg(long, conflicts_with_all = ["to", "keep_partial"])]
    stdout: bool,

    /// With --stdout, write the auth-encryption secret, without which restored data cannot be read, to this file
    #[arg(long, value_name = "FILE", requires = "stdout")]
    key_file: Option<PathBuf>,

    /// pg_dump's compression: none, a level 0-9; from PostgreSQL 16 also gzip, lz4 or zstd, with :LEVEL
    ///
    /// The default is faster than pg_dump's own, 6, which sets the pace of a backup, for a dump that is a few per cent
    /// larger. pg_restore and pgmig read all of them.
    #[arg(long, value_name = "METHOD", value_parser = parse_compression, default_value = DEFAULT_COMPRESSION)]
    compress: String,

    /// Look and say what would be done, but take no backup
    #[arg(long, value_name = "client|server", num_args = 0..=1, require_equals = true, default_missing_value = "client", hide_possible_values = true)]
    dry_run: Option<DryRun>,

    /// Do not read the dump's data blocks (its size and SHA-256 are compared all the same)
    #[arg(long)]
    no_verify: bool,

    /// Leave what was written when the backup fails, for a look at it
    #[arg(long)]
    keep_partial: bool,

    /// How often a dump that the connection broke is begun again
    #[arg(long, value_name = "N", default_value_t = DEFAULT_RETRIES)]
    retries: u32,
}

impl Default for Args {
    fn default() -> Self {
        Self {
            to: DEFAULT_DIRECTORY.into(),
            stdout: false,
            key_file: None,
            compress: DEFAULT_COMPRESSION.to_owned(),
            dry_run: None,
            no_verify: false,
            keep_partial: false,
            retries: DEFAULT_RETRIES,
        }
    }
}

pub(super) async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    if args.stdout && stdout().is_terminal() {
        bail!(
            "refusing to write a binary dump to the terminal; redirect standard output to a file or a program"
        );
    }
    let steps = Steps::new(&*context.reporter);
    let looks = steps.begin("preflight", "");
    let cluster = context.connect()?;
    let mut preflight = preflight::run(&cluster, context.global.instance.as_deref()).await;
    if !args.stdout {
        preflight.target(&args.to);
    }
    for message in preflight.warnings() {
        context.reporter.report(&Event::Warning { message });
    }
    let checks = preflight.checks.len() as u64;
    let ready = preflight.ready()?;
    ready.versions.require_compression(&args.compress)?;
    let backup = Backup {
        args: &args,
        context,
        cluster: &cluster,
        ready: &ready,
        started_at: Timestamp::now(),
        steps,
    };
    let release = ready.instance.release.as_deref().unwrap_or("unknown");
    looks.done_with(
        format!(
            "{} passed: {} in {}, release {release}",
            count(checks, "check"),
            ready.instance.name,
            ready.instance.namespace
        ),
        json!({"checks": checks, "instance": ready.instance.name, "namespace": ready.instance.namespace, "release": ready.instance.release}),
    );
    backup.step(
        "pg_dump",
        format!("{} through pod {}", ready.versions, ready.pod.name),
    );

    if args.dry_run.is_some_and(DryRun::is_on) {
        return backup.describe();
    }
    if args.stdout {
        backup.to_stdout().await
    } else {
        backup.to_set().await
    }
}

fn parse_compression(text: &str) -> Result<String, String> {
    let (method, level) = text.split_once(':').unwrap_or((text, ""));
    let known = match method {
        "none" => level.is_empty(),
        "gzip" | "lz4" | "zstd" => {
            level.is_empty() && !text.ends_with(':') || level.parse::<u8>().is_ok()
        }
        digits => level.is_empty() && digits.parse::<u8>().is_ok_and(|level| level <= 9),
    };
    known.then(|| text.to_owned()).ok_or_else(|| {
        "expected none, a level from 0 to 9, or gzip, lz4 or zstd with an optional :LEVEL"
            .to_owned()
    })
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
struct Backup<'a> {
    args: &'a Args,
    context: &'a Context,
    cluster: &'a Cluster,
    ready: &'a Ready,
    started_at: Timestamp,
    steps: Steps<'a>,
}

impl Backup<'_> {
    fn set_name(&self) -> String {
        set_name(
            &self.ready.instance.name,
            &self.ready.instance.namespace,
            self.started_at,
        )
    }

    fn step(&self, step: &'static str, detail: String) {
        self.context.reporter.report(&Event::Step { step, detail });
    }

    fn describe(&self) -> anyhow::Result<Exit> {
        let path = self.args.to.join(self.set_name());
        let mut files = vec![DUMP_FILE];
        let has_key = self.ready.auth_encryption.is_some();
        let in_set = has_key && !self.args.stdout;
        files.extend(in_set.then_some(AUTH_ENCRYPTION_FILE));
        self.context.print(&Plan {
            path: (!self.args.stdout).then_some(path),
            key_file: self.args.key_file.clone().filter(|_| has_key),
            files,
            database_bytes: self.ready.versions.database_bytes,
        })?;
        Ok(Exit::Done)
    }

    async fn to_stdout(&self) -> anyhow::Result<Exit> {
        // First of all: a dump may take hours, and without its key would not be kept.
        let key_file = self.key_file()?;
        // A retry would write a second beginning behind the first.
        let open = || {
            // Not through std's own buffer, which looks for line ends.
            let out = stdout().as_fd().try_clone_to_owned()?;
            let out = BufWriter::with_capacity(128 * 1024, File::from(out));
            DumpSink::new(out, !self.args.no_verify).context("cannot start the verification")
        };
        let dump = self.steps.begin(DUMP_FILE, "");
        let (delivered, _) = self
            .download(open, |received| received == 0)
            .await
            .context("what standard output has got is no backup: delete it")?;
        let (bytes, sha256) = (delivered.bytes(), delivered.sha256());
        arrived(dump, bytes, &sha256.to_string());
        let (_, judged) = judged(delivered.into_output(), Path::new("standard output"))?;
        self.say(&judged);
        if let Some(key_file) = key_file {
            key_file.save()?;
        }
        if let (Some(path), Some(_)) = (&self.args.key_file, &self.ready.auth_encryption) {
            let what = "needed to read restored data: keep it secret";
            self.step(
                AUTH_ENCRYPTION_FILE,
                format!("in {}, {what}", path.display()),
            );
        }
        self.step("not in it", NOT_IN_A_DUMP.to_owned());
        Ok(judged.exit())
    }

    /// The file that the auth-encryption secret is written to; `None` where nothing is to be written, which is told
    /// where restored data will need that secret.
    fn key_file(&self) -> anyhow::Result<Option<KeyFile>> {
        let warn = |message: String| self.context.reporter.report(&Event::Warning { message });
        match (&self.args.key_file, &self.ready.auth_encryption) {
            (Some(path), Some(secret)) => KeyFile::create(path, &auth_encryption_yaml(secret)?),
            (Some(path), None) => {
                warn(format!(
                    "this release has no auth-encryption secret: {} is not written",
                    path.display()
                ));
                Ok(None)
            }
            (None, Some(secret)) => {
                warn(format!(
                    "standard output gets the dump alone, and restored data cannot be read without the secret {}: write it too with --key-file FILE",
                    secret.metadata.name.as_deref().unwrap_or_default()
                ));
                Ok(None)
            }
            (None, None) => Ok(None),
        }
    }

    async fn to_set(&self) -> anyhow::Result<Exit> {
        let mut set = SetWriter::create(&DirectoryStore::new(&self.args.to), &self.set_name())?;
        if self.args.keep_partial {
            set.keep_partial();
        }
        let open = || {
            let file = set.file(DUMP_FILE, FileRole::StoreDump)?;
            DumpSink::new(file, !self.args.no_verify).context("cannot start the verification")
        };
        let dump = self.steps.begin(DUMP_FILE, "");
        let (delivered, pod) = self.download(open, |_| true).await?;
        arrived(dump, delivered.bytes(), &delivered.sha256().to_string());
        let (received, proof) = delivered.into_parts();
        let (file, judged) = judged(received, &set.location().join(DUMP_FILE))?;
        self.say(&judged);
        let dump = file.complete(proof)?;
        let key = self.store_auth_encryption(&set)?;
        let manifest = self.manifest(pod.name, &judged);
        let sealed = set.seal(dump, key.into_iter().collect(), manifest)?;
        let (path, manifest) = sealed.into_parts();
        let took = Duration::try_from(Timestamp::now().duration_since(self.started_at))
            .unwrap_or_default();
        self.context.print(&Created {
            path,
            took,
            not_included: [NOT_IN_A_DUMP],
            manifest,
        })?;
        Ok(judged.exit())
    }

    /// The dump, and the pod it came through. Begun again as often as allowed when the connection broke, or the pod
    /// went away, and `may_retry` (told how many bytes had arrived) says so.
    async fn download<W: Write + Send + 'static>(
        &self,
        open: impl Fn() -> anyhow::Result<DumpSink<W>>,
        may_retry: impl Fn(u64) -> bool,
    ) -> anyhow::Result<(Delivered<Received<W>>, PostgresPod)> {
        let command = dump::pg_dump_command(&self.ready.datastore, &self.args.compress)?;
        let (pod, received) = (RefCell::new(self.ready.pod.clone()), Cell::new(0));
        let attempts = Cell::new(0_u32);
        let attempt = async || {
            if attempts.replace(attempts.get() + 1) > 0
                // Where none is Ready now, the attempt says so.
                && let Ok(found) = PostgresPod::find(self.cluster, &self.ready.instance).await
            {
                pod.replace(found);
            }
            let pod = pod.borrow().clone();
            received.set(0);
            let sink = open().map_err(DumpError::Sink)?;
            match self.attempt(&pod, &command, sink, &received).await {
                // Nothing else would notice where verification was declined.
                Ok(delivered) if self.args.no_verify && delivered.bytes() == 0 => {
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
        let dumped = RetryPolicy::streams(self.args.retries)
            .run("dump", &*self.context.reporter, passing, attempt)
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
                Err(self
                    .explain(error)
                    .context(format!("the dump failed{tried}; no backup was kept")))
            }
        }
    }

    /// Names the file, and what can be done, where this side's disk was the trouble.
    fn explain(&self, error: DownloadError) -> anyhow::Error {
        match error {
            DownloadError::Sink(source) if self.args.stdout => {
                anyhow::Error::new(source).context("cannot write to standard output")
            }
            DownloadError::Sink(source) => {
                SetError::writing(&self.args.to.join(self.set_name()), source).into()
            }
            error => error.into(),
        }
    }

    async fn attempt<W: Write + Send + 'static>(
        &self,
        pod: &PostgresPod,
        command: &RemoteCommand,
        sink: DumpSink<W>,
        received: &Cell<u64>,
    ) -> Result<Delivered<Received<W>>, DownloadError> {
        let shown = TransferProgress::begin(&*self.context.reporter, DUMP_FILE, None, None);
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
            reporter: &*self.context.reporter,
            heard: &heard,
        };
        tokio::select! {
            downloaded = download => downloaded,
            never = silence.watch() => match never {},
        }
    }

    fn store_auth_encryption(&self, set: &SetWriter) -> anyhow::Result<Option<CompletedFile>> {
        let Some(secret) = &self.ready.auth_encryption else {
            return Ok(None);
        };
        let yaml = auth_encryption_yaml(secret)?;
        let file = store_auth_encryption(set, &yaml, &*self.context.reporter)?;
        Ok(Some(file))
    }

    fn manifest(&self, pod: String, judged: &Judged) -> Manifest {
        let origin = Origin {
            tool: ToolRecord {
                name: env!("CARGO_PKG_NAME").to_owned(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
            },
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

    fn say(&self, judged: &Judged) {
        match judged {
            Judged::Declined => {}
            Judged::Verified(verified) => {
                self.step("verified", verified.to_string());
                for remark in &verified.remarks {
                    let message = remark.to_string();
                    self.context.reporter.report(&Event::Warning { message });
                }
            }
            Judged::Not(why) => self.context.reporter.report(&Event::Warning {
                message: format!(
                    "the dump arrived as the pod sent it, and is kept, but cannot be judged: {why}"
                ),
            }),
        }
    }
}

fn arrived(dump: RunningStep<'_>, size: u64, sha256: &str) {
    dump.done_with(
        format!("{}, SHA-256 {sha256}, as computed in the pod", bytes(size)),
        json!({"bytes": size, "sha256": sha256}),
    );
}

/// What `--dry-run` prints.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Plan {
    path: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_file: Option<PathBuf>,
    files: Vec<&'static str>,
    database_bytes: u64,
}

impl Render for Plan {
    fn human(&self, out: &mut dyn Write, _styles: &Styles, _wide: bool) -> io::Result<()> {
        let size = bytes(self.database_bytes);
        let Some(path) = &self.path else {
            let key = self.key_file.as_ref();
            let key =
                key.map(|path| format!(", and the auth-encryption secret to {}", path.display()));
            return writeln!(
                out,
                "{DUMP_FILE} would be written to standard output{} (database: {size}) (dry run)",
                key.unwrap_or_default()
            );
        };
        writeln!(
            out,
            "backup {} would be created: {} (database: {size}) (dry run)",
            path.display(),
            self.files.join(", ")
        )
    }

    fn names(&self) -> Vec<String> {
        self.path
            .iter()
            .map(|path| path.display().to_string())
            .collect()
    }
}

/// What a finished backup prints.
#[derive(Serialize)]
struct Created {
    path: PathBuf,
    #[serde(skip)]
    took: Duration,
    #[serde(rename = "notIncluded")]
    not_included: [&'static str; 1],
    #[serde(flatten)]
    manifest: Manifest,
}

impl Render for Created {
    fn human(&self, out: &mut dyn Write, styles: &Styles, _wide: bool) -> io::Result<()> {
        let size = self.manifest.files().iter().map(|file| file.bytes).sum();
        let verified = if self.manifest.verified_at.is_some() {
            "verified"
        } else if self.manifest.not_judged.is_some() {
            "not judged"
        } else {
            "not verified"
        };
        writeln!(
            out,
            "backup {} {}: {}, {verified}, in {}",
            self.path.display(),
            "created".style(styles.good),
            bytes(size),
            elapsed(self.took)
        )?;
        for what in self.not_included {
            writeln!(out, "{}", what.style(styles.faint))?;
        }
        Ok(())
    }

    fn names(&self) -> Vec<String> {
        vec![self.path.display().to_string()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compressions_are_checked_before_anything_runs() {
        for good in ["none", "0", "9", "gzip", "gzip:9", "lz4", "zstd:12"] {
            assert_eq!(parse_compression(good).as_deref(), Ok(good));
        }
        for bad in [
            "",
            "10",
            "none:1",
            "bzip2",
            "gzip:",
            "gzip:x",
            "9; rm -rf /",
        ] {
            assert!(parse_compression(bad).is_err(), "{bad}");
        }
    }
}
