//! `rollback`: goes back to what was before a restore.

use std::io::{self, Write};
use std::path::PathBuf;

use backup_places::BucketArgs;
use backup_set::scheme_of;
use owo_colors::OwoColorize as _;
use serde::Serialize;
use store_restore::plan::word;
use store_restore::procedure::{
    Restore, Work, database_is_touched, needs_safety_backup, roll_back,
};
use store_restore::source::Opener;
use wa_common::cli::{Context, Exit, KeyArgs, Render};
use wa_common::cluster::Cluster;
use wa_common::report::{Styles, printable};
use wa_common::run::journal::{FoundRun, FoundState, RunContext};

use super::consent::Consent;
use super::inputs::InputArgs;
use super::refused::Refused;
use super::resume::{found, instance};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Puts the replica counts and the nightly backup back as they were, and removes what was staged. Where pgmig has touched the \
database, the copy inside the server takes its place again; without one the safety backup is restored, which then must be on this \
machine, or in a bucket: --safety names it where it is not where it was taken."
)]
pub(super) struct Args {
    /// The safety backup, or its URL, instead of the copy inside the server
    #[arg(long, value_name = "SET")]
    safety: Option<PathBuf>,
    #[command(flatten)]
    keys: KeyArgs,
    #[command(flatten)]
    bucket: BucketArgs,
    #[command(flatten)]
    consent: Consent,
    #[command(flatten)]
    inputs: InputArgs,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    run: String,
    instance: String,
    namespace: String,
    database_exchanged: bool,
}

pub(super) async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    let cluster = context.connect()?;
    let instance = instance(context, &cluster).await?;
    args.consent.require_fits(&instance)?;
    let found = found(&cluster, &instance).await?;
    require_not_over(&found)?;
    if database_is_touched(found.steps()) {
        let question = "The database that pgmig has touched is dropped, and the one of before takes its place.";
        args.consent.ask(context, &instance, question).await?;
    }
    let recorded = match &args.safety {
        None => safety_in_a_bucket(&cluster, &found).await?,
        Some(_) => None,
    };
    let bucket = args
        .bucket
        .bucket(args.safety.iter().chain(&recorded), context)?;
    let safety = args
        .safety
        .as_deref()
        .map(|path| bucket.resolve(path))
        .transpose()?;
    let opener = Opener::new(bucket.patient(), args.keys.identities()?);
    let inputs = args.inputs.given(opener)?;
    let run_context = RunContext {
        exit_hooks: &context.exit_hooks,
        reporter: &context.reporter,
        cluster: &cluster,
    };
    let run = found
        .resume(run_context, "kubectl wa-restore rollback")
        .await?;
    let id = run.run_id().to_owned();
    let work = Work {
        cluster: &cluster,
        reporter: &context.reporter,
        inputs: &inputs,
    };
    let rolled_back = roll_back(&work, run, safety).await?;
    context.print(&Report {
        run: id,
        instance,
        namespace: cluster.namespace().to_owned(),
        database_exchanged: rolled_back.database,
    })?;
    Ok(Exit::Done)
}

/// The URL of the safety backup, where nothing else leads back: whoever does not need it, needs no keys of its bucket.
async fn safety_in_a_bucket(
    cluster: &Cluster,
    found: &FoundRun<Restore>,
) -> anyhow::Result<Option<PathBuf>> {
    let recorded = found.plan().safety.as_ref();
    let recorded = recorded.map(|safety| PathBuf::from(&safety.path));
    let Some(url) = recorded.filter(|path| scheme_of(path).is_some()) else {
        return Ok(None);
    };
    let is_needed = needs_safety_backup(cluster, found).await?;
    Ok(is_needed.then_some(url))
}

/// Refuses where there is nothing left to go back to by names, before the user is asked anything.
fn require_not_over(found: &FoundRun<Restore>) -> Result<(), Refused> {
    let (run, plan) = (found.run_id(), found.plan());
    let text = match found.state() {
        FoundState::Running { .. } | FoundState::Stopped => return Ok(()),
        FoundState::Undone => format!("{run} is undone already: everything is as it was before it"),
        FoundState::Done => {
            let instead = match &plan.safety {
                Some(safety) => format!(
                    "to go back to it, restore its safety backup, which was taken on {}: kubectl wa-restore run {} -n {} -i {} --pgmig FILE",
                    printable(&safety.host),
                    word(&safety.path),
                    plan.namespace,
                    plan.instance
                ),
                None => "no safety backup of it was taken: restore another backup with `kubectl wa-restore run`".to_owned(),
            };
            format!(
                "{run} is over, and the copy of the database of before was dropped when everything was ready; {instead}"
            )
        }
    };
    Err(Refused(text))
}

impl Render for Report {
    fn human(&self, out: &mut dyn Write, styles: &Styles, _wide: bool) -> io::Result<()> {
        writeln!(
            out,
            "{} {} in namespace {} is as before the restore",
            "rolled back".style(styles.good),
            self.instance,
            self.namespace
        )?;
        let database = if self.database_exchanged {
            "its database is the one of before"
        } else {
            "its database was not touched"
        };
        writeln!(out, "{database}; the pods come back by themselves")
    }

    fn names(&self) -> Vec<String> {
        vec![self.run.clone()]
    }
}
