//! Every change that a restore makes to objects of the cluster, sent to the API server without being made.

use anyhow::Context as _;
use k8s_openapi::api::core::v1::Secret;
use kube::api::ObjectMeta;
use wa_common::cluster::Cluster;
use wa_common::run::journal::{JournaledRun, LockName, Procedure as _, Tried, try_create};

use super::Restore;
use super::workload::{self, TRIAL};
use crate::checks::Facts;
use crate::encryption_key::try_key;

/// Asks for all of them, as far as it was found out what they are, and whatever becomes of the others.
pub async fn try_changes(
    cluster: &Cluster,
    facts: &Facts,
    keep_encryption_key: bool,
) -> anyhow::Result<Vec<Tried>> {
    let Some(instance) = &facts.instance else {
        return Ok(Vec::new());
    };
    let operator = facts
        .operator
        .as_ref()
        .map(|operator| (cluster.in_namespace(&operator.namespace), operator));
    let locks = operator
        .iter()
        .map(|(cluster, operator)| LockName::for_deployment(cluster, &operator.name));
    let locks: Vec<LockName> = locks.collect();
    let mut tried = JournaledRun::<Restore>::try_begin(cluster, &instance.name, &locks).await?;
    if let Some(cron_job) = &facts.cron_job {
        let name = cron_job.name();
        let answer = workload::send_suspend(cluster, &name, true, &TRIAL).await;
        tried.push(Tried::new(
            format!("suspend cronjob {name}"),
            cluster,
            answer,
        ));
    }
    let stores = facts.stores.iter().flatten();
    let stopped = operator
        .iter()
        .map(|(cluster, operator)| (cluster, *operator))
        .chain(stores.map(|store| (cluster, store)));
    for (cluster, scaled) in stopped {
        let name = &scaled.name;
        for replicas in [0, scaled.replicas] {
            let answer = workload::send_scale(cluster, name, replicas, &TRIAL).await;
            let change = format!("scale deployment {name} to {replicas}");
            tried.push(Tried::new(change, cluster, answer));
        }
    }
    if facts.key_differs && !keep_encryption_key {
        tried.extend(try_encryption_key(cluster, facts).await?);
    }
    if facts.redis {
        let name = instance.redis_server();
        let answer = workload::send_restart(cluster, &name, &TRIAL).await;
        let change = format!("restart statefulset {name}");
        tried.push(Tried::new(change, cluster, answer));
    }
    Ok(tried)
}

/// The Secret that keeps the old key, here without it, and the backup's in the place of the target's.
async fn try_encryption_key(cluster: &Cluster, facts: &Facts) -> anyhow::Result<Vec<Tried>> {
    let (Some(instance), Some(source), Some(target)) =
        (&facts.instance, &facts.source, &facts.target_key)
    else {
        return Ok(Vec::new());
    };
    let kept = Secret {
        metadata: ObjectMeta {
            name: Some(format!("{}-dry-run-key", Restore::PLUGIN)),
            ..ObjectMeta::default()
        },
        ..Secret::default()
    };
    let kept = try_create(cluster, &kept).await;
    let new = source.key()?.context("the backup has no key")?;
    let answer = try_key(cluster, instance, target, &new).await;
    let change = format!(
        "replace the key in secret {}",
        instance.auth_encryption_name()
    );
    Ok(vec![kept, Tried::new(change, cluster, answer)])
}
