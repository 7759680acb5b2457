//! `inspect`: what is in a backup.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use backup_places::{Bucket, BucketArgs};
use backup_set::{
    Backup, BackupError, Identities, Manifest, NOT_IN_A_DUMP, Rehearsal, ServiceInstance,
    TableRecord,
};
use owo_colors::OwoColorize as _;
use serde::Serialize;
use tokio::task::spawn_blocking;
use wa_common::cli::{About, Context, Exit, KeyArgs, Render, no_permissions};
use wa_common::report::{Styles, bytes, count, printable, short_digest};

use super::rows::{self, RowsArgs};
use super::several::{OtherVerdict, Several, resolved};

pub(super) const ABOUT: About = About {
    examples: &[
        "kubectl wa-backup inspect wa-backups/*",
        "kubectl wa-backup inspect SET --rows workspace --where workspace_id=ID -o json",
        "kubectl wa-backup inspect SET --rows public.tenant > tenants.csv",
    ],
    changes: "nothing",
    permissions: no_permissions,
};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Works without a cluster. The dump is read from end to end: what is shown is what is in it.

With --rows the rows of one table are printed, without PostgreSQL: a deleted skill is got back by hand without a restore."
)]
pub(super) struct Args {
    /// Directories or URLs of backup sets, dump files, `latest`, `latest~N`, days, or beginnings of sets' names
    #[arg(required = true, value_name = "BACKUP")]
    paths: Vec<PathBuf>,

    #[command(flatten)]
    rows: RowsArgs,

    #[command(flatten)]
    keys: KeyArgs,

    #[command(flatten)]
    bucket: BucketArgs,
}

