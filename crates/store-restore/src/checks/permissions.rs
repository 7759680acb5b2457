//! Whether the user may do what a restore does, in both namespaces.

use wa_common::assistant::Instance;
use wa_common::preflight::{Finding, in_short, in_words, require_permissions};

use super::Run;
use crate::permissions::{Touched, to_restore, to_stop_operator};
use crate::target::Scaled;

impl Run<'_> {
    pub(super) async fn permissions(
        &mut self,
        instance: &Finding<Instance>,
        touched: &Touched<'_>,
    ) {
        let cluster = self.cluster;
        let look = async |instance: &Instance| {
            let needed = to_restore(instance, touched);
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
        let needed = to_stop_operator();
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
