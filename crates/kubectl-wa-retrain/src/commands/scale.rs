//! `scale`: more training pods, and back.

use anyhow::bail;
use clap::value_parser;
use retraining::checks::Purpose;
use retraining::procedure::Session;
use wa_common::cli::{Context, Exit};

use super::changed::Changed;
use super::estimate::MOST_PODS;
use super::plan;
use super::shared::{AdoptArgs, ChangeArgs, Work};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "One TemporaryPatch for each custom resource, one after the other: the operator is waited for, and then the \
                  Deployments. Everything is recorded as it was before the first change (configmap wa-retrain-INSTANCE). No \
                  Deployment gets fewer replicas than it had. --revert removes the patches and sets the recorded numbers, which \
                  the operator would not do. Interrupted, the same command goes on."
)]
pub(super) struct Args {
    /// Number of training pods; the other replicas follow from it
    #[arg(
        long,
        value_name = "N",
        required_unless_present = "revert",
        conflicts_with = "revert",
        value_parser = value_parser!(u32).range(1..=MOST_PODS)
    )]
    replicas: Option<u32>,
    /// Back to the numbers that were before
    #[arg(long)]
    revert: bool,
    #[command(flatten)]
    adopt: AdoptArgs,
    #[command(flatten)]
    change: ChangeArgs,
}

pub(super) async fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let work = Work::connect(context)?;
    match args.replicas {
        Some(replicas) => up(args, replicas, &work).await,
        None => back(args, &work).await,
    }
}

async fn up(args: &Args, replicas: u32, work: &Work<'_>) -> anyhow::Result<Exit> {
    let manner = Work::manner(
        &format!("scale --replicas {replicas}"),
        &args.change,
        args.adopt.adopt,
    )?;
    let purpose = Purpose {
        scales: true,
        starts: false,
        adopts: args.adopt.adopt,
    };
    let ready = work.ready(&args.change.operator, purpose).await?;
    if args.change.is_dry() {
        return plan::show(work, replicas, None).await;
    }
    let mut session = Session::open(work.run_context(), &ready, Some(replicas), manner).await?;
    let scaled = session.scale(replicas).await;
    end(work, session, &ready.instance.name, scaled).await
}

async fn back(args: &Args, work: &Work<'_>) -> anyhow::Result<Exit> {
    let instance = work.instance().await?;
    let Some(found) = work.open_run(&instance).await? else {
        bail!(
            "no retraining of {} is open, so there are no recorded numbers to go back to; `kubectl wa-retrain doctor` shows what is left of one that was made otherwise",
            instance.name
        );
    };
    let manner = Work::manner("scale --revert", &args.change, false)?;
    if args.change.is_dry() {
        return super::finish::show(work, &instance, &found, false);
    }
    let mut session = Session::go_on(work.run_context(), &instance, found, manner).await?;
    let reverted = match session.require_operator().await {
        Ok(()) => session.revert_scale().await,
        down => down,
    };
    end(work, session, &instance.name, reverted).await
}

/// Lets go of the run, which stays open as long as something stands.
pub(super) async fn end<E: Into<anyhow::Error>>(
    work: &Work<'_>,
    session: Session<'_>,
    instance: &str,
    done: Result<(), E>,
) -> anyhow::Result<Exit> {
    let changed = Changed::from_session(instance, work.cluster.namespace(), &session);
    session.leave().await;
    done.map_err(Into::into)?;
    work.context.print(&changed)?;
    Ok(Exit::Done)
}