impl Args {
    pub(super) fn prints_rows(&self) -> bool {
        self.rows.is_given()
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Inspection {
    path: PathBuf,
    archive: ArchiveRecord,
    #[serde(skip_serializing_if = "Option::is_none")]
    manifest: Option<Manifest>,
    /// What came of the last trial to restore it.
    #[serde(skip_serializing_if = "Option::is_none")]
    rehearsal: Option<Rehearsal>,
    tables: Vec<TableRecord>,
    large_objects: LargeObjectsRecord,
    instances: Vec<ServiceInstance>,
    tables_without_data: Vec<String>,
    remarks: Vec<String>,
    not_included: [&'static str; 1],
    #[serde(skip)]
    instances_text: String,
}

#[derive(Serialize)]
struct LargeObjectsRecord {
    count: u64,
    bytes: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ArchiveRecord {
    version: String,
    compression: String,
    created: String,
    database: Option<String>,
    server_version: Option<String>,
    pg_dump_version: Option<String>,
    bytes: u64,
    sha256: String,
}

/// What is found of one of several.
#[derive(Serialize)]
#[serde(untagged)]
enum Item {
    Inspection(Box<Inspection>),
    Other(OtherVerdict),
}

pub(super) async fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let keys = args.keys.identities()?;
    let bucket = args.bucket.bucket(&args.paths, context)?;
    let paths = resolved(&args.paths, &bucket)?;
    if args.rows.is_given() {
        return rows::run(&args.rows, &paths, keys, bucket, context).await;
    }
    if let [path] = &paths[..] {
        context.print(&read(path, keys.as_ref(), &bucket).await??)?;
        return Ok(Exit::Done);
    }
    let mut several = Several::new(context);
    for path in &paths {
        match read(path, keys.as_ref(), &bucket).await? {
            Ok(inspection) => several.intact(Item::Inspection(Box::new(inspection)))?,
            Err(error) => several.other(Item::Other(OtherVerdict::from_error(path, &error)), error),
        }
    }
    several.conclude()
}

async fn read(
    path: &Path,
    keys: Option<&Identities>,
    bucket: &Bucket,
) -> anyhow::Result<Result<Inspection, BackupError>> {
    let (path, keys, bucket) = (path.to_owned(), keys.cloned(), bucket.clone());
    // On a thread of its own: a signal must be heard meanwhile.
    spawn_blocking(move || {
        let backup = bucket.open(&path, keys.as_ref())?;
        Inspection::from_path(path, &backup)
    })
    .await
    .map_err(Into::into)
}

impl Inspection {
    fn from_path(path: PathBuf, backup: &Backup) -> Result<Self, BackupError> {
        let intact = backup.verify()?;
        let verified = intact.verified;
        let instances_text = verified.instances_text();
        let contents = verified.contents;
        let header = &contents.header;
        let without_data = contents.tables_without_data.iter();
        Ok(Self {
            archive: ArchiveRecord {
                version: header.version.to_string(),
                compression: header.compression.to_string(),
                created: header.created.to_string(),
                database: header.database.clone(),
                server_version: header.server_version.clone(),
                pg_dump_version: header.pg_dump_version.clone(),
                bytes: intact.bytes,
                sha256: intact.sha256,
            },
            rehearsal: backup.rehearsal(),
            manifest: backup.manifest().cloned(),
            tables: TableRecord::from_contents(&contents),
            large_objects: LargeObjectsRecord {
                count: contents.large_objects.count,
                bytes: contents.large_objects.bytes,
            },
            instances: verified.instances,
            tables_without_data: without_data.map(ToString::to_string).collect(),
            remarks: verified.remarks.iter().map(ToString::to_string).collect(),
            not_included: [NOT_IN_A_DUMP],
            instances_text,
            path,
        })
    }
}

impl Inspection {
    fn origin(&self) -> Option<String> {
        let manifest = self.manifest.as_ref()?;
        let release = manifest.release.as_deref().unwrap_or("unknown release");
        Some(format!(
            "{} in {} ({release}) on {}",
            manifest.instance, manifest.namespace, manifest.cluster.server
        ))
    }

    fn header_lines(&self, wide: bool) -> Vec<(&'static str, String)> {
        let archive = &self.archive;
        let digest = if wide {
            &archive.sha256
        } else {
            short_digest(&archive.sha256)
        };
        let unknown = || "unknown".to_owned();
        let mut lines = vec![("Backup", self.path.display().to_string())];
        lines.extend(self.origin().map(|origin| ("Taken from", origin)));
        lines.extend([
            ("Created", archive.created.clone()),
            ("Database", archive.database.clone().unwrap_or_else(unknown)),
            (
                "PostgreSQL",
                format!(
                    "server {}, pg_dump {}",
                    archive.server_version.clone().unwrap_or_else(unknown),
                    archive.pg_dump_version.clone().unwrap_or_else(unknown)
                ),
            ),
            (
                "Archive",
                format!(
                    "version {}, compression {}, {}",
                    archive.version,
                    archive.compression,
                    bytes(archive.bytes)
                ),
            ),
            ("SHA-256", digest.to_owned()),
        ]);
        let rehearsal = self.rehearsal.as_ref().map(Rehearsal::in_words);
        lines.extend(rehearsal.map(|rehearsal| ("Rehearsal", rehearsal)));
        let objects = &self.large_objects;
        if objects.count > 0 {
            let size = bytes(objects.bytes);
            lines.push((
                "With",
                format!("{}, {size}", count(objects.count, "large object")),
            ));
        }
        lines
    }
}

impl Render for Inspection {
    fn human(&self, out: &mut dyn Write, styles: &Styles, wide: bool) -> io::Result<()> {
        for (label, value) in self.header_lines(wide) {
            writeln!(
                out,
                "{} {}",
                format_args!("{:<12}", format!("{label}:")).style(styles.faint),
                printable(&value)
            )?;
        }
        let rows = self.tables.iter().map(|table| {
            [
                table.qualified_name(),
                table
                    .rows
                    .map_or_else(|| "not counted".to_owned(), |rows| rows.to_string()),
                bytes(table.bytes),
            ]
        });
        writeln!(out, "\n{}", styles.table(&["TABLE", "ROWS", "SIZE"], rows))?;
        let (live, others): (Vec<_>, Vec<_>) = self
            .instances
            .iter()
            .partition(|instance| instance.is_live());
        writeln!(out, "\n{}", self.instances_text.style(styles.heading))?;
        write_instances(out, styles, &live)?;
        let (system, deleted): (Vec<_>, Vec<_>) = others
            .into_iter()
            .partition(|instance| instance.is_system());
        for (title, instances) in [
            ("deleted", deleted),
            (
                "of the product itself (regions system and monitoring)",
                system,
            ),
        ] {
            if !instances.is_empty() {
                writeln!(out, "\n{} {title}", instances.len())?;
                write_instances(out, styles, &instances)?;
            }
        }
        writeln!(out)?;
        for remark in &self.remarks {
            writeln!(
                out,
                "{} {}",
                "remark:".style(styles.warning),
                printable(remark)
            )?;
        }
        for what in self.not_included {
            writeln!(out, "{} {what}", "remark:".style(styles.faint))?;
        }
        Ok(())
    }

    fn names(&self) -> Vec<String> {
        let live = self.instances.iter().filter(|instance| instance.is_live());
        live.map(|instance| instance.id.clone()).collect()
    }
}

impl Render for Item {
    fn human(&self, out: &mut dyn Write, styles: &Styles, wide: bool) -> io::Result<()> {
        match self {
            Self::Inspection(inspection) => {
                inspection.human(out, styles, wide)?;
                writeln!(out)
            }
            Self::Other(_) => Ok(()),
        }
    }

    fn names(&self) -> Vec<String> {
        match self {
            Self::Inspection(inspection) => inspection.names(),
            Self::Other(_) => Vec::new(),
        }
    }
}

fn write_instances(
    out: &mut dyn Write,
    styles: &Styles,
    instances: &[&ServiceInstance],
) -> io::Result<()> {
    if instances.is_empty() {
        return Ok(());
    }
    let rows = instances.iter().map(|instance| {
        [
            instance.id.as_str(),
            or_dash(instance.name.as_deref()),
            or_dash(instance.region.as_deref()),
        ]
    });
    writeln!(out, "{}", styles.table(&["ID", "NAME", "REGION"], rows))
}

fn or_dash(text: Option<&str>) -> &str {
    text.filter(|text| !text.is_empty()).unwrap_or("-")
}
