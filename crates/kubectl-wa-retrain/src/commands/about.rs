//! What a user of each command should know before.

use retraining::checks::{Purpose, needed_permissions};
use wa_common::cli::{About, permissions};

pub(super) const ESTIMATE: About = About {
    examples: &[
        "kubectl wa-retrain estimate",
        "kubectl wa-retrain estimate --workspaces 1200 --pods 5,20",
    ],
    changes: "nothing",
    permissions: || {
        vec!["with --workspaces none, since no cluster is asked; else:".to_owned()]
            .into_iter()
            .chain(to_look())
            .collect()
    },
};

pub(super) const PLAN: About = About {
    examples: &[
        "kubectl wa-retrain plan --replicas 10",
        "kubectl wa-retrain plan --replicas 10 --at 2099-12-01T22:00Z --manifests",
    ],
    changes: "nothing",
    permissions: to_look,
};

pub(super) const CHECK: About = About {
    examples: &[
        "kubectl wa-retrain check",
        "kubectl wa-retrain check --operators-namespace cpd-operators",
    ],
    changes: "nothing",
    permissions: to_do_all,
};

pub(super) const RUN: About = About {
    examples: &[
        "kubectl wa-retrain run --replicas 10",
        "kubectl wa-retrain run --replicas 10 --in 2h --yes",
        "kubectl wa-retrain run --dry-run",
    ],
    changes: "what `scale` and `start` change, and everything back at the end",
    permissions: to_do_all,
};

pub(super) const SCALE: About = About {
    examples: &[
        "kubectl wa-retrain scale --replicas 10",
        "kubectl wa-retrain scale --revert",
        "kubectl wa-retrain scale --replicas 10 --dry-run",
    ],
    changes: "three TemporaryPatches, and by them the replicas of five Deployments; what was before is in the ConfigMap wa-retrain-INSTANCE",
    permissions: || to_do(true, false),
};

pub(super) const START: About = About {
    examples: &[
        "kubectl wa-retrain start",
        "kubectl wa-retrain start --at 2099-12-01T22:00+01:00 --yes",
    ],
    changes: "a TemporaryPatch, and by it the variables of store-admin, which is restarted; what was before is in the ConfigMap wa-retrain-INSTANCE",
    permissions: || to_do(false, true),
};

pub(super) const STATUS: About = About {
    examples: &[
        "kubectl wa-retrain status",
        "kubectl wa-retrain status --watch --settle 1h",
    ],
    changes: "nothing",
    permissions: || {
        vec![
            "list watsonassistants.assistant.watson.ibm.com and temporarypatches".to_owned(),
            "get deployments.apps, get configmaps, get leases.coordination.k8s.io".to_owned(),
            "list pods, get pods/log: how far it is stands in store-admin's log".to_owned(),
        ]
    },
};

pub(super) const FINISH: About = About {
    examples: &[
        "kubectl wa-retrain finish",
        "kubectl wa-retrain finish --dry-run",
    ],
    changes: "deletes the TemporaryPatches that `scale` and `start` made, and sets the recorded replicas",
    permissions: to_do_all,
};

pub(super) const DOCTOR: About = About {
    examples: &[
        "kubectl wa-retrain doctor",
        "kubectl wa-retrain doctor --fix",
    ],
    changes: "nothing; with --fix, removes keys without a patch, patches that start nothing any more or that this program left, and a switch that nobody sets",
    permissions: to_do_all,
};

fn to_do_all() -> Vec<String> {
    to_do(true, true)
}

/// To change things, and to undo that.
fn to_do(scales: bool, starts: bool) -> Vec<String> {
    let purpose = Purpose {
        scales,
        starts,
        adopts: false,
    };
    vec![
        permissions("", &needed_permissions(purpose)),
        "to find the operator: list deployments.apps in all namespaces, or get deployments.apps in the one of --operators-namespace".to_owned(),
        "to judge the object storage and the broker, where you may: list backingstores.noobaa.io in all namespaces, brokers and triggers.eventing.knative.dev".to_owned(),
    ]
}

/// To see what retraining would change.
fn to_look() -> Vec<String> {
    [
        "list watsonassistants.assistant.watson.ibm.com and temporarypatches, get watsonassistantstores, watsonassistantclus, \
watsonassistantcluruntimes and watsonassistantclutrainings",
        "get pods, get secrets, get deployments.apps, list horizontalpodautoscalers.autoscaling",
        "get pods/exec, create pods/exec: the workspaces are counted in etcd's pod",
        "to tell whether the nodes have room: list nodes, and pods in all namespaces",
    ]
    .map(str::to_owned)
    .into()
}
