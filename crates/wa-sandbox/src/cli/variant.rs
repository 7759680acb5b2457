//! The flags by which clusters of one release differ.

use std::time::Duration;

use clap::Args;
use wa_sandbox::world::{Instances, OtherPatch, Variant};

/// What of the Watson Assistant differs.
#[derive(Debug, Args)]
pub(super) struct VariantArgs {
    /// Service instances: source (five), or others to restore to: target (five), fewer, more, same-names or many (25)
    #[arg(long, value_name = "SET", default_value_t)]
    instances: Instances,

    /// Replicas of each Deployment of the store
    #[arg(
        long,
        value_name = "COUNTS",
        value_delimiter = ',',
        default_value = "2"
    )]
    store_replicas: Vec<u32>,

    /// Replicas of the operator
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    operator_replicas: u32,

    /// Milliseconds from a change until the operator acts on it
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 200)]
    operator_delay: u64,

    /// Milliseconds between two reconciles of the operator, by which temporary patches take effect; really ten minutes
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 5000)]
    operator_period: u64,

    /// Milliseconds between the operator's reading a custom resource and its writing a patch's key there
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 50)]
    operator_write_delay: u64,

    /// Have the operator set the backup CronJob back to its own settings with every reconcile
    #[arg(long)]
    operator_reverts: bool,

    /// Temporary patches of other people: store-assistant-limits, add-custom-webhooks-cert, fix-clu-certs,
    /// data-governor, store-admin-auto-train [default: none]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    patches: Vec<OtherPatch>,

    /// Components whose Deployments a HorizontalPodAutoscaler governs, such as tfmm [default: none]
    #[arg(long, value_name = "COMPONENTS", value_delimiter = ',')]
    autoscaled: Vec<String>,

    /// Replicas of store-admin, which has models trained
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    store_admin_replicas: u32,

    /// How many times faster than real models are trained
    #[arg(long, value_name = "TIMES", default_value_t = 60)]
    retrain_speed: u32,

    /// Milliseconds that pods of Deployments take to start
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 0)]
    pod_start: u64,

    /// Seconds that pods of Deployments take to go
    #[arg(long, value_name = "SECONDS", default_value_t = 2)]
    grace_period: u32,

    /// Size limit of /controller in the PostgreSQL pods, such as 64Mi; with more in it a pod is evicted [default: none]
    #[arg(long, value_name = "QUANTITY")]
    scratch_size: Option<String>,

    /// Size of /dev/shm in the PostgreSQL pods, in memory then [default: none]
    #[arg(long, value_name = "QUANTITY")]
    shm_size: Option<String>,

    /// Have the operator know no counts of the store: it raises what is at 0 to 1, and keeps what else it finds
    #[arg(long)]
    operator_keeps_counts: bool,

    /// Have the instance wo-wa of a watsonx Orchestrate in the same namespace
    #[arg(long)]
    orchestrate: bool,
}

impl VariantArgs {
    pub(super) fn variant(&self) -> Variant {
        Variant {
            instances: self.instances,
            store_replicas: self.store_replicas.clone(),
            operator_replicas: self.operator_replicas,
            operator_delay: Duration::from_millis(self.operator_delay),
            operator_period: Duration::from_millis(self.operator_period),
            operator_write_delay: Duration::from_millis(self.operator_write_delay),
            operator_reverts: self.operator_reverts,
            patches: self.patches.clone(),
            autoscaled: self.autoscaled.clone(),
            store_admin_replicas: self.store_admin_replicas,
            retrain_speed: self.retrain_speed,
            pod_start: Duration::from_millis(self.pod_start),
            grace_seconds: self.grace_period,
            scratch_size: self.scratch_size.clone(),
            shm_size: self.shm_size.clone(),
            operator_keeps_counts: self.operator_keeps_counts,
            orchestrate: self.orchestrate,
        }
    }

    /// The flags, for a process that is to run the same cluster.
    pub(super) fn repeated(&self) -> Vec<String> {
        let counts: Vec<_> = self.store_replicas.iter().map(u32::to_string).collect();
        let mut flags = vec![
            format!("--instances={}", self.instances),
            format!("--store-replicas={}", counts.join(",")),
            format!("--operator-replicas={}", self.operator_replicas),
            format!("--operator-delay={}", self.operator_delay),
            format!("--operator-period={}", self.operator_period),
            format!("--operator-write-delay={}", self.operator_write_delay),
            format!("--store-admin-replicas={}", self.store_admin_replicas),
            format!("--retrain-speed={}", self.retrain_speed),
            format!("--pod-start={}", self.pod_start),
            format!("--grace-period={}", self.grace_period),
        ];
        flags.extend(
            self.patches
                .iter()
                .map(|patch| format!("--patches={patch}")),
        );
        let autoscaled = self.autoscaled.iter();
        flags.extend(autoscaled.map(|component| format!("--autoscaled={component}")));
        flags.extend(
            self.scratch_size
                .iter()
                .map(|size| format!("--scratch-size={size}")),
        );
        flags.extend(
            self.shm_size
                .iter()
                .map(|size| format!("--shm-size={size}")),
        );
        flags.extend(
            self.operator_keeps_counts
                .then(|| "--operator-keeps-counts".to_owned()),
        );
        flags.extend(self.orchestrate.then(|| "--orchestrate".to_owned()));
        let reverts = self.operator_reverts;
        flags.extend(reverts.then(|| "--operator-reverts".to_owned()));
        flags
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        variant: VariantArgs,
    }

    fn parse(flags: &[String]) -> VariantArgs {
        let line = ["up".to_owned()].into_iter().chain(flags.iter().cloned());
        Line::try_parse_from(line).unwrap().variant
    }

    #[test]
    fn a_detached_cluster_is_the_one_that_was_asked_for() {
        assert_eq!(parse(&[]).variant(), Variant::default());
        let flags = "--instances=more --store-replicas=3,2 --operator-replicas=2 --operator-delay=5 --grace-period=7 \
                     --scratch-size=64Mi --shm-size=1Gi --operator-keeps-counts --orchestrate --operator-reverts --operator-period=6 --operator-write-delay=8 \
                     --patches=fix-clu-certs,data-governor --store-admin-replicas=3 --retrain-speed=9 --pod-start=4 --autoscaled=tfmm,clu-training";
        let flags: Vec<_> = flags.split_whitespace().map(str::to_owned).collect();
        let asked = parse(&flags);
        assert_eq!(asked.variant().store_replicas, [3, 2]);
        assert_eq!(asked.variant().patches.len(), 2);
        assert_eq!(parse(&asked.repeated()).variant(), asked.variant());
    }
}
