//! Having store-admin start the job, at a time that comes after its rollout.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::EnvVar;
use wa_common::report::Event;
use wa_common::run::ServerClock;

use super::error::ProcedureError;
use super::record::{OriginalVariable, Outcome, StartStep};
use super::scale::Doing;
use crate::patch::{STORE, TemporaryPatch};
use crate::schedule::Schedule;
use crate::settings::{SCHEDULE, Settings, Wanted};
use crate::start::{StartError, schedule};

/// How often the patch is made anew because its time came before its rollout ended.
const ATTEMPTS: u32 = 3;
/// What is added to how long the rollout took when the time is set anew.
const MARGIN: SignedDuration = SignedDuration::from_mins(5);

/// How long before its time store-admin must be there: the API server tells its time in whole seconds, and the node may have
/// another one.
const HEAD_START: SignedDuration = SignedDuration::from_secs(2);

/// When and how the job is to start.
#[derive(Debug, Clone, Copy)]
pub struct Start {
    /// When.
    pub time: StartTime,
    /// Though that is too soon by all that is known of operators.
    pub force: bool,
    /// What of the settings is not IBM's.
    pub wanted: Wanted,
}

/// When the job is to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartTime {
    /// So long from when the patch is made.
    In(SignedDuration),
    /// Then.
    At(Timestamp),
}

impl Start {
    /// The schedule, seen from `now`.
    pub fn schedule(self, now: Timestamp) -> Result<Schedule, StartError> {
        let time = match self.time {
            StartTime::In(delay) => now.saturating_add(delay).unwrap_or(Timestamp::MAX),
            StartTime::At(time) => time,
        };
        schedule(time, now, self.force)
    }
}

impl Doing<'_, '_> {
    /// Has the job started with this number of training pods.
    pub(super) async fn start(
        &self,
        step: &StartStep,
        start: Start,
        training_pods: u32,
    ) -> Result<Outcome, ProcedureError> {
        let sets = |patch: &TemporaryPatch| {
            patch.target.kind == STORE.kind
                && patch.target.name == self.waits.objects.instance
                && !patch.retraining_variables().is_empty()
        };
        if let Some(adopted) = self
            .adopted(&step.patch, "sets the same variables", sets)
            .await?
        {
            let patch = self.waits.objects.patch(&adopted.patch).await?;
            return Ok(Outcome::Started {
                time: patch.and_then(|patch| time_of(&TemporaryPatch::from_object(&patch))),
                adopted: Some(adopted),
            });
        }
        let clock = ServerClock::read(&self.waits.objects.cluster).await?;
        let mut schedule = match self.made_before(step, clock.now()).await? {
            Some(schedule) => schedule,
            None => start.schedule(clock.now())?,
        };
        let mut attempt = 1;
        loop {
            let began = clock.now();
            let settings = Settings::for_pods(training_pods, schedule).with(start.wanted);
            let patch = TemporaryPatch::start(&self.waits.objects.instance, &settings);
            self.make(STORE, &patch).await?;
            self.wait(
                self.waits
                    .variables(&step.deployment, &variables(&settings)),
            )
            .await?;
            let now = clock.now();
            if now.saturating_add(HEAD_START).unwrap_or(now) < schedule.time() {
                return Ok(Outcome::Started {
                    time: Some(schedule.time()),
                    adopted: None,
                });
            }
            if attempt == ATTEMPTS {
                return Err(ProcedureError::AlwaysTooLate { attempts: attempt });
            }
            attempt += 1;
            let later = later(start.time, now, now.duration_since(began));
            self.waits.reporter.report(&Event::Warning {
                message: format!(
                    "the rollout of {} ended after {}, the time of the job, which would never start: the patch is made anew, for {}",
                    step.deployment,
                    schedule.time(),
                    later
                ),
            });
            schedule = Schedule::at(later).map_err(StartError::from)?;
            let run = self.started.run().run_id().to_owned();
            self.take_back(STORE, &patch.name, &run).await?;
        }
    }

    /// The schedule of the patch that a process that died had made, if its time is still to come.
    async fn made_before(
        &self,
        step: &StartStep,
        now: Timestamp,
    ) -> Result<Option<Schedule>, ProcedureError> {
        let found = self.waits.objects.patch(&step.patch).await?;
        let found = found.filter(|found| found.metadata.deletion_timestamp.is_none());
        let time = found.and_then(|found| time_of(&TemporaryPatch::from_object(&found)));
        let time = time.filter(|time| *time > now);
        Ok(time.and_then(|time| Schedule::at(time).ok()))
    }
}

/// When the job is to start after a rollout that took so long came too late: after the delay that was asked for, where that
/// leaves twice as much time; where a time was asked for, after as long again and a margin.
fn later(asked: StartTime, now: Timestamp, took: SignedDuration) -> Timestamp {
    let needed = took.saturating_add(MARGIN);
    let delay = match asked {
        StartTime::In(delay) => delay.max(took.saturating_mul(2)),
        StartTime::At(_) => needed,
    };
    now.saturating_add(delay).unwrap_or(Timestamp::MAX)
}

/// When a patch has the job start; `None` where its schedule is not one time.
pub(crate) fn time_of(patch: &TemporaryPatch) -> Option<Timestamp> {
    let variables = patch.retraining_variables();
    let (_, value) = variables.iter().find(|(name, _)| name == SCHEDULE)?;
    Some(value.parse::<Schedule>().ok()?.time())
}

/// The variables as they are to stand in the Deployment.
fn variables(settings: &Settings) -> Vec<OriginalVariable> {
    let variable = |(name, value): (&'static str, String)| OriginalVariable {
        name: name.to_owned(),
        entry: Some(EnvVar {
            name: name.to_owned(),
            value: Some(value),
            ..EnvVar::default()
        }),
    };
    settings.variables().into_iter().map(variable).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-12-01T22:00:00Z".parse().unwrap()
    }

    #[test]
    fn a_delay_counts_from_when_the_patch_is_made() {
        let start = |time, force| Start {
            time,
            force,
            wanted: Wanted::default(),
        };
        let forty = start(StartTime::In(SignedDuration::from_mins(40)), false);
        let schedule = forty.schedule(now()).unwrap();
        assert_eq!(schedule.to_string(), "0 40 22 1 12 ? 2026");
        let soon = start(StartTime::In(SignedDuration::from_mins(29)), false);
        assert_eq!(soon.schedule(now()), Err(StartError::TooSoon));
        let forced = start(StartTime::In(SignedDuration::from_secs(5)), true);
        assert!(forced.schedule(now()).is_ok());
        let past = start(StartTime::At(now()), true);
        assert!(matches!(past.schedule(now()), Err(StartError::Past(_))));
    }

    #[test]
    fn a_time_that_came_too_early_is_set_anew_with_as_much_time_as_was_needed_and_more() {
        let minutes = SignedDuration::from_mins;
        let delay = |asked, took| later(asked, now(), minutes(took)).duration_since(now());
        assert_eq!(delay(StartTime::In(minutes(40)), 25), minutes(50));
        assert_eq!(delay(StartTime::In(minutes(40)), 15), minutes(40));
        assert_eq!(delay(StartTime::At(now()), 25), minutes(30));
    }
}
