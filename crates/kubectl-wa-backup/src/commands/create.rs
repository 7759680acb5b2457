//! `create`: one verified backup.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal as _, Write, stdout};
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use backup_places::{Bucket, BucketArgs, Way};
use backup_set::{
    AUTH_ENCRYPTION_FILE, DUMP_FILE, DirectoryStore, EncryptedStore, FileRecord, Manifest,
    NOT_IN_A_DUMP, Recipients, Store, ToolRecord, VerificationFailed,
};
use owo_colors::OwoColorize as _;
use serde::Serialize;
use store_backup::{
    Backup, BackupOptions, COMMANDS, DEFAULT_COMPRESSION, DEFAULT_RETRIES, DEFAULT_SILENT_AFTER,
    KeyFile, Ready, StoredBackup, prepare,
};
use wa_common::assistant::auth_encryption_yaml;
use wa_common::cli::{About, Candidate, Context, DryRun, Exit, Render, TimeLimit, access_of};
use wa_common::report::{Event, Steps, Styles, bytes, elapsed};

/// Where backups go unless told otherwise.
pub(super) const DEFAULT_DIRECTORY: &str = "./wa-backups";
/// How long pg_dump may send nothing before that is explained; tests do not wait so long as is usual.
const SILENT_AFTER_VARIABLE: &str = "KUBECTL_WA_SILENT_AFTER";

pub(super) const ABOUT: About = About {
    examples: &[
        "kubectl wa-backup create",
        "kubectl wa-backup create -n cpd -i wa --to /mnt/backups",
        "kubectl wa-backup create --encrypt-to age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa",
        "kubectl wa-backup create --to s3://backups/wa --encrypt-to age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa",
        "kubectl wa-backup create --to obc://wa-backups --encrypt-to age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa",
        "kubectl wa-backup create --dry-run",
        "kubectl wa-backup create --stdout --key-file key.yaml > store.dump",
        "set -o pipefail; kubectl wa-backup create --stdout | age -r KEY > dump.age",
    ],
    changes: "nothing in the cluster; pg_dump reads the database. Here, a new directory is made in that of --to",
    permissions: || access_of(&COMMANDS, "create"),
};

#[derive(Debug, clap::Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an option of its own"
)]
pub(super) struct Args {
    /// Directory or bucket (s3://, gs://, az:// or obc://NAME/PREFIX) that the backup set is made in
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DIRECTORY)]
    to: PathBuf,

    // Not a struct of their own, flattened in here: without a command's name, clap then takes none of these options as given.
    /// Encrypt to this key of age (age1…) or SSH (ssh-ed25519 …); repeatable
    #[arg(long, value_name = "RECIPIENT")]
    encrypt_to: Vec<String>,

    /// Encrypt to the keys in this file, one a line; repeatable
    #[arg(long, value_name = "FILE")]
    recipients_file: Vec<PathBuf>,

    /// Trust the certificates in this file too, for object storage (for s3:// and obc:// also AWS_CA_BUNDLE)
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    ca_file: Option<PathBuf>,

    /// Reach the bucket of obc:// this way alone: direct, route or port-forward
    #[arg(
        long,
        value_name = "WAY",
        hide_possible_values = true,
        hide_short_help = true
    )]
    bucket_via: Option<Way>,

    /// Write only the dump, to standard output
    #[arg(long, conflicts_with_all = ["to", "keep_partial", "encrypt_to", "recipients_file"])]
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

    /// Read what was stored back from there and compare, before the backup counts
    #[arg(long, conflicts_with = "stdout")]
    read_back: bool,

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
            encrypt_to: Vec::new(),
            recipients_file: Vec::new(),
            ca_file: None,
            bucket_via: None,
            stdout: false,
            key_file: None,
            compress: DEFAULT_COMPRESSION.to_owned(),
            dry_run: None,
            no_verify: false,
            read_back: false,
            keep_partial: false,
            retries: DEFAULT_RETRIES,
        }
    }
}

impl Args {
    fn options(&self) -> BackupOptions {
        let tool = ToolRecord {
            name: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        BackupOptions {
            compress: self.compress.clone(),
            verify: !self.no_verify,
            read_back: self.read_back,
            keep_partial: self.keep_partial,
            retries: self.retries,
            silent_after: silent_after(),
            ..BackupOptions::new(tool)
        }
    }
}

fn silent_after() -> Option<Duration> {
    let given = std::env::var(SILENT_AFTER_VARIABLE).ok();
    let given = given.and_then(|text| text.parse().ok());
    let TimeLimit(limit) = given.unwrap_or(TimeLimit(Some(DEFAULT_SILENT_AFTER)));
    limit
}

pub(super) async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    if args.stdout && stdout().is_terminal() {
        bail!(
            "refusing to write a binary dump to the terminal; redirect standard output to a file or a program"
        );
    }
    let recipients = Recipients::read(&args.encrypt_to, &args.recipients_file)?;
    let bucket = BucketArgs::new(args.ca_file.clone()).via(args.bucket_via);
    let bucket = bucket.bucket([&args.to], context)?;
    let cluster = context.connect()?;
    let instance = context.global.instance.as_deref();
    let is_here = !args.stdout && !bucket.look(&args.to)?;
    let directory = is_here.then_some(&*args.to);
    let steps = Steps::new(&*context.reporter);
    let ready = prepare(&cluster, &*context.reporter, &steps, instance, directory).await?;
    let options = args.options();
    let backup = Backup::new(&cluster, &*context.reporter, &steps, &ready, &options)?;
    if args.dry_run.is_some_and(DryRun::is_on) {
        context.print(&BackupPlan::new(
            &args,
            &ready,
            &backup,
            recipients.is_some(),
        ))?;
        return Ok(Exit::Done);
    }
    let done = if args.stdout {
        to_stdout(&args, context, &ready, &backup).await
    } else {
        to_set(
            &args,
            context,
            &backup,
            recipients,
            &bucket,
            ready.versions.database_bytes,
        )
        .await
    };
    done.map_err(advise)
}

