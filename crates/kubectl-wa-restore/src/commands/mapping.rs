//! `mapping`: which service instance of the backup becomes which one of the target?

use std::fs::OpenOptions;
use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use backup_places::BucketArgs;
use backup_set::ServiceInstance;
use owo_colors::OwoColorize as _;
use serde::Serialize;
use store_backup::tenants;
use store_restore::mapping::{FILE_LIMIT_BYTES, Mapping};
use store_restore::source::{Candidate, Opener};
use tokio::task::spawn_blocking;
use wa_common::assistant::{Datastore, Instance, PostgresPod};
use wa_common::cli::{Context, Exit, KeyArgs, Render};
use wa_common::report::{Event, Styles};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "The instances of the backup are read out of its dump, those of the target out of its live database with psql in a \
pod; nothing is changed. Two are put together where they have the same id, or the same name and no other has it, or where they \
are the only ones left; the rest is for you to decide. --to writes the file that pgmig's --mapping takes, with what is open as \
comments; complete it, and validate it with --mapping.

Exit code 0: every instance of the backup has a target; 4: not every one, or the given mapping cannot be used."
)]
pub(super) struct Args {
    /// Directory or URL of a backup set, dump file, `latest`, `latest~N`, a day, or the beginning of a set's name
    #[arg(value_name = "BACKUP")]
    backup: PathBuf,
    #[command(flatten)]
    keys: KeyArgs,
    #[command(flatten)]
    bucket: BucketArgs,
    /// Write the proposed mapping to this file, which must not be there yet
    #[arg(long, value_name = "FILE", conflicts_with = "mapping")]
    to: Option<PathBuf>,
    /// Validate this mapping instead of proposing one
    #[arg(long, value_name = "FILE")]
    mapping: Option<PathBuf>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MappingReport {
    backup: PathBuf,
    complete: bool,
    #[serde(flatten)]
    mapping: Mapping,
}

pub(super) async fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let bucket = args.bucket.bucket([&args.backup], context)?;
    let path = bucket.resolve(&args.backup)?;
    // Before the dump is read, which may take long.
    let given = args.mapping.as_deref().map(read_file).transpose()?;
    let opener = Opener::new(bucket.patient(), args.keys.identities()?);
    let cluster = context.connect()?;
    let instance = Instance::find(&cluster, context.global.instance.as_deref()).await?;
    let datastore = Datastore::read(&cluster, &instance).await?;
    let pod = PostgresPod::find(&cluster, &instance, Some(&datastore)).await?;
    let targets = tenants::read(&cluster, &pod.container(), &datastore).await?;
    let source = {
        let path = path.clone();
        // On a thread of its own: a signal must be heard meanwhile.
        spawn_blocking(move || Candidate::read(&opener, &path)).await??
    };
    let sources = source.instances()?;
    let mapping = match given {
        Some(yaml) => match Mapping::read(&yaml, &sources, &targets) {
            Ok(mapping) => mapping,
            Err(bad) => {
                context.reporter.report(&Event::Failure {
                    message: bad.to_string(),
                    leftovers: Vec::new(),
                });
                return Ok(Exit::Refused);
            }
        },
        None => Mapping::propose(&sources, &targets),
    };
    if let Some(to) = &args.to {
        write_file(to, &mapping.to_yaml())?;
    }
    let gap = mapping.gap();
    context.print(&MappingReport {
        backup: path,
        complete: mapping.is_complete(),
        mapping,
    })?;
    let Some(gap) = gap else {
        return Ok(Exit::Done);
    };
    context.reporter.report(&Event::Warning { message: gap });
    Ok(Exit::Refused)
}

/// The text of a mapping file.
pub(super) fn read_file(path: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    let file = std::fs::File::open(path);
    // One byte more tells a larger one.
    let read = file.and_then(|file| file.take(FILE_LIMIT_BYTES + 1).read_to_string(&mut text));
    read.with_context(|| format!("cannot read the mapping {}", path.display()))?;
    ensure!(
        text.len() as u64 <= FILE_LIMIT_BYTES,
        "{} is too large for a mapping",
        path.display()
    );
    Ok(text)
}

fn write_file(path: &Path, yaml: &str) -> anyhow::Result<()> {
    let cannot = || format!("cannot write the mapping to {}", path.display());
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).with_context(cannot)?;
    }
    let file = OpenOptions::new().write(true).create_new(true).open(path);
    file.and_then(|mut file| file.write_all(yaml.as_bytes()))
        .with_context(cannot)
}

impl Render for MappingReport {
    fn human(&self, out: &mut dyn Write, styles: &Styles, _wide: bool) -> io::Result<()> {
        let Mapping {
            pairs,
            sources_left,
            targets_left,
        } = &self.mapping;
        if pairs.is_empty() && sources_left.is_empty() && targets_left.is_empty() {
            return writeln!(
                out,
                "There are no service instances, neither in the backup nor in the target."
            );
        }
        // One below the other: the ids of two take a line that hardly a terminal has.
        let row = |side: &str, instance: &ServiceInstance, why: String| {
            let text = |text: Option<&str>| {
                let text = text.filter(|text| !text.is_empty());
                text.unwrap_or("-").to_owned()
            };
            let (name, region) = (instance.name.as_deref(), instance.region.as_deref());
            [
                side.to_owned(),
                instance.id.clone(),
                text(name),
                text(region),
                why,
            ]
        };
        let paired = pairs.iter().flat_map(|pair| {
            [
                row("backup", &pair.source, pair.by.to_string()),
                row("target", &pair.target, String::new()),
            ]
        });
        let open = sources_left
            .iter()
            .map(|source| row("backup", source, "NO TARGET".to_owned()));
        let unused = targets_left
            .iter()
            .map(|target| row("target", target, "erased, gets nothing".to_owned()));
        let header = ["IN THE", "ID", "NAME", "REGION", "WHY"];
        let rows = paired.chain(open).chain(unused);
        writeln!(out, "{}", styles.table(&header, rows))?;
        if self.complete {
            writeln!(
                out,
                "\n{}",
                "Every service instance of the backup has a target.".style(styles.good)
            )?;
        }
        Ok(())
    }

    fn names(&self) -> Vec<String> {
        let pairs = self.mapping.pairs.iter();
        pairs
            .map(|pair| format!("{}: {}", pair.source.id, pair.target.id))
            .collect()
    }
}
