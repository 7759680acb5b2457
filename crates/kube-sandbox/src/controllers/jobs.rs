//! Jobs: pods until enough of them succeeded or too many failed.
//!
//! Left out: indexed completion, success and pod failure policies, counting the restarts of `restartPolicy: OnFailure`
//! against the back-off limit, and the finalizer that keeps ended pods until they are counted.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::conditions::{self, Condition};
use super::{Concerns, Controller, controlled, controlled_by, pods};
use crate::meta::{Object, Resource, Status, object, resources};
use crate::store::{DeleteOptions, Store};

/// The wait before the first retry of a failed pod, doubled for each further one. Kubernetes waits ten times as long.
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// Runs the pods of Jobs and reports how they ended.
#[derive(Debug)]
pub(super) struct Jobs;

impl Controller for Jobs {
    fn kind(&self) -> &'static Resource {
        &resources::JOBS
    }

    fn watches(&self) -> &'static [(&'static Resource, Concerns)] {
        const WATCHED: &[(&Resource, Concerns)] =
            &[(&resources::PODS, |_, pod| controlled_by(pod, "Job"))];
        WATCHED
    }

    fn reconcile(&self, store: &Store, job: &Object) -> Result<Option<Duration>, Status> {
        if object::is_terminating(job) {
            return Ok(None);
        }
        if has_finished(job) {
            return expire(store, job);
        }
        let pods = controlled(store, &resources::PODS, job);
        let tally = Tally::from_pods(&pods);
        let outcome = outcome(job, &tally);
        if let Some(outcome) = outcome {
            stop(store, &pods)?;
            finish(store, job, &tally, outcome)?;
            return Ok(None);
        }
        let mut wait = None;
        if job["spec"]["suspend"] == true {
            stop(store, &pods)?;
        } else {
            start(store, job)?;
            wait = run(store, job, &pods, &tally)?;
        }
        let tally = Tally::from_pods(&controlled(store, &resources::PODS, job));
        modify(store, job, |job| report(job, &tally))?;
        Ok([wait, time_left(job)].into_iter().flatten().min())
    }
}

/// Whether the Job has ended, well or badly.
pub(super) fn has_finished(job: &Value) -> bool {
    has_succeeded(job) || conditions::is_true(job, "Failed")
}

/// Whether the Job has ended well.
pub(super) fn has_succeeded(job: &Value) -> bool {
    conditions::is_true(job, "Complete")
}

/// How many of a Job's pods are in which state.
struct Tally {
    active: usize,
    ready: usize,
    succeeded: usize,
    failed: usize,
    terminating: usize,
}

impl Tally {
    fn from_pods(pods: &[Object]) -> Self {
        let number =
            |wanted: &dyn Fn(&Value) -> bool| pods.iter().filter(|pod| wanted(pod)).count();
        Self {
            active: number(&pods::is_active),
            ready: number(&|pod| pods::is_active(pod) && pods::is_ready(pod)),
            succeeded: number(&|pod| pod["status"]["phase"] == "Succeeded"),
            failed: number(&|pod| pod["status"]["phase"] == "Failed"),
            terminating: number(&|pod| object::is_terminating(pod) && !pods::has_ended(pod)),
        }
    }
}

/// How a Job ends: the condition that announces it and the final one are worded alike.
#[derive(Clone, Copy)]
enum Outcome {
    Complete,
    Failed {
        reason: &'static str,
        message: &'static str,
    },
}

fn outcome(job: &Value, tally: &Tally) -> Option<Outcome> {
    if tally.failed > limit(job, "backoffLimit", 6) {
        return Some(Outcome::Failed {
            reason: "BackoffLimitExceeded",
            message: "Job has reached the specified backoff limit",
        });
    }
    if time_left(job).is_some_and(|left| left.is_zero()) {
        return Some(Outcome::Failed {
            reason: "DeadlineExceeded",
            message: "Job was active longer than specified deadline",
        });
    }
    (tally.succeeded >= limit(job, "completions", 1)).then_some(Outcome::Complete)
}

/// What is left of `activeDeadlineSeconds`, if the Job has one and was started.
fn time_left(job: &Value) -> Option<Duration> {
    let deadline = Duration::from_secs(job["spec"]["activeDeadlineSeconds"].as_u64()?);
    Some(deadline.saturating_sub(since(&job["status"]["startTime"])?))
}

fn since(time: &Value) -> Option<Duration> {
    let time: Timestamp = time.as_str()?.parse().ok()?;
    Some(Duration::try_from(Timestamp::now().duration_since(time)).unwrap_or_default())
}

fn limit(job: &Value, field: &str, default: usize) -> usize {
    job["spec"][field].as_u64().map_or(default, |number| {
        usize::try_from(number).unwrap_or(usize::MAX)
    })
}

