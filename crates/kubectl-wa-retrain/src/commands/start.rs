//! `start`: have all models trained.

use anyhow::bail;
use retraining::checks::Purpose;
use retraining::component::Component;
use retraining::procedure::{Outcome, Session, Step};
use wa_common::cli::{Context, Exit};

use super::plan;
use super::scale::end;
use super::shared::{AdoptArgs, ChangeArgs, StartArgs, Work, both_zones, confirm_quiet};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "The time stands in the patch, and a schedule in the past never starts: where the rollout ends too late, the \
                  patch is made anew with a later time. Nobody should use the assistants while training runs."
)]
pub(super) struct Args {
    #[command(flatten)]
    start: StartArgs,
    #[command(flatten)]
    adopt: AdoptArgs,
    #[command(flatten)]
    change: ChangeArgs,
}

pub(super) async fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let manner = Work::manner("start", &args.change, args.adopt.adopt)?;
    let start = args.start.start(args.change.force);
    // What cannot be is refused before anything is looked at.
    start.schedule(jiff::Timestamp::now())?;
    let work = Work::connect(context)?;
    let purpose = Purpose {
        scales: false,
        starts: true,
        adopts: args.adopt.adopt,
    };
    let ready = work.ready(&args.change.operator, purpose).await?;
    if args.change.is_dry() {
        let present = ready
            .workloads
            .iter()
            .find(|(one, _)| *one == Component::Training);
        let pods = present.map_or(1, |(_, workload)| workload.replicas);
        return plan::show(&work, pods, Some(start)).await;
    }
    if !confirm_quiet(args.change.yes).await? {
        return Ok(super::declined(context, "not started"));
    }
    let mut session = Session::open(work.run_context(), &ready, None, manner).await?;
    if session.is_started() {
        let time = session
            .steps()
            .into_iter()
            .find_map(|(step, outcome)| match (step, outcome) {
                (Step::Start(_), Some(Outcome::Started { time, .. })) => time,
                _ => None,
            });
        session.leave().await;
        let time = time.map_or_else(
            || "by a schedule".to_owned(),
            |time| format!("at {}", both_zones(time)),
        );
        bail!(
            "the job was started already, {time}: see `kubectl wa-retrain status`; to start it anew, `kubectl wa-retrain finish` first"
        );
    }
    let settled = session.settle_scales().await;
    let started = match settled {
        Ok(()) => session.start(start).await,
        failed => failed,
    };
    end(&work, session, &ready.instance.name, started).await
}
