//! How the nightly backup stands: its settings, when it runs next, how it ended last, and what a user should see to.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt as _;
use serde::Serialize;
use wa_common::assistant::{BackupCronJob, Schedule};
use wa_common::cluster::{Cluster, ClusterError};
use wa_common::report::elapsed;

use crate::manifest::INSTANTIATED;
use crate::missed::{MissedRun, due_on_resume};
use crate::settings::Setting;

/// How many runs are shown.
const NEXT: usize = 3;
/// Of a volume: more is nearly full.
const NEARLY_FULL_PER_CENT: u64 = 85;

/// Everything that is reported of the nightly backup.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Overview {
    /// The CronJob.
    pub cron_job: String,
    /// Its settings.
    pub settings: Vec<Setting>,
    /// The time zone of the schedule, where one is named.
    pub time_zone: Option<String>,
    /// When the next Jobs start.
    pub next: Vec<Timestamp>,
    /// The newest Job that succeeded, as far as Jobs are kept; else the time that the CronJob notes.
    pub last_success: Option<PastRun>,
    /// The newest Job that failed.
    pub last_failure: Option<PastRun>,
    /// The last run that was due, where none was started.
    pub missed: Option<MissedRun>,
    /// The Jobs that run now.
    pub active: Vec<String>,
    /// How much of the volume is used; `None` where no running pod has it mounted.
    pub volume: Option<VolumeUse>,
    /// What a user should see to.
    pub warnings: Vec<String>,
    #[serde(skip)]
    schedule: Option<Schedule>,
}

/// A Job that has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PastRun {
    /// Its name; `None` where only the time is known.
    pub job: Option<String>,
    /// When it ended.
    pub time: Timestamp,
}

/// How full the volume is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeUse {
    /// What is used of it, in bytes.
    pub used_bytes: u64,
    /// What is free, in bytes.
    pub available_bytes: u64,
}

impl VolumeUse {
    /// How full it is, in per cent.
    pub fn per_cent(self) -> u64 {
        let whole = self.used_bytes.saturating_add(self.available_bytes).max(1);
        self.used_bytes.saturating_mul(100) / whole
    }
}

impl Overview {
    /// Looks at the CronJob, its Jobs and, where a running pod has it mounted, the volume.
    pub async fn look(cluster: &Cluster, cron_job: &BackupCronJob) -> Result<Self, ClusterError> {
        let uid = cron_job.object().uid();
        let owned = |job: &Job| {
            let owners = job.owner_references().iter();
            owners
                .into_iter()
                .any(|owner| Some(&owner.uid) == uid.as_ref())
        };
        let jobs = cluster.list_matching("", owned).await?;
        let mut volume = None;
        for claim in cron_job.claims() {
            // It only adds to what is reported.
            let space = backup_volume::space_in_reach(cluster, &claim).await;
            volume = volume.or(space.ok().flatten().map(|space| VolumeUse {
                used_bytes: space.used,
                available_bytes: space.available,
            }));
        }
        Ok(Self::from_jobs(cron_job, &jobs, volume, Timestamp::now()))
    }

    fn from_jobs(
        cron_job: &BackupCronJob,
        jobs: &[Job],
        volume: Option<VolumeUse>,
        now: Timestamp,
    ) -> Self {
        let schedule = cron_job.read_schedule();
        let runs: Vec<JobRun> = jobs.iter().map(JobRun::from_job).collect();
        let newest = |good: bool| {
            let ended = runs.iter().filter(|run| run.succeeded == Some(good));
            let past = ended.filter_map(|run| {
                Some(PastRun {
                    job: Some(run.name.clone()),
                    time: run.ended?,
                })
            });
            past.max_by_key(|past| past.time)
        };
        let noted = cron_job.object().status.as_ref();
        let noted = noted.and_then(|status| status.last_successful_time.clone());
        let noted = noted.map(|time| PastRun {
            job: None,
            time: time.0,
        });
        let running = runs.iter().filter(|run| run.succeeded.is_none());
        let scheduled = running.clone().filter(|run| run.scheduled);
        let scheduled: Vec<&str> = scheduled.map(|run| &*run.name).collect();
        let missed = |schedule| MissedRun::find(cron_job, schedule, &scheduled, now);
        let mut overview = Self {
            cron_job: cron_job.name(),
            settings: Setting::all(cron_job),
            time_zone: schedule
                .as_ref()
                .ok()
                .and_then(|one| one.zone_name().map(str::to_owned)),
            next: match &schedule {
                Ok(schedule) if !cron_job.is_suspended() => schedule.next(now, NEXT),
                _ => Vec::new(),
            },
            last_success: newest(true).or(noted),
            last_failure: newest(false),
            missed: schedule.as_ref().ok().and_then(missed),
            active: running.map(|run| run.name.clone()).collect(),
            volume,
            warnings: Vec::new(),
            schedule: schedule.as_ref().ok().cloned(),
        };
        if let Err(error) = &schedule {
            overview.warn(error.to_string());
        }
        if cron_job.is_suspended() {
            let at_once = due_on_resume(cron_job, now).map_or_else(String::new, |due| {
                let due = overview.in_zone(due);
                format!(", which starts the one that was due at {due} at once")
            });
            overview.warn(format!(
                "it is suspended: no backup is taken until `kubectl wa-backup schedule resume`{at_once}"
            ));
        }
        overview.look_at_missed();
        overview.look_at_age(now);
        overview.look_at_overlaps(&runs, now);
        overview.look_at_volume();
        overview
    }