fn start(store: &Store, job: &Value) -> Result<(), Status> {
    if job["status"]["startTime"].is_null() {
        modify(store, job, |job| {
            job["status"]["startTime"] = object::now().into();
        })?;
    }
    Ok(())
}

/// Creates the pods that are missing, or says how long to wait before the next try.
fn run(
    store: &Store,
    job: &Value,
    pods: &[Object],
    tally: &Tally,
) -> Result<Option<Duration>, Status> {
    let left = limit(job, "completions", 1).saturating_sub(tally.succeeded);
    let wanted = left.min(limit(job, "parallelism", 1));
    if tally.active >= wanted {
        return Ok(None);
    }
    if let Some(wait) = back_off(pods, tally.failed) {
        return Ok(Some(wait));
    }
    for _ in tally.active..wanted {
        pods::create(store, &resources::JOBS, job)?;
    }
    Ok(None)
}

/// The rest of the wait that the failures so far have earned.
fn back_off(pods: &[Object], failures: usize) -> Option<Duration> {
    let exponent = u32::try_from(failures.checked_sub(1)?)
        .unwrap_or(u32::MAX)
        .min(8);
    let ended = |pod: &Object| {
        since(&pod["status"]["containerStatuses"][0]["state"]["terminated"]["finishedAt"])
    };
    let latest = pods
        .iter()
        .filter(|pod| pod["status"]["phase"] == "Failed")
        .filter_map(ended)
        .min()?;
    let wait = (FIRST_RETRY * 2u32.pow(exponent)).saturating_sub(latest);
    (!wait.is_zero()).then_some(wait)
}

fn stop(store: &Store, pods: &[Object]) -> Result<(), Status> {
    for pod in pods.iter().filter(|pod| pods::is_active(pod)) {
        store.delete(
            &resources::PODS,
            object::namespace(pod),
            object::name(pod),
            &DeleteOptions::default(),
        )?;
    }
    Ok(())
}

/// Announces the end, then declares it: clients that wait for the final condition never see it come first.
fn finish(store: &Store, job: &Value, tally: &Tally, outcome: Outcome) -> Result<(), Status> {
    let (announced, last, reason, message) = match outcome {
        Outcome::Complete => (
            "SuccessCriteriaMet",
            "Complete",
            "CompletionsReached",
            "Reached expected number of succeeded pods",
        ),
        Outcome::Failed { reason, message } => ("FailureTarget", "Failed", reason, message),
    };
    let ended = Tally {
        active: 0,
        ready: 0,
        terminating: 0,
        ..*tally
    };
    for kind in [announced, last] {
        modify(store, job, |job| {
            report(job, &ended);
            let condition = Condition {
                kind,
                status: true,
                reason,
                message: message.to_owned(),
            };
            conditions::add_to_job(job, &condition);
            if kind == "Complete" {
                job["status"]["completionTime"] = object::now().into();
            }
        })?;
    }
    Ok(())
}

fn report(job: &mut Value, tally: &Tally) {
    let mut status = Map::new();
    for kept in ["conditions", "startTime", "completionTime"] {
        if let Some(value) = job["status"].get(kept) {
            status.insert(kept.into(), value.clone());
        }
    }
    for (field, number) in [
        ("active", tally.active),
        ("succeeded", tally.succeeded),
        ("failed", tally.failed),
    ] {
        if number > 0 {
            status.insert(field.into(), number.into());
        }
    }
    status.insert("terminating".into(), tally.terminating.into());
    status.insert("uncountedTerminatedPods".into(), json!({}));
    status.insert("ready".into(), tally.ready.into());
    job["status"] = Value::Object(status);
}

/// Deletes a finished Job when its `ttlSecondsAfterFinished` is over.
fn expire(store: &Store, job: &Value) -> Result<Option<Duration>, Status> {
    let Some(ttl) = job["spec"]["ttlSecondsAfterFinished"].as_u64() else {
        return Ok(None);
    };
    let end = ["Complete", "Failed"]
        .into_iter()
        .find_map(|kind| conditions::find(job, kind));
    let age = end
        .and_then(|end| since(&end["lastTransitionTime"]))
        .unwrap_or_default();
    let left = Duration::from_secs(ttl).saturating_sub(age);
    if !left.is_zero() {
        return Ok(Some(left));
    }
    let options = DeleteOptions {
        uid: Some(object::uid(job).to_owned()),
        ..DeleteOptions::default()
    };
    store.delete(
        &resources::JOBS,
        object::namespace(job),
        object::name(job),
        &options,
    )?;
    Ok(None)
}

fn modify(store: &Store, job: &Value, change: impl FnOnce(&mut Value)) -> Result<Object, Status> {
    store.modify(
        &resources::JOBS,
        object::namespace(job),
        object::name(job),
        change,
    )
}
