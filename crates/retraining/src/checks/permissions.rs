//! What the user must be allowed to do in the operands' namespace.

use wa_common::cluster::Permission;
use wa_common::preflight::{Needed, to_exec};
use wa_common::run::journal::JournaledRun;

use super::Purpose;
use crate::kinds::GROUP;
use crate::procedure::Retraining;

/// What a command with this purpose does, and what undoing it takes.
pub fn needed_permissions(purpose: Purpose) -> Vec<Needed> {
    let mut needed: Vec<Permission> = ["list", "get", "create", "delete", "patch"]
        .map(|verb| Permission::new(verb, GROUP, "temporarypatches"))
        .into();
    needed.push(Permission::new("get", "apps", "deployments"));
    needed.push(Permission::new("list", "", "pods"));
    needed.push(Permission::new("get", "", "pods").on_subresource("log"));
    let mut kinds = Vec::new();
    if purpose.scales {
        kinds.extend([
            "watsonassistantclutrainings",
            "watsonassistantcluruntimes",
            "watsonassistantclus",
        ]);
        needed.push(Permission::new("patch", "apps", "deployments").on_subresource("scale"));
        needed.push(Permission::new(
            "list",
            "autoscaling",
            "horizontalpodautoscalers",
        ));
    }
    if purpose.starts {
        kinds.push("watsonassistantstores");
        needed.push(Permission::new("patch", "apps", "deployments"));
        needed.push(Permission::new("get", "", "pods"));
        needed.push(Permission::new("get", "", "secrets"));
    }
    for kind in kinds {
        needed.extend(["get", "patch"].map(|verb| Permission::new(verb, GROUP, kind)));
    }
    needed.extend(JournaledRun::<Retraining>::permissions());
    let mut needed: Vec<Needed> = needed.into_iter().map(Needed::from).collect();
    if purpose.starts {
        needed.extend(to_exec());
    }
    needed
}
