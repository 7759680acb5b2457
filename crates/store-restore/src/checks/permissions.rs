//! What the user must be allowed to do, in both namespaces.

use anyhow::ensure;
use wa_common::assistant::Instance;
use wa_common::cluster::{Cluster, Permission};

use super::Run;
use crate::target::OPERATOR;

impl Run<'_> {
    pub(super) async fn permissions(&mut self, instance: &Instance) {
        let needed = self.in_operands(instance);
        let operands = missing(self.cluster, &needed).await;
        self.list
            .add("permissions", operands, |()| in_words(&needed));
        let Some(operator) = &self.facts.operator else {
            return self.list.skip("permissions of the operator", "operator");
        };
        let operators = self.cluster.in_namespace(&operator.namespace);
        let needed = [
            Permission::new("list", "", "pods"),
            Permission::new("patch", "apps", "deployments")
                .on_subresource("scale")
                .named(OPERATOR),
        ];
        let outcome = missing(&operators, &needed).await;
        self.list.add("permissions of the operator", outcome, |()| {
            in_words(&needed)
        });
    }

    fn in_operands(&self, instance: &Instance) -> Vec<Permission> {
        let mut needed = vec![
            Permission::new("list", "", "pods"),
            Permission::new("get", "", "pods").on_subresource("exec"),
            Permission::new("create", "", "pods").on_subresource("exec"),
            Permission::new("list", "apps", "deployments"),
            Permission::new("patch", "apps", "deployments").on_subresource("scale"),
        ];
        if let Some(cron_job) = &self.facts.cron_job {
            needed.push(Permission::new("patch", "batch", "cronjobs").named(cron_job.name()));
        }
        if self.facts.redis {
            let redis = Permission::new("patch", "apps", "statefulsets");
            needed.push(redis.named(instance.redis_server()));
        }
        if self.facts.key_differs {
            let secret = Permission::new("patch", "", "secrets");
            needed.push(secret.named(instance.auth_encryption_name()));
        }
        needed
    }
}

async fn missing(cluster: &Cluster, needed: &[Permission]) -> anyhow::Result<()> {
    let mut missing = Vec::new();
    for permission in needed {
        if !cluster.may(permission).await? {
            missing.push(permission.to_string());
        }
    }
    ensure!(
        missing.is_empty(),
        "you may not {} in namespace {:?}; ask a cluster administrator for a role that allows it",
        missing.join(", "),
        cluster.namespace()
    );
    Ok(())
}

fn in_words(needed: &[Permission]) -> String {
    let words: Vec<String> = needed.iter().map(ToString::to_string).collect();
    words.join(", ")
}
