//! pgmig's own tests of what it connects to, while everything still runs.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use kube_transfer::job::{EndedJob, JobState};
use kube_transfer::{RemoteCommand, Secret};
use wa_common::cluster::{Probe, Wait, WaitError};
use wa_common::report::{Event, printable};
use wa_common::run::journal::StartedStep;

use super::place::{PGMIG, Place};
use super::stage::stage_configuration;
use super::work::Work;
use super::{Outcome, Restore, RestorePlan};
use crate::config::{CA_FILE, POSTGRES_FILE, RESOURCE_CONTROLLER_FILE, RcForm};

/// Runs a program and shows what it printed, on whichever stream, also where it fails.
const RUN: &str = r#"out=$("$@" 2>&1 </dev/null); code=$?
[ $code = 0 ] || printf '%s\n' "$out" >&2
printf '%s\n' "$out"; exit $code"#;
/// The directory of a job that is only tried.
const TRIAL_JOB: &str = "trial";
const DETACHED_WITHIN: Duration = Duration::from_mins(2);
/// How much of what pgmig prints is shown.
const SHOWN_LINES: usize = 3;

/// pgmig with its environment, in the run's directory.
pub(super) fn in_environment(
    command: RemoteCommand,
    plan: &RestorePlan,
    place: &Place,
) -> anyhow::Result<RemoteCommand> {
    let command = command
        .current_dir(&place.directory)
        .env("PG_CA_FILE", Secret::new(place.path(CA_FILE))?)?;
    Ok(if plan.enable_icp {
        command.env("ENABLE_ICP", Secret::new("true")?)?
    } else {
        command
    })
}

/// What an Orchestrate target needs beside.
pub(super) fn wxo(plan: &RestorePlan) -> Option<&'static str> {
    plan.orchestrate.then_some("--wxo")
}

/// Version, database, resource controller. Where the last one fails, the other form of its file is tried, unless this
/// one was asked for: releases do not tell for certain which one they take.
pub(super) async fn connections(
    work: &Work<'_>,
    started: &StartedStep<'_, Restore>,
) -> anyhow::Result<Outcome> {
    let plan = started.run().plan();
    let place = Place::of_run(started.run());
    let rc_form = started
        .guard(test(work, &plan, &place, plan.rc_form))
        .await??;
    started.guard(start_detached(work, &plan, &place)).await??;
    Ok(Outcome::Connected { rc_form })
}

/// The same, beginning with `form`; returns the form that pgmig takes.
pub(super) async fn test(
    work: &Work<'_>,
    plan: &RestorePlan,
    place: &Place,
    form: RcForm,
) -> anyhow::Result<RcForm> {
    let tests = Tests { work, plan, place };
    tests
        .run(&["--version"])
        .await
        .context("pgmig does not run in the pod")?;
    tests
        .run(&["--target", POSTGRES_FILE, "--testPGConnection"])
        .await
        .context("pgmig cannot use the database")?;
    let first = match tests.resource_controller().await {
        Ok(()) => return Ok(form),
        Err(error) => error.context(format!(
            "pgmig cannot use the resource controller with {RESOURCE_CONTROLLER_FILE} of form {form}"
        )),
    };
    let other = match form {
        RcForm::ServiceToken => RcForm::UserTokens,
        RcForm::UserTokens => RcForm::ServiceToken,
    };
    if plan.rc_form_given || stage_configuration(work, plan, place, other).await.is_err() {
        return Err(first);
    }
    match tests.resource_controller().await {
        Ok(()) => {
            work.warn(format!(
                "pgmig takes {RESOURCE_CONTROLLER_FILE} of form {other}, not of form {form}, which this release should have"
            ));
            Ok(other)
        }
        Err(_) => Err(first),
    }
}

/// Starts pgmig once as it will be started later, detached, so that what that needs in the pod is not found to be missing
/// when production is down.
async fn start_detached(work: &Work<'_>, plan: &RestorePlan, place: &Place) -> anyhow::Result<()> {
    let directory = work
        .cluster
        .pod(&place.container)
        .job(place.path(TRIAL_JOB))?;
    let command = RemoteCommand::new(place.path(PGMIG)).arg("--version");
    let command = in_environment(command, plan, place)?;
    let look = async || match directory.status().await? {
        JobState::Absent => directory.start(&command).await.map(|_| None),
        JobState::Gone(job) => job.remove().await.map(|()| None),
        JobState::Ended(job) => Ok(Some(job)),
        JobState::Running(_) | JobState::Starting => Ok(None),
    };
    // Whatever is lost on the way is settled by the next look.
    let settled = || async {
        match look().await {
            Err(error) if error.is_transient() || error.may_have_started() => anyhow::Ok(None),
            looked => Ok(looked?),
        }
    };
    let judge = |found: Option<EndedJob>| Ok(found.map_or(Probe::Silent, Probe::Done));
    let what = "for pgmig to start apart from this connection";
    let wait = Wait::new(what, DETACHED_WITHIN, &**work.reporter);
    let waited = wait.until(settled, judge).await;
    let job = waited
        .map_err(WaitError::into_error)
        .context("pgmig cannot be started in the pod so that it goes on without a connection")?;
    ensure!(
        job.code() == 0,
        "pgmig ends with exit code {} when it is started apart from a connection, as it is to run later",
        job.code()
    );
    Ok(job.remove().await?)
}

struct Tests<'a> {
    work: &'a Work<'a>,
    plan: &'a RestorePlan,
    place: &'a Place,
}

impl Tests<'_> {
    async fn resource_controller(&self) -> anyhow::Result<()> {
        let mut arguments = vec![
            "--resourceController",
            RESOURCE_CONTROLLER_FILE,
            "--testRCConnection",
        ];
        arguments.extend(wxo(self.plan));
        self.run(&arguments).await
    }

    async fn run(&self, arguments: &[&str]) -> anyhow::Result<()> {
        let command = RemoteCommand::script(RUN)
            .arg(self.place.path(PGMIG))
            .args(arguments.iter().copied());
        let command = in_environment(command, self.plan, self.place)?;
        let printed = self
            .work
            .cluster
            .run_idempotent(&self.place.container, &command)
            .await?;
        let printed = String::from_utf8_lossy(&printed.stdout).into_owned();
        for line in printed.lines().take(SHOWN_LINES) {
            self.work.reporter.report(&Event::Step {
                step: "pgmig",
                detail: printable(line).into_owned(),
            });
        }
        Ok(())
    }
}