    /// What the schedule runs by, where it can be read.
    pub fn schedule(&self) -> Option<&Schedule> {
        self.schedule.as_ref()
    }

    fn warn(&mut self, warning: String) {
        self.warnings.push(warning);
    }

    /// A time in the zone of the schedule.
    fn in_zone(&self, time: Timestamp) -> String {
        let zone = self.schedule.as_ref().map(Schedule::zone);
        let time = time.to_zoned(zone.cloned().unwrap_or(TimeZone::UTC));
        time.strftime("%Y-%m-%d %H:%M %:z").to_string()
    }

    fn look_at_missed(&mut self) {
        let Some(missed) = &self.missed else { return };
        let why = missed.why.clone().unwrap_or_else(|| {
            format!(
                "its events may tell why: `kubectl describe cronjob {}`",
                self.cron_job
            )
        });
        let due = self.in_zone(missed.due);
        self.warn(format!(
            "the last run was due at {due}, and none was started; {why}"
        ));
    }

    fn look_at_age(&mut self, now: Timestamp) {
        let Some(last) = &self.last_success else {
            self.warn("no backup of it is known to have succeeded".to_owned());
            return;
        };
        let age = now.duration_since(last.time);
        // From then on: of a schedule that has just been changed, how often it ran before is not known.
        let period = self
            .schedule
            .as_ref()
            .and_then(|one| one.longest_pause(last.time));
        if let Some(period) = period.filter(|period| age > *period * 2) {
            self.warn(format!(
                "the last backup that succeeded is {} old, and one is due every {}",
                span(age),
                span(period)
            ));
        }
    }

    /// A run that is not over when the next one is due.
    fn look_at_overlaps(&mut self, runs: &[JobRun], now: Timestamp) {
        let Some(schedule) = self.schedule.clone() else {
            return;
        };
        let mut newest: Option<(&JobRun, SignedDuration)> = None;
        for run in runs
            .iter()
            .filter(|run| run.scheduled && run.succeeded != Some(false))
        {
            let Some(started) = run.started else { continue };
            let ended = run.ended.unwrap_or(now);
            // A Job starts a moment after it is due.
            let due = schedule.next(started, 1).first().copied();
            if due.is_some_and(|due| ended > due)
                && newest.is_none_or(|(other, _)| other.started < run.started)
            {
                newest = Some((run, ended.duration_since(started)));
            }
        }
        if let Some((run, took)) = newest {
            self.warn(format!(
                "job {} {} {}, longer than until the next one was due",
                run.name,
                if run.ended.is_some() {
                    "took"
                } else {
                    "has been running for"
                },
                span(took)
            ));
        }
    }

    fn look_at_volume(&mut self) {
        if let Some(volume) = self.volume
            && volume.per_cent() >= NEARLY_FULL_PER_CENT
        {
            self.warn(format!(
                "the volume is {} % full, {} are free",
                volume.per_cent(),
                wa_common::report::bytes(volume.available_bytes)
            ));
        }
    }
}

fn span(duration: SignedDuration) -> String {
    elapsed(std::time::Duration::try_from(duration).unwrap_or_default())
}

struct JobRun {
    name: String,
    started: Option<Timestamp>,
    ended: Option<Timestamp>,
    /// `None` as long as it runs.
    succeeded: Option<bool>,
    /// Whether the schedule started it, and not a person.
    scheduled: bool,
}

