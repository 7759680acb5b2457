//! What the user must be allowed to do, in both namespaces.

use wa_common::assistant::Instance;
use wa_common::cluster::Permission;
use wa_common::preflight::{Needed, in_words, require_permissions, to_exec};

use super::Run;
use crate::target::OPERATOR;

impl Run<'_> {
    pub(super) async fn permissions(&mut self, instance: &Instance) {
        let needed = self.in_operands(instance);
        let operands = require_permissions(self.cluster, &needed).await;
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
        ]
        .map(Needed::from);
        let outcome = require_permissions(&operators, &needed).await;
        self.list.add("permissions of the operator", outcome, |()| {
            in_words(&needed)
        });
    }

    fn in_operands(&self, instance: &Instance) -> Vec<Needed> {
        let mut needed = vec![Permission::new("list", "", "pods").into()];
        needed.extend(to_exec());
        needed.extend([
            Permission::new("list", "apps", "deployments").into(),
            Permission::new("patch", "apps", "deployments")
                .on_subresource("scale")
                .into(),
        ]);
        if let Some(cron_job) = &self.facts.cron_job {
            let nightly = Permission::new("patch", "batch", "cronjobs");
            needed.push(nightly.named(cron_job.name()).into());
        }
        if self.facts.redis {
            let redis = Permission::new("patch", "apps", "statefulsets");
            needed.push(redis.named(instance.redis_server()).into());
        }
        if self.facts.key_differs {
            let secret = Permission::new("patch", "", "secrets");
            needed.push(secret.named(instance.auth_encryption_name()).into());
        }
        needed
    }
}
