//! `copy`: a backup set, to another place.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use backup_places::BucketArgs;
use backup_set::{Copied, CopyError, CopyEvent, CopyOptions, DirectoryStore, copy_set};
use owo_colors::OwoColorize as _;
use serde::Serialize;
use tokio::task::spawn_blocking;
use wa_common::cli::{About, Context, Exit, Render, no_permissions};
use wa_common::report::{Reporter, Styles, TransferProgress, bytes, printable};

pub(super) const ABOUT: About = About {
    examples: &[
        "kubectl wa-backup copy latest s3://backups/wa",
        "kubectl wa-backup copy s3://backups/wa/latest wa-backups",
        "kubectl wa-backup copy 2026-11-27 /mnt/backups",
    ],
    changes: "nothing in the cluster; a set is made at the target",
    permissions: no_permissions,
};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Works without a cluster. What is stored is copied as it is, encrypted or not, and compared with the SHA-256 of the \
manifest on the way; the manifest comes last. A set that is there already is not copied again. What an interrupted copy has \
brought is compared, and not brought again: of a directory also the beginning of a file, of a bucket whole files."
)]
pub(super) struct Args {
    /// Directory or URL of a backup set, `latest`, `latest~N`, a day, or the beginning of a set's name
    #[arg(value_name = "SET")]
    set: PathBuf,

    /// Directory or bucket (s3://, gs://, az:// or obc://NAME/PREFIX) that the set is made in
    #[arg(value_name = "DIR")]
    to: PathBuf,

    /// Read what was stored back from there and compare, before the copy counts
    #[arg(long)]
    read_back: bool,

    #[command(flatten)]
    bucket: BucketArgs,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CopyReport {
    from: PathBuf,
    path: PathBuf,
    bytes: u64,
    was_there: bool,
    /// How much an interrupted copy had brought.
    kept_bytes: u64,
    read_back: bool,
}

pub(super) async fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let bucket = args.bucket.bucket([&args.set, &args.to], context)?;
    let from = bucket.resolve(&args.set)?;
    let set = bucket.set(&from)?;
    let target = bucket.store_to_write(&args.to, set.bytes(), context)?;
    let directory = DirectoryStore::new(&args.to);
    // On a thread of its own: a signal must be heard meanwhile.
    let reporter = Arc::clone(&context.reporter);
    let options = CopyOptions {
        read_back: args.read_back,
    };
    let copied = spawn_blocking(move || -> Result<Copied, CopyError> {
        let mut shown = Shown::new(&*reporter);
        let mut observe = |event: CopyEvent<'_>| shown.observe(event);
        match target {
            Some(store) => copy_set(&*set, &store, options, &mut observe),
            None => copy_set(&*set, &directory, options, &mut observe),
        }
    })
    .await??;
    context.print(&CopyReport {
        from,
        bytes: copied.manifest.files().iter().map(|file| file.bytes).sum(),
        path: copied.path,
        was_there: copied.was_there,
        kept_bytes: copied.kept_bytes,
        read_back: args.read_back && !copied.was_there,
    })?;
    Ok(Exit::Done)
}

/// How far each file is.
struct Shown<'a> {
    reporter: &'a dyn Reporter,
    /// What is shown of it, and how far that is.
    current: Option<(String, TransferProgress<'a>)>,
}

impl<'a> Shown<'a> {
    fn new(reporter: &'a dyn Reporter) -> Self {
        Self {
            reporter,
            current: None,
        }
    }

    fn observe(&mut self, event: CopyEvent<'_>) {
        let (name, bytes, of) = match event {
            CopyEvent::Copying { file, bytes, of } => (file.to_owned(), bytes, of),
            CopyEvent::Comparing { file, bytes, of } => (format!("{file}, compared"), bytes, of),
            _ => return,
        };
        if self
            .current
            .as_ref()
            .is_none_or(|(shown, _)| *shown != name)
        {
            let progress = TransferProgress::begin(self.reporter, name.clone(), Some(of), None);
            self.current = Some((name, progress));
        }
        if let Some((_, progress)) = &self.current {
            progress.received(bytes);
        }
    }
}

impl Render for CopyReport {
    fn human(&self, out: &mut dyn Write, styles: &Styles, _wide: bool) -> io::Result<()> {
        let path = self.path.display().to_string();
        let what = if self.was_there {
            "was there already, the same".to_owned()
        } else {
            let kept = match self.kept_bytes {
                0 => String::new(),
                kept => format!(", of which {} were there", bytes(kept)),
            };
            let read = if self.read_back { ", read back" } else { "" };
            format!(
                "copied, {}{kept}, as its manifest says{read}",
                bytes(self.bytes)
            )
        };
        writeln!(out, "{}: {}", printable(&path), what.style(styles.good))
    }

    fn names(&self) -> Vec<String> {
        vec![self.path.display().to_string()]
    }
}
