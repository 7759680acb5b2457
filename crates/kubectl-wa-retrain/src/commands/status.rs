//! `status`: how far is it?

use retraining::procedure::{Found, Session};
use retraining::training::{Phase, Status, Watcher};
use wa_common::cli::{Context, Exit};
use wa_common::report::Event;

use super::shared::{WatchArgs, Work};
use super::status_report::{StatusReport, line};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit code 0: everything is trained; 5: it is under way; 3: it has ended, and not everything is trained, or \
                  nothing has changed for as long as --stall; 7: no retraining was started. A line of the log in an unknown form is \
                  shown as it is, and is never taken for success."
)]
pub(super) struct Args {
    /// Go on until it has ended
    #[arg(short, long)]
    watch: bool,
    #[command(flatten)]
    how: WatchArgs,
}

pub(super) async fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let work = Work::connect(context)?;
    let instance = work.instance().await?;
    let found = Session::find(&work.cluster, &instance.name).await?;
    let mut watcher = Watcher::new(&work.cluster, &instance, args.how.patience()).await?;
    let reporter = &*context.reporter;
    let status = if args.watch {
        watcher
            .watch(args.how.interval(), reporter, |status| {
                tell(context, status);
            })
            .await?
    } else {
        watcher.look(reporter).await?
    };
    let exit = print(context, &work, &instance.name, found.as_ref(), status)?;
    Ok(exit)
}

/// A line for each change, while it is watched.
pub(super) fn tell(context: &Context, status: &Status) {
    context.reporter.report(&Event::Step {
        step: status.phase.in_words(),
        detail: line(status),
    });
}

/// Prints what was found, and says how the command ends.
pub(super) fn print(
    context: &Context,
    work: &Work<'_>,
    instance: &str,
    found: Option<&Found>,
    status: Status,
) -> anyhow::Result<Exit> {
    let exit = exit_of(&status);
    let report = StatusReport::new(instance, work.cluster.namespace(), found, status);
    context.print(&report)?;
    if let Some(problem) = report.problem() {
        context.reporter.report(&Event::Failure {
            message: problem,
            leftovers: Vec::new(),
        });
    }
    Ok(exit)
}

/// How a command ends that has found training so.
fn exit_of(status: &Status) -> Exit {
    match status.phase {
        Phase::Done => Exit::Done,
        Phase::Gap | Phase::Stalled => Exit::VerificationFailed,
        Phase::NotStarted => Exit::NotJudged,
        Phase::Patched | Phase::WaitingForSchedule | Phase::RolledOut | Phase::Training => {
            Exit::TimedOut
        }
    }
}
