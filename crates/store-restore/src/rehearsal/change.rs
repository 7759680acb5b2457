//! What a rehearsal makes in the cluster, as data that a later one can undo.

use std::time::Duration;

use anyhow::ensure;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use serde::{Deserialize, Serialize};
use wa_common::run::{Change, Undoing};

/// What rehearsals are called in the records. Not as the plugin: its other runs keep theirs in another way.
pub const RUNS: &str = "wa-rehearse";
/// How long an object may take to be gone.
const GONE_WITHIN: Duration = Duration::from_mins(1);

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum RehearsalChange {
    /// The pod that the set is restored in.
    Pod {
        /// Its name.
        name: String,
    },
    /// What keeps the pod from the network.
    NetworkPolicy {
        /// Its name.
        name: String,
    },
}

impl RehearsalChange {
    /// The pod of the run called `run`.
    pub(super) fn pod(run: &str) -> Self {
        Self::Pod {
            name: format!("{run}-postgres"),
        }
    }

    /// The policy of the run called `run`.
    pub(super) fn network_policy(run: &str) -> Self {
        Self::NetworkPolicy {
            name: format!("{run}-no-network"),
        }
    }

    pub(super) fn name(&self) -> &str {
        match self {
            Self::Pod { name } | Self::NetworkPolicy { name } => name,
        }
    }

    /// Whether the run called `run` can have made it. Whoever may write Leases could have recorded anything.
    fn is_of(&self, run: &str) -> bool {
        [Self::pod(run), Self::network_policy(run)].contains(self)
    }
}

impl Change for RehearsalChange {
    fn describe(&self) -> String {
        match self {
            Self::Pod { name } => format!("pod {name}"),
            Self::NetworkPolicy { name } => format!("networkpolicy {name}"),
        }
    }

    async fn undo(&self, undoing: Undoing<'_>) -> anyhow::Result<()> {
        ensure!(
            self.is_of(undoing.run),
            "the record of {} is not what a rehearsal writes, and nothing was done; look at its lease",
            undoing.run
        );
        match self {
            Self::Pod { name } => undoing.delete::<Pod>(name, GONE_WITHIN).await?,
            Self::NetworkPolicy { name } => {
                undoing.delete::<NetworkPolicy>(name, GONE_WITHIN).await?;
            }
        }
        Ok(())
    }

    fn manual_commands(&self, namespace: &str, run: &str) -> String {
        if !self.is_of(run) {
            return format!("kubectl get lease {run} -n {namespace} -o yaml");
        }
        match self {
            Self::Pod { name } => format!("kubectl delete pod {name} -n {namespace}"),
            Self::NetworkPolicy { name } => {
                format!("kubectl delete networkpolicy {name} -n {namespace}")
            }
        }
    }

    fn clean_up(_plugin: &str) -> String {
        "kubectl wa-restore rehearse --clean-up".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_command_is_made_of_what_no_rehearsal_wrote() {
        let commands = |name: &str| {
            let change = RehearsalChange::Pod {
                name: name.to_owned(),
            };
            change.manual_commands("cpd", "wa-rehearse-1")
        };
        assert_eq!(
            commands("wa-rehearse-1-postgres"),
            "kubectl delete pod wa-rehearse-1-postgres -n cpd"
        );
        for name in [
            "wa-etcd-0",
            "wa-rehearse-12-x",
            "wa-rehearse-1-x; reboot",
            "",
        ] {
            assert_eq!(
                commands(name),
                "kubectl get lease wa-rehearse-1 -n cpd -o yaml"
            );
        }
    }
}