/// Says how a dump that is broken where it is made can be had all the same.
fn advise(error: anyhow::Error) -> anyhow::Error {
    let is_broken = error
        .chain()
        .any(<dyn std::error::Error>::is::<VerificationFailed>);
    if is_broken {
        return error.context("no backup was kept (--no-verify keeps one unverified)");
    }
    error
}

async fn to_set(
    args: &Args,
    context: &Context,
    backup: &Backup<'_>,
    recipients: Option<Recipients>,
    bucket: &Bucket,
    database_bytes: u64,
) -> anyhow::Result<Exit> {
    let stored = match bucket.store_to_write(&args.to, database_bytes, context)? {
        Some(store) => in_store(backup, store, recipients).await?,
        None => in_store(backup, DirectoryStore::new(&args.to), recipients).await?,
    };
    let exit = stored.judged.exit();
    context.print(&Created {
        path: stored.path,
        took: stored.took,
        not_included: [NOT_IN_A_DUMP],
        manifest: stored.manifest,
    })?;
    Ok(exit)
}

async fn in_store(
    backup: &Backup<'_>,
    store: impl Store,
    recipients: Option<Recipients>,
) -> anyhow::Result<StoredBackup> {
    match recipients {
        Some(recipients) => backup.to_set(&EncryptedStore::new(store, recipients)).await,
        None => backup.to_set(&store).await,
    }
}

async fn to_stdout(
    args: &Args,
    context: &Context,
    ready: &Ready,
    backup: &Backup<'_>,
) -> anyhow::Result<Exit> {
    // First of all: a dump may take hours, and without its key would not be kept.
    let key_file = key_file(args, context, ready)?;
    let open = || {
        // Not through std's own buffer, which looks for line ends.
        let out = stdout().as_fd().try_clone_to_owned()?;
        Ok(BufWriter::with_capacity(128 * 1024, File::from(out)))
    };
    let judged = backup.to_stream("standard output", open).await?;
    if let Some(key_file) = key_file {
        key_file.save()?;
    }
    let step = |step, detail| context.reporter.report(&Event::Step { step, detail });
    if let (Some(path), Some(_)) = (&args.key_file, &ready.auth_encryption) {
        let what = "needed to read restored data: keep it secret";
        step(
            AUTH_ENCRYPTION_FILE,
            format!("in {}, {what}", path.display()),
        );
    }
    step("not in it", NOT_IN_A_DUMP.to_owned());
    Ok(judged.exit())
}

/// The file that the auth-encryption secret is written to; `None` where nothing is to be written, which is said where
/// restored data will need that secret.
fn key_file(args: &Args, context: &Context, ready: &Ready) -> anyhow::Result<Option<KeyFile>> {
    let warn = |message: String| context.reporter.report(&Event::Warning { message });
    match (&args.key_file, &ready.auth_encryption) {
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

/// What to choose from, the usual ones first.
pub(super) fn compressions() -> Vec<Candidate> {
    [
        ("1", "gzip, fast: the default"),
        ("none", "nothing is compressed"),
        ("6", "gzip, pg_dump's own default"),
        ("9", "gzip, smallest"),
        ("gzip", "from PostgreSQL 16"),
        ("lz4", "from PostgreSQL 16"),
        ("zstd", "from PostgreSQL 16"),
    ]
    .into_iter()
    .map(|(method, help)| Candidate::new(method).help(help))
    .collect()
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

/// What `--dry-run` prints.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BackupPlan {
    path: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_file: Option<PathBuf>,
    files: Vec<String>,
    database_bytes: u64,
}

impl BackupPlan {
    fn new(args: &Args, ready: &Ready, backup: &Backup<'_>, is_encrypted: bool) -> Self {
        let mut files = vec![DUMP_FILE];
        let has_key = ready.auth_encryption.is_some();
        let in_set = has_key && !args.stdout;
        files.extend(in_set.then_some(AUTH_ENCRYPTION_FILE));
        Self {
            path: (!args.stdout).then(|| args.to.join(backup.set_name())),
            key_file: args.key_file.clone().filter(|_| has_key),
            files: files
                .into_iter()
                .map(|name| {
                    if is_encrypted {
                        format!("{name}.age")
                    } else {
                        name.to_owned()
                    }
                })
                .collect(),
            database_bytes: ready.versions.database_bytes,
        }
    }
}

impl Render for BackupPlan {
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
        let is_encrypted = self.manifest.files().iter().any(FileRecord::is_encrypted);
        let encrypted = if is_encrypted { ", encrypted" } else { "" };
        writeln!(
            out,
            "backup {} {}: {}, {verified}{encrypted}, in {}",
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
        for offered in compressions() {
            assert!(parse_compression(offered.value()).is_ok(), "{offered:?}");
        }
        assert_eq!(compressions()[0].value(), DEFAULT_COMPRESSION);
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
