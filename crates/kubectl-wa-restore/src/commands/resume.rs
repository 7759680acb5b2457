//! `resume`: goes on with a restore that stopped.

use std::path::PathBuf;

use anyhow::Context as _;
use backup_places::BucketArgs;
use store_restore::procedure::{Restore, is_taken_back};
use store_restore::source::Opener;
use wa_common::assistant::Instance;
use wa_common::cli::{Context, Exit, KeyArgs};
use wa_common::cluster::Cluster;
use wa_common::run::journal::{FoundRun, FoundState, JournaledRun, RunContext};

use super::ended;
use super::inputs::InputArgs;
use super::refused::Refused;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Works from any machine and directory, and for any user who may do what `run` does. What was done is not done again. Where \
pgmig has failed, it is run once more, with tokens that are read anew. The backup and pgmig are only needed here as long as \
they are not in the pod, and the backup, with its key where it is encrypted, to hold the database against it. One in a bucket is \
read there again, with the keys of the bucket in the environment."
)]
pub(super) struct Args {
    /// The backup, where it is not on this machine where it was on the one that began
    #[arg(long, value_name = "BACKUP")]
    backup: Option<PathBuf>,
    /// pgmig, likewise
    #[arg(long, value_name = "FILE")]
    pgmig: Option<PathBuf>,
    /// Go on though tables of the restored database do not have the rows of the backup
    #[arg(long)]
    accept_row_differences: bool,
    #[command(flatten)]
    keys: KeyArgs,
    #[command(flatten)]
    bucket: BucketArgs,
    #[command(flatten)]
    inputs: InputArgs,
}

/// The instance that is meant: the one named, else the only one.
pub(super) async fn instance(context: &Context, cluster: &Cluster) -> anyhow::Result<String> {
    let named = context.global.instance.as_deref();
    Ok(Instance::find(cluster, named).await?.name)
}

/// The last run on the instance; an error where there is none.
pub(super) async fn found(cluster: &Cluster, instance: &str) -> anyhow::Result<FoundRun<Restore>> {
    let found = JournaledRun::<Restore>::find(cluster, instance).await?;
    found.with_context(|| {
        format!(
            "no restore of {instance} is recorded in namespace {:?}",
            cluster.namespace()
        )
    })
}

/// Refuses to have pgmig erase a database that a rollback has just taken back: what it was taken from is not there twice.
fn require_not_taken_back(found: &FoundRun<Restore>) -> Result<(), Refused> {
    let plan = found.plan();
    if !matches!(found.state(), FoundState::Stopped) || !is_taken_back(found.steps()) {
        return Ok(());
    }
    Err(Refused(format!(
        "a rollback of {} was begun, and has not ended: end it with `kubectl wa-restore rollback -n {} -i {}`",
        found.run_id(),
        plan.namespace,
        plan.instance
    )))
}

pub(super) async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    let cluster = context.connect()?;
    let instance = instance(context, &cluster).await?;
    let found = found(&cluster, &instance).await?;
    require_not_taken_back(&found)?;
    let recorded = PathBuf::from(&found.plan().backup.path);
    let bucket = args
        .bucket
        .bucket([args.backup.as_ref().unwrap_or(&recorded)], context)?;
    let backup = args
        .backup
        .as_deref()
        .map(|path| bucket.resolve(path))
        .transpose()?;
    let opener = Opener::new(bucket.patient(), args.keys.identities()?);
    let mut inputs = args.inputs.given(opener)?;
    inputs.backup = backup;
    inputs.pgmig = args.pgmig;
    inputs.accept_row_differences = args.accept_row_differences;
    let run_context = RunContext {
        exit_hooks: &context.exit_hooks,
        reporter: &context.reporter,
        cluster: &cluster,
    };
    let run = found
        .resume(run_context, "kubectl wa-restore resume")
        .await?;
    ended::go_on(context, &cluster, &inputs, run).await
}
