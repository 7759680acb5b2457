//! What the user must be allowed to do, in both namespaces.

use wa_common::assistant::{BackupCronJob, Instance, OPERATOR};
use wa_common::cluster::Permission;
use wa_common::preflight::{Finding, Needed, in_short, in_words, require_permissions, to_exec};

use super::Run;
use crate::target::Scaled;

/// What a restore changes beside the Deployments, in this installation.
pub(super) struct Touched<'a> {
    /// The nightly backup, which is suspended meanwhile.
    pub(super) cron_job: Option<&'a BackupCronJob>,
    /// Whether there is a Redis to restart.
    pub(super) redis: bool,
    /// Whether the backup's key takes the place of the target's.
    pub(super) key: bool,
}

impl Run<'_> {
    pub(super) async fn permissions(
        &mut self,
        instance: &Finding<Instance>,
        touched: &Touched<'_>,
    ) {
        let cluster = self.cluster;
        let look = async |instance: &Instance| {
            let needed = in_operands(instance, touched);
            require_permissions(cluster, &needed).await?;
            Ok(needed)
        };
        let conditions = &mut self.conditions;
        let found = conditions
            .check("permissions", instance, look, |needed| in_words(needed))
            .await;
        if let Some(needed) = found.value() {
            conditions.shorten(&found, in_short(needed));
        }
    }

    pub(super) async fn permissions_of_operator(&mut self, operator: &Finding<Scaled>) {
        let cluster = self.cluster;
        let needed: Vec<Needed> = [
            Permission::new("list", "", "pods"),
            Permission::new("get", "apps", "deployments").named(OPERATOR),
            Permission::new("patch", "apps", "deployments")
                .on_subresource("scale")
                .named(OPERATOR),
        ]
        .into_iter()
        .chain(for_a_lock())
        .map(Needed::from)
        .collect();
        let look = async |operator: &Scaled| {
            require_permissions(&cluster.in_namespace(&operator.namespace), &needed).await
        };
        let detail = |(): &()| in_words(&needed);
        let conditions = &mut self.conditions;
        let found = conditions
            .check("permissions of the operator", operator, look, detail)
            .await;
        conditions.shorten(&found, in_short(&needed));
    }
}

/// What a lock takes where it is.
fn for_a_lock() -> [Permission; 4] {
    ["create", "get", "update", "delete"]
        .map(|verb| Permission::new(verb, "coordination.k8s.io", "leases"))
}

fn in_operands(instance: &Instance, touched: &Touched<'_>) -> Vec<Needed> {
    let mut needed = ["get", "list"]
        .map(|verb| Permission::new(verb, "", "pods").into())
        .to_vec();
    needed.extend(to_exec());
    // The journal.
    needed.extend(
        ["create", "get", "update"].map(|verb| Permission::new(verb, "", "configmaps").into()),
    );
    needed.extend(for_a_lock().map(Needed::from));
    needed.extend([
        Permission::new("get", "apps", "deployments").into(),
        Permission::new("list", "apps", "deployments").into(),
        Permission::new("patch", "apps", "deployments")
            .on_subresource("scale")
            .into(),
    ]);
    if let Some(cron_job) = touched.cron_job {
        let nightly = Permission::new("patch", "batch", "cronjobs");
        needed.push(nightly.named(cron_job.name()).into());
        needed.push(Permission::new("list", "batch", "jobs").into());
    }
    if touched.redis {
        let redis = Permission::new("patch", "apps", "statefulsets");
        needed.push(redis.named(instance.redis_server()).into());
    }
    if touched.key {
        let secret = Permission::new("patch", "", "secrets");
        needed.push(secret.named(instance.auth_encryption_name()).into());
        // The old key is kept in one of the run.
        needed.extend(["create", "delete"].map(|verb| Permission::new(verb, "", "secrets").into()));
    }
    needed
}
