//! What a user of each command should know before.

use wa_common::cli::About;

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
