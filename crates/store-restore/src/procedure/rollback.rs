//! The way back as a whole: the old database, the counts of before, nothing left in the pod.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use kube_transfer::job::{JobDirectory, JobState};
use wa_common::cluster::Cluster;
use wa_common::report::{Event, Reporter};
use wa_common::run::journal::{FoundRun, JournaledRun, Next, StepRecord};

use super::database::{self, Names};
use super::place::{PGMIG, Place, database_is_touched, is_taken_back};
use super::work::Work;
use super::workload::{self, GONE_WITHIN};
use super::{Restore, RestorePlan, Step, quiesce};
use crate::database::{PodProcess, pod_processes};
use crate::safety_set::{SafetySet, restore_set};

/// How long pgmig may take to end when it is asked to.
const ENDS_WITHIN: Duration = Duration::from_secs(30);

/// What a rollback came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolledBack {
    /// Whether the database was exchanged for the one of before.
    pub database: bool,
}

/// Whether nothing but the safety backup leads back from this run: there is no copy of the database inside its server.
pub async fn needs_safety_backup(
    cluster: &Cluster,
    found: &FoundRun<Restore>,
) -> anyhow::Result<bool> {
    if !database_is_touched(found.steps()) {
        return Ok(false);
    }
    let server = database::server(cluster, found.plan()).await?;
    Ok(!database::has_way_back(&server, found.run_id()).await?)
}

/// Goes back to what was before the run. `safety` is the safety backup, which is used where there is no
/// copy inside the server.
pub async fn roll_back(
    work: &Work<'_>,
    mut run: JournaledRun<Restore>,
    safety: Option<PathBuf>,
) -> anyhow::Result<RolledBack> {
    let steps = run.steps();
    let exchanged = database_is_touched(&steps) || is_taken_back(&steps);
    if database_is_touched(&steps) {
        let plan = run.plan();
        let place = Place::from_plan(&plan, run.run_id(), &steps);
        run.guard(end_pgmig(work, &place)).await??;
        let id = run.run_id().to_owned();
        let prepared = prepare_database(work, &plan, &id, safety);
        run.guard(prepared).await??;
        // The operator first, which would bring back the store that is scaled down after it.
        stop_again(work, &mut run).await?;
        undo_what_came_after(&mut run).await?;
        let stopped = require_stopped(work.cluster, &steps, &**work.reporter);
        run.guard(stopped).await??;
    }
    let redis = steps.iter().find_map(|record| match &record.step {
        Step::RestartRedis { stateful_set } => Some(stateful_set.clone()),
        _ => None,
    });
    run.roll_back().await?;
    if let Some(redis) = redis.filter(|_| exchanged)
        && let Err(error) = workload::restart(work.cluster, &redis).await
    {
        // Everything else is as it was.
        work.warn(format!(
            "{redis} is not restarted, and its cache may be that of the other database: {error}"
        ));
    }
    Ok(RolledBack {
        database: exchanged,
    })
}

/// Ends a pgmig that is at work: it must not get at the database of before, which it would connect to by the name that
/// has. A pg_restore that it leaves behind is disconnected when the databases are exchanged. What cannot be asked is not
/// taken for ended.
async fn end_pgmig(work: &Work<'_>, place: &Place) -> anyhow::Result<()> {
    let Some(job) = place.job(work.cluster).await? else {
        return Ok(());
    };
    let Err(error) = end_job(work, &job, place).await else {
        return Ok(());
    };
    // The pod may have gone meanwhile, and pgmig with it.
    if place.job(work.cluster).await?.is_none() {
        return Ok(());
    }
    Err(error)
}

async fn end_job(work: &Work<'_>, job: &JobDirectory, place: &Place) -> anyhow::Result<()> {
    let pod = &place.container.pod;
    let not_known = || {
        format!(
            "pod {pod} cannot be asked about pgmig, which may be at work in it: wait until the pod, or its node, is back; \
             where the node is off for good, delete the pod; then run `rollback` again"
        )
    };
    match job.status().await.with_context(not_known)? {
        JobState::Running(job) => {
            work.reporter.report(&Event::Step {
                step: "pgmig",
                detail: "is at work, and is ended".to_owned(),
            });
            job.stop(ENDS_WITHIN).await.with_context(not_known)?;
        }
        JobState::Starting => bail!("pgmig is just being started: try again in a moment"),
        JobState::Absent | JobState::Ended(_) | JobState::Gone(_) => {}
    }
    // One whose wrapper alone was killed, as for want of memory, goes on.
    let processes = pod_processes(work.cluster, &place.container, Some(&place.directory));
    let processes = processes.await.with_context(not_known)?;
    if let Some(left) = processes.iter().find(|process| is_pgmig(process, place)) {
        bail!(
            "pgmig is at work in pod {pod} as process {pid}, and what watched over it was killed: end it with `kubectl exec -n {} {pod} -c {} -- kill {pid}`, and run `rollback` again",
            place.container.namespace,
            place.container.container,
            pid = left.pid
        );
    }
    Ok(())
}

