//! `list`: the files on the volume.

use std::io::{self, Write};

use backup_volume::permissions::COMMANDS;
use backup_volume::{AccessMethod, Entry, FileKind, KeptAs, modified};
use jiff::Timestamp;
use serde::Serialize;
use wa_common::assistant::{BackupCronJob, Retention};
use wa_common::cli::{About, Context, Exit, Render, access_of};
use wa_common::report::{Styles, age, bytes};

use super::access::{self, AccessArgs, find};

pub(super) const ABOUT: About = About {
    examples: &[
        "kubectl wa-pvc list",
        "kubectl wa-pvc list -n cpd --via snapshot -o name",
    ],
    changes: access::CHANGES,
    permissions: || access_of(&COMMANDS, "list"),
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    access: AccessArgs,
}

pub(super) async fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let volume = find(&args.access, context).await?.open().await?;
    let cron_job = volume.discovery().cron_job.as_ref();
    let retention = cron_job.and_then(BackupCronJob::retention);
    let mut entries = volume.guard(volume.files()).await?;
    entries.sort_by(|a, b| {
        let newest_first = b.version.modified.cmp(&a.version.modified);
        newest_first.then_with(|| b.name.cmp(&a.name))
    });
    let listing = ListReport {
        claim: volume.discovery().claim_name(),
        via: volume.via(),
        files: entries
            .into_iter()
            .map(|entry| File::new(entry, retention))
            .collect(),
        now: Timestamp::now(),
    };
    context.print(&listing)?;
    Ok(Exit::Done)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ListReport {
    claim: String,
    via: AccessMethod,
    files: Vec<File>,
    #[serde(skip)]
    now: Timestamp,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct File {
    name: String,
    kind: FileKind,
    bytes: u64,
    modified: Timestamp,
    /// What retention counts a dump as; absent where its name or the CronJob does not tell.
    kept_as: Option<KeptAs>,
}

impl File {
    fn new(entry: Entry, retention: Option<Retention>) -> Self {
        let kind = FileKind::from_entry(&entry);
        let kept_as = retention
            .filter(|_| kind == FileKind::Dump)
            .and_then(|retention| KeptAs::from_name(&entry.name, retention));
        Self {
            kind,
            kept_as,
            bytes: entry.version.bytes,
            modified: modified(&entry),
            name: entry.name,
        }
    }
}

impl Render for ListReport {
    fn human(&self, out: &mut dyn Write, styles: &Styles, wide: bool) -> io::Result<()> {
        if self.files.is_empty() {
            return writeln!(out, "No files on the volume of claim {}.", self.claim);
        }
        let rows = self.files.iter().map(|file| {
            let mut row = vec![
                file.name.clone(),
                bytes(file.bytes),
                age(file.modified, self.now),
                file.kept_as.map_or("-", KeptAs::name).to_owned(),
            ];
            if wide {
                row.push(file.kind.name().to_owned());
                row.push(file.bytes.to_string());
                row.push(file.modified.strftime("%Y-%m-%d %H:%M:%SZ").to_string());
            }
            row
        });
        let mut header = vec!["NAME", "SIZE", "AGE", "KEPT AS"];
        header.extend(
            wide.then_some(["KIND", "BYTES", "MODIFIED"])
                .into_iter()
                .flatten(),
        );
        writeln!(out, "{}", styles.table(&header, rows))
    }

    fn names(&self) -> Vec<String> {
        self.files.iter().map(|file| file.name.clone()).collect()
    }
}