impl JobRun {
    fn from_job(job: &Job) -> Self {
        let status = job.status.clone().unwrap_or_default();
        let conditions = status.conditions.iter().flatten();
        let mut ends = conditions
            .filter(|one| matches!(&*one.type_, "Complete" | "Failed") && one.status == "True");
        let end = ends.next();
        let completed = status.completion_time.as_ref().map(|time| time.0);
        let changed = end.and_then(|end| end.last_transition_time.as_ref());
        Self {
            name: job.name_any(),
            started: status.start_time.as_ref().map(|time| time.0),
            ended: completed.or(changed.map(|time| time.0)),
            succeeded: end.map(|end| end.type_ == "Complete"),
            scheduled: !job.annotations().contains_key(INSTANTIATED.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn warnings(spec: &Value, jobs: &[(&str, &str, Option<&str>)], used: Option<u64>) -> String {
        let mut object = json!({"metadata": {"name": "wa-store-cronjob", "creationTimestamp": "2026-11-01T00:00:00Z"}, "spec": {
            "schedule": "0 23 * * *", "jobTemplate": {"spec": {"template": {"spec": {"containers": []}}}},
        }});
        let fields = spec.as_object().unwrap().clone();
        object["spec"].as_object_mut().unwrap().extend(fields);
        let cron_job = BackupCronJob::from(
            serde_json::from_value::<k8s_openapi::api::batch::v1::CronJob>(object).unwrap(),
        );
        let job = |(kind, started, ended): &(&str, &str, Option<&str>)| -> Job {
            let conditions = ended.map(
                |ended| json!([{"type": kind, "status": "True", "lastTransitionTime": ended}]),
            );
            let status = json!({"startTime": started, "conditions": conditions});
            serde_json::from_value(json!({"metadata": {"name": "j"}, "status": status})).unwrap()
        };
        let jobs: Vec<Job> = jobs.iter().map(job).collect();
        let volume = used.map(|used_bytes| VolumeUse {
            used_bytes,
            available_bytes: 100 - used_bytes,
        });
        let now = "2026-11-27T12:00:00Z".parse().unwrap();
        Overview::from_jobs(&cron_job, &jobs, volume, now)
            .warnings
            .join("\n")
    }

    const GOOD: (&str, &str, Option<&str>) = (
        "Complete",
        "2026-11-26T23:00:01Z",
        Some("2026-11-26T23:05:00Z"),
    );

    #[test]
    fn a_backup_that_runs_well_gives_no_warning() {
        assert_eq!(warnings(&json!({}), &[GOOD], Some(84)), "");
        let weekdays = json!({"schedule": "0 23 * * 1-5"});
        assert_eq!(warnings(&weekdays, &[GOOD], None), "");
    }

    #[test]
    fn what_a_user_should_see_to_is_reported() {
        let old = (
            "Complete",
            "2026-11-25T11:00:00Z",
            Some("2026-11-25T11:05:00Z"),
        );
        let failed = (
            "Failed",
            "2026-11-26T23:00:00Z",
            Some("2026-11-26T23:05:00Z"),
        );
        let long = (
            "Complete",
            "2026-11-25T23:00:01Z",
            Some("2026-11-26T23:05:00Z"),
        );
        let running = ("", "2026-11-25T23:00:01Z", None);
        for (spec, jobs, used, expected) in [
            (json!({"suspend": true}), vec![GOOD], None, "suspended"),
            (json!({}), vec![old, failed], None, "and one is due every"),
            (json!({}), vec![], None, "known to have succeeded"),
            (
                json!({}),
                vec![long],
                None,
                "longer than until the next one",
            ),
            (json!({}), vec![GOOD, running], None, "has been running"),
            (json!({}), vec![GOOD], Some(85), "85 % full"),
            (
                json!({"timeZone": "Europe/Berlin"}),
                vec![GOOD],
                None,
                "was due at 2026-11-26 23:00 +01:00, and none was started",
            ),
            (
                json!({"timeZone": "Etc/UTC", "suspend": true}),
                vec![GOOD],
                None,
                "starts the one that was due at 2026-11-26 23:00 +00:00 at once",
            ),
            (
                json!({"schedule": "nightly"}),
                vec![GOOD],
                None,
                "`nightly`",
            ),
        ] {
            let found = warnings(&spec, &jobs, used);
            assert!(found.contains(expected), "{expected}: {found}");
        }
    }
}
