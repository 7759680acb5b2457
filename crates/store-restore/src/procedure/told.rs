//! What a step is called, what its plan must look like, and what a person types to undo it.

use std::path::Path;

use backup_set::scheme_of;
use wa_common::run::journal::StepRecord;

use super::{Outcome, Restore, RestorePlan, Step};
use crate::plan::{require_stage_dir, word};

/// More replicas than anything here ever has.
const MOST_REPLICAS: i32 = 1000;
/// The longest DNS subdomain.
const LONGEST_NAME: usize = 253;

/// What a step does.
pub(super) fn describe(step: &Step) -> String {
    match step {
        Step::Stage => "files staged in a PostgreSQL pod".to_owned(),
        Step::Connections => "connections tested".to_owned(),
        Step::SuspendBackups { cron_job, .. } => format!("cronjob {cron_job} suspended"),
        // With both counts, so that "undone: …" is not taken for what it is scaled to now.
        Step::StopOperator { name, replicas, .. } | Step::StopStore { name, replicas } => {
            format!("deployment {name} scaled from {replicas} to 0")
        }
        Step::CopyDatabase => "database copied inside its server".to_owned(),
        Step::ReadyToMigrate => "nobody at the database".to_owned(),
        Step::Migrate => "database erased and restored by pgmig".to_owned(),
        Step::Check => "database held against the backup".to_owned(),
        Step::EncryptionKey { secret } => format!("encryption key in secret {secret} replaced"),
        Step::StartStore { name, replicas } | Step::StartOperator { name, replicas, .. } => {
            format!("deployment {name} scaled back to {replicas}")
        }
        Step::ResumeBackups { cron_job, .. } => format!("cronjob {cron_job} as it was"),
        Step::RestartRedis { stateful_set } => format!("statefulset {stateful_set} restarted"),
        Step::StoreReady => "store ready".to_owned(),
        Step::Settle => "everything ready".to_owned(),
        Step::CleanUp => "staged files removed".to_owned(),
    }
}

/// Whether a plan can be this plugin's: whoever may change ConfigMaps could have written it, and what stands in it is
/// scaled, renamed and removed.
pub(super) fn validate(plan: &RestorePlan, steps: &[StepRecord<Restore>]) -> Result<(), String> {
    for name in [&plan.instance, &plan.namespace, &plan.pod] {
        require_name(name)?;
    }
    require_stage_dir(&plan.stage_dir).map_err(|error| error.to_string())?;
    let backup = Path::new(&plan.backup.path);
    let is_url = scheme_of(backup).is_some();
    for path in [&plan.backup.path, &plan.pgmig.path, &plan.log.directory] {
        let is_place = Path::new(path).is_absolute() || is_url && *path == plan.backup.path;
        require(is_place && !path.chars().any(char::is_control), || {
            format!("{path:?} is no absolute path")
        })?;
    }
    for StepRecord { step, state } in steps {
        match step {
            Step::SuspendBackups { cron_job: name, .. }
            | Step::ResumeBackups { cron_job: name, .. }
            | Step::EncryptionKey { secret: name }
            | Step::RestartRedis { stateful_set: name } => require_name(name)?,
            Step::StopStore { name, replicas } | Step::StartStore { name, replicas } => {
                require_name(name)?;
                require_replicas(*replicas)?;
            }
            Step::StopOperator {
                namespace,
                name,
                replicas,
            }
            | Step::StartOperator {
                namespace,
                name,
                replicas,
            } => {
                require_name(namespace)?;
                require_name(name)?;
                require_replicas(*replicas)?;
            }
            Step::Stage
            | Step::Connections
            | Step::CopyDatabase
            | Step::ReadyToMigrate
            | Step::Migrate
            | Step::Check
            | Step::StoreReady
            | Step::Settle
            | Step::CleanUp => {}
        }
        if let Some(Outcome::Staged { pod }) = state.outcome() {
            require_name(pod)?;
        }
    }
    Ok(())
}

fn require(holds: bool, problem: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(problem()) }
}

/// A name as Kubernetes allows it, which no shell and no URL takes for anything else.
fn require_name(name: &str) -> Result<(), String> {
    let is_plain = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.')
    };
    let begins = name
        .bytes()
        .next()
        .is_some_and(|first| first.is_ascii_alphanumeric());
    require(
        begins && name.len() <= LONGEST_NAME && name.bytes().all(is_plain),
        || format!("there can be no object called {name:?}"),
    )
}

fn require_replicas(replicas: i32) -> Result<(), String> {
    require((1..=MOST_REPLICAS).contains(&replicas), || {
        format!("{replicas} is no number of replicas to come back to")
    })
}

/// The commands that undo a step. There are none for what came back into service: nobody is to type, at night, what
/// takes it down again.
pub(super) fn manual_commands(
    plan: &RestorePlan,
    step: &Step,
    namespace: &str,
    run: &str,
) -> String {
    let scale = |namespace: &str, name: &str, replicas: i32| {
        format!("kubectl scale -n {namespace} deployment/{name} --replicas={replicas}")
    };
    match step {
        Step::Stage => format!(
            "kubectl exec -n {namespace} {} -c postgres -- rm -rf {}",
            plan.pod,
            word(&plan.directory(run))
        ),
        Step::SuspendBackups {
            cron_job,
            suspended,
        } => {
            let patch = word(&format!(r#"{{"spec":{{"suspend":{suspended}}}}}"#));
            format!("kubectl patch -n {namespace} cronjob/{cron_job} --type=merge -p {patch}")
        }
        Step::StopOperator {
            namespace,
            name,
            replicas,
        } => scale(namespace, name, *replicas),
        Step::StopStore { name, replicas } => scale(namespace, name, *replicas),
        Step::StartOperator { .. }
        | Step::StartStore { .. }
        | Step::ResumeBackups { .. }
        | Step::CopyDatabase
        | Step::ReadyToMigrate
        | Step::Migrate
        | Step::EncryptionKey { .. }
        | Step::Connections
        | Step::Check
        | Step::RestartRedis { .. }
        | Step::StoreReady
        | Step::Settle
        | Step::CleanUp => String::new(),
    }
}

/// What to do about a run that stopped.
pub(super) fn advice(plan: &RestorePlan, namespace: &str) -> String {
    let target = format!("-n {namespace} -i {}", plan.instance);
    format!(
        "see `kubectl wa-restore status {target}`; go on with `kubectl wa-restore resume {target}`, or back with `kubectl wa-restore rollback {target}`"
    )
}
