//! `run`: scale, start, watch, finish.

use anyhow::bail;
use clap::value_parser;
use retraining::checks::Purpose;
use retraining::procedure::{Ready, Session, Start};
use retraining::training::{Phase, Status, Watcher};
use wa_common::assistant::Instance;
use wa_common::cli::{Context, Exit, ask, can_ask};
use wa_common::report::Event;

use super::estimate::MOST_PODS;
use super::plan;
use super::shared::{AdoptArgs, ChangeArgs, StartArgs, WatchArgs, Work, confirm_quiet};
use super::status;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Everything is recorded as it was before the first change, and undone at the end. Where too much is missing at \
                  the end, or training stalls, nothing is undone, so that you can look (exit code 3). Ctrl-C asks whether to leave \
                  training running (exit code 5) or to undo everything. Interrupted, the same command goes on, from any machine."
)]
pub(super) struct Args {
    /// Number of training pods meanwhile; as many as there are, unless given
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=MOST_PODS))]
    replicas: Option<u32>,
    #[command(flatten)]
    start: StartArgs,
    #[command(flatten)]
    how: WatchArgs,
    #[command(flatten)]
    adopt: AdoptArgs,
    #[command(flatten)]
    change: ChangeArgs,
}

pub(super) async fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let start = args.start.start(args.change.force);
    args.change.patience()?;
    let work = Work::connect(context)?;
    let instance = work.instance().await?;
    let found = work.open_run(&instance).await?;
    let is_done = found
        .as_ref()
        .is_some_and(|found| found.steps().iter().all(|one| one.state.is_done()));
    let command = args.replicas.map_or_else(
        || "run".to_owned(),
        |replicas| format!("run --replicas {replicas}"),
    );
    let manner = Work::manner(&command, &args.change, args.adopt.adopt)?;
    let on_its_way = found.filter(|_| is_done && args.replicas.is_none() && !args.change.is_dry());
    let session = if let Some(found) = on_its_way {
        // It was started, and is only to be watched and undone.
        Session::go_on(work.run_context(), &instance, found, manner).await?
    } else {
        start.schedule(jiff::Timestamp::now())?;
        let ready = ready(args, &work).await?;
        if args.change.is_dry() {
            let pods = args.replicas.unwrap_or(1);
            return plan::show(&work, pods, Some(start)).await;
        }
        if !confirm_quiet(args.change.yes).await? {
            return Ok(super::declined(context, "not started"));
        }
        Session::open(work.run_context(), &ready, args.replicas, manner).await?
    };
    go(args, &work, &instance, start, session).await
}

async fn ready(args: &Args, work: &Work<'_>) -> anyhow::Result<Ready> {
    let purpose = Purpose {
        scales: args.replicas.is_some(),
        starts: true,
        adopts: args.adopt.adopt,
    };
    work.ready(&args.change.operator, purpose).await
}

/// Goes on until training has ended, or the user wants otherwise.
async fn go(
    args: &Args,
    work: &Work<'_>,
    instance: &Instance,
    start: Start,
    mut session: Session<'_>,
) -> anyhow::Result<Exit> {
    let context = work.context;
    let mut goes_on = false;
    let status = loop {
        let interrupted = can_ask().then(|| context.interrupts.next());
        if goes_on {
            context.reporter.report(&Event::Step {
                step: "continue",
                detail: "Ctrl-C asks again".to_owned(),
            });
        }
        let outcome = tokio::select! {
            status = train(args, work, instance, start, &mut session) => Some(status),
            Some(()) = async {
                interrupted?.await;
                Some(())
            } => None,
        };
        if let Some(status) = outcome {
            break status;
        }
        let answers = &["leave", "undo", "continue"];
        match ask(
            "Leave training running, undo everything, or continue?",
            answers,
        )
        .await?
        {
            Some(0) => {
                session.leave().await;
                return Ok(Exit::TimedOut);
            }
            Some(1) => {
                session.undo().await?;
                return Ok(Exit::Interrupted);
            }
            _ => goes_on = true,
        }
    };
    let mut status = match status {
        Ok(status) => status,
        Err(error) => {
            session.leave().await;
            return Err(error);
        }
    };
    if matches!(status.phase, Phase::Done | Phase::Gap) {
        session.undo().await?;
        let mut watcher = Watcher::new(&work.cluster, instance, args.how.patience()).await?;
        let undone = watcher.look(&*context.reporter).await?;
        // How training went was in the log of a store-admin that is gone; what there is now is the new look's.
        status = Status {
            patches: undone.patches,
            store_admin: undone.store_admin,
            deployments: undone.deployments,
            ..status
        };
    } else {
        session.leave().await;
        if status.phase == Phase::NotStarted {
            bail!(
                "somebody else has ended the job: store-admin is not to train any more; `kubectl wa-retrain finish` undoes the rest"
            );
        }
    }
    status::print(context, work, &instance.name, None, status)
}

/// Scales, starts, and watches, each where it is not done yet.
async fn train(
    args: &Args,
    work: &Work<'_>,
    instance: &Instance,
    start: Start,
    session: &mut Session<'_>,
) -> anyhow::Result<Status> {
    match session.training_pods(args.replicas).await? {
        Some(training_pods) => session.scale(training_pods).await?,
        None => session.settle_scales().await?,
    }
    session.start(start).await?;
    let context = work.context;
    let mut watcher = Watcher::new(&work.cluster, instance, args.how.patience()).await?;
    let watching = watcher.watch(args.how.interval(), &*context.reporter, |status| {
        status::tell(context, status);
    });
    Ok(session.guard(watching).await??)
}
