//! Removing what was found.

use wa_common::assistant::Instance;
use wa_common::cluster::Cluster;
use wa_common::report::{Event, Reporter};

use super::findings::Finding;
use crate::kinds::Kinds;
use crate::operator::Operator;
use crate::plan::patched;
use crate::procedure::{Objects, OriginalVariable, ProcedureError};
use crate::settings::ENABLED;

/// Removes what can be removed of these findings, in their order, and tells each. A patch is only asked to go: the operator
/// lets it go.
pub async fn repair(
    cluster: &Cluster,
    instance: &Instance,
    operators_namespace: Option<&str>,
    findings: &[Finding],
    reporter: &dyn Reporter,
) -> Result<(), ProcedureError> {
    let kinds = Kinds::discover(cluster).await?;
    let objects = Objects::new(cluster, instance, kinds);
    let done = |detail: String| {
        reporter.report(&Event::Step {
            step: "removed",
            detail,
        });
    };
    for finding in findings.iter().filter(|one| one.can_be_removed()) {
        match finding {
            Finding::DanglingKey { custom_resource, key, .. } => {
                // Somebody may have made that patch meanwhile.
                if objects.patch(key).await?.is_some() {
                    continue;
                }
                let patched = patched().into_iter().find(|one| one.kind == custom_resource);
                if let Some(patched) = patched {
                    objects.remove_key(patched, key).await?;
                    done(format!("the key {key} from {custom_resource} {}", instance.name));
                }
            }
            Finding::RetrainingPatch { patch, uid, .. } | Finding::ReplicaPatch { patch, uid, .. } => {
                Operator::find(cluster, operators_namespace).await?.require_up()?;
                objects.delete_patch(patch, uid).await?;
                done(format!("TemporaryPatch {patch}; what it did goes with the operator's next round"));
            }
            Finding::Enabled { deployment, blocked: true, .. } => reporter.report(&Event::Step {
                step: "left",
                detail: format!("{deployment}: the operator renders it anew, now that nothing keeps it from that"),
            }),
            Finding::Enabled { deployment, .. } => {
                let found = objects.deployment(deployment).await?;
                let off = OriginalVariable {
                    name: ENABLED.to_owned(),
                    entry: None,
                };
                if !objects.set_variables(&found, &[off]).await? {
                    return Err(ProcedureError::Contended {
                        what: format!("deployment {deployment}"),
                    });
                }
                done(format!("{ENABLED} from {deployment}"));
            }
            Finding::Scaled { .. } => {}
        }
    }
    Ok(())
}
