//! `finish`: everything back to what it was.

use std::io::{self, Write};

use retraining::procedure::{Found, Outcome, Session, Step};
use retraining::training::{Patience, Phase, Watcher};
use serde::Serialize;
use wa_common::assistant::Instance;
use wa_common::cli::{Context, Exit, Render, confirm};
use wa_common::report::{Styles, printable};

use super::shared::{ChangeArgs, Work};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Deletes the patches that this program made, waits until the operator has let go of them, sets the recorded \
                  replicas, and waits until store-admin has its variables back. Only where the operator does not do its part in \
                  time, its finalizer and exactly those keys are removed by hand. Every other patch and key stays. Interrupted, \
                  the same command goes on, from any machine."
)]
pub(super) struct Args {
    #[command(flatten)]
    change: ChangeArgs,
}

/// What is, or would be, undone.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Undone {
    instance: String,
    namespace: String,
    done: bool,
    steps: Vec<String>,
    #[serde(skip)]
    patches: Vec<String>,
}

pub(super) async fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let manner = Work::manner("finish", &args.change, false)?;
    let work = Work::connect(context)?;
    let instance = work.instance().await?;
    let Some(found) = work.open_run(&instance).await? else {
        let nothing = Undone {
            instance: instance.name,
            namespace: instance.namespace,
            done: true,
            steps: Vec::new(),
            patches: Vec::new(),
        };
        context.print(&nothing)?;
        return Ok(Exit::Done);
    };
    if args.change.is_dry() {
        return show(&work, &instance, &found, true);
    }
    if is_started(&found) && !confirm_end(&work, &instance, args.change.yes).await? {
        return Ok(super::declined(context, "nothing was undone"));
    }
    let undone = Undone::from_run(&instance, &found, true, true);
    let session = Session::go_on(work.run_context(), &instance, found, manner).await?;
    if let Err(down) = session.require_operator().await {
        session.leave().await;
        return Err(down.into());
    }
    session.undo().await?;
    context.print(&undone)?;
    Ok(Exit::Done)
}

fn is_started(found: &Found) -> bool {
    let mut steps = found.steps().iter();
    steps.any(|one| matches!(one.step, Step::Start(_)) && one.state.stands())
}

/// Asks where training is under way; what cannot be seen is no reason not to undo.
async fn confirm_end(work: &Work<'_>, instance: &Instance, yes: bool) -> anyhow::Result<bool> {
    if yes {
        return Ok(true);
    }
    let mut watcher = Watcher::new(&work.cluster, instance, Patience::default()).await?;
    let status = watcher.look(&*work.context.reporter).await?;
    if !status.phase.is_under_way() {
        return Ok(true);
    }
    let so_far = match (&status.progress, status.phase) {
        (Some(progress), _) => format!(
            "{} of {} models are trained",
            progress.retrained, progress.affected
        ),
        (None, Phase::WaitingForSchedule) => "training has not begun".to_owned(),
        (None, _) => "training was asked for, and has not logged anything yet".to_owned(),
    };
    confirm(&format!("{so_far}. End it, and undo everything?"), false).await
}

/// Shows what would be undone; of everything, or of the scaling alone.
pub(super) fn show(
    work: &Work<'_>,
    instance: &Instance,
    found: &Found,
    everything: bool,
) -> anyhow::Result<Exit> {
    work.context
        .print(&Undone::from_run(instance, found, false, everything))?;
    Ok(Exit::Done)
}

impl Undone {
    fn from_run(instance: &Instance, found: &Found, done: bool, everything: bool) -> Self {
        let standing = found.steps().iter().rev().filter(|one| {
            one.state.stands()
                && one.state.outcome() != Some(&Outcome::Kept)
                && (everything || matches!(one.step, Step::Scale(_)))
        });
        let (mut steps, mut patches) = (Vec::new(), Vec::new());
        for one in standing {
            let adopted = one.state.outcome().and_then(Outcome::adopted);
            let patch = adopted.map_or(one.step.patch(), |one| &one.patch);
            patches.push(patch.to_owned());
            steps.push(format!("TemporaryPatch {patch} deleted"));
            match &one.step {
                Step::Scale(step) => steps.extend(
                    step.deployments
                        .iter()
                        .map(|one| format!("{} back to {}", one.deployment, one.replicas)),
                ),
                Step::Start(step) => {
                    steps.push(format!("{} back to its variables", step.deployment));
                }
            }
        }
        Self {
            instance: instance.name.clone(),
            namespace: instance.namespace.clone(),
            done,
            steps,
            patches,
        }
    }
}

impl Render for Undone {
    fn human(&self, out: &mut dyn Write, _styles: &Styles, _wide: bool) -> io::Result<()> {
        if self.steps.is_empty() {
            return writeln!(
                out,
                "Nothing to undo: no retraining of {} is open. `kubectl wa-retrain doctor` shows what is left of one that was made otherwise.",
                printable(&self.instance)
            );
        }
        writeln!(
            out,
            "{}",
            if self.done {
                "Undone:"
            } else {
                "Would be undone:"
            }
        )?;
        for step in &self.steps {
            writeln!(out, "  {}", printable(step))?;
        }
        Ok(())
    }

    fn names(&self) -> Vec<String> {
        let names = self.patches.iter();
        names
            .map(|name| format!("temporarypatches.assistant.watson.ibm.com/{name}"))
            .collect()
    }
}