/// Whether a process is the pgmig that was staged in this place.
fn is_pgmig(process: &PodProcess, place: &Place) -> bool {
    let directory = process.directory.as_deref().unwrap_or_default();
    process.program == PGMIG && directory.starts_with(&place.directory)
}

/// Sees to it that there is a database to go back to.
async fn prepare_database(
    work: &Work<'_>,
    plan: &RestorePlan,
    run: &str,
    safety: Option<PathBuf>,
) -> anyhow::Result<()> {
    let server = database::server(work.cluster, plan).await?;
    // A backup that was named is taken before a copy.
    let is_there = if safety.is_none() {
        database::has_way_back(&server, run).await?
    } else {
        database::is_back(&server, run).await?
    };
    if is_there {
        return Ok(());
    }
    let recorded = plan.safety.as_ref();
    let path = safety.or_else(|| recorded.map(|safety| PathBuf::from(&safety.path)));
    let path = path.context(
        "there is no copy of the database inside its server, and no safety backup was taken: name a backup to go back to with --safety SET",
    )?;
    let digest = recorded.map(|safety| safety.dump_sha256.as_str());
    let set = SafetySet::open(&work.inputs.opener, &path, digest).await.with_context(|| {
        let host = recorded.map_or_else(String::new, |safety| {
            format!(" (it was taken on {} as {})", safety.host, safety.path)
        });
        format!(
            "there is no copy of the database inside its server, and the safety backup cannot be used; name it with --safety SET{host}"
        )
    })?;
    work.reporter.report(&Event::Step {
        step: "safety backup",
        detail: format!("{} is restored beside the database", path.display()),
    });
    let directory = format!("{}-safety", plan.directory(run));
    let name = Names::from_run(run).safety;
    restore_set(&server, &set, &name, &directory, &**work.reporter).await?;
    Ok(())
}

/// Undoes the steps after pgmig's, the last one first: what came back stops again.
async fn undo_what_came_after(run: &mut JournaledRun<Restore>) -> anyhow::Result<()> {
    let steps = run.steps();
    let migrate = steps.iter().position(|record| record.step == Step::Migrate);
    let after = migrate.map_or(steps.len(), |at| at + 1);
    for at in (after..steps.len()).rev() {
        if steps[at].state.stands() {
            run.undo(at).await?;
        }
    }
    Ok(())
}

/// Stops again what came back when the run stopped, so that the journal brings it back once more.
async fn stop_again(work: &Work<'_>, run: &mut JournaledRun<Restore>) -> anyhow::Result<()> {
    loop {
        let Next::Step(pending) = run.next_step() else {
            return Ok(());
        };
        if !pending.step().stops() {
            return Ok(());
        }
        let started = pending.start().await?;
        // Not as one of the steps of a restore, which has the backup read before anything stops: the way back needs none.
        let outcome = quiesce::stop(work, &started).await?;
        started.done(outcome).await?;
    }
}

/// Sees to it that nothing is up that writes to the database, whoever has started it.
async fn require_stopped(
    cluster: &Cluster,
    steps: &[StepRecord<Restore>],
    reporter: &dyn Reporter,
) -> anyhow::Result<()> {
    for record in steps {
        let (cluster, name) = match &record.step {
            Step::StopOperator {
                namespace, name, ..
            } => (cluster.in_namespace(namespace), name),
            Step::StopStore { name, .. } => (cluster.clone(), name),
            _ => continue,
        };
        if workload::replicas(&workload::deployment(&cluster, name).await?) != 0 {
            workload::scale(&cluster, name, 0).await?;
        }
        workload::pods_gone(&cluster, name, GONE_WITHIN, reporter).await?;
    }
    Ok(())
}
