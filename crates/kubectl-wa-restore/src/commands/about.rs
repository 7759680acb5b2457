//! What a user of each command should know before.

use wa_common::cli::{About, no_permissions};

pub(super) const CHECK: About = About {
    examples: &[
        "kubectl wa-restore check latest",
        "kubectl wa-restore check latest --mapping restore/mapping.yaml --pgmig pgmig",
    ],
    changes: "nothing",
    permissions: to_look,
};

pub(super) const PLAN: About = About {
    examples: &[
        "kubectl wa-restore plan latest",
        "kubectl wa-restore plan latest --mapping restore/mapping.yaml > runbook.txt",
    ],
    changes: "nothing",
    permissions: to_look,
};

pub(super) const MAPPING: About = About {
    examples: &[
        "kubectl wa-restore mapping latest --to restore/mapping.yaml",
        "kubectl wa-restore mapping latest --mapping restore/mapping.yaml",
    ],
    changes: "nothing in the cluster; here, the file of --to is written",
    permissions: to_look,
};

pub(super) const CONFIG: About = About {
    examples: &[
        "kubectl wa-restore config --to restore",
        "kubectl wa-restore config --to restore --token-file alice.token",
    ],
    changes: "nothing in the cluster; here, three files in the directory of --to, which hold a password and tokens",
    permissions: to_look,
};

pub(super) const UPGRADE_PATH: About = About {
    examples: &[
        "kubectl wa-restore upgrade-path",
        "kubectl wa-restore upgrade-path 4.8.8 5.2.1",
    ],
    changes: "nothing",
    permissions: no_permissions,
};

/// To read what a restore depends on.
fn to_look() -> Vec<String> {
    [
        "get and list pods and watsonassistants.assistant.watson.ibm.com, get secrets, get configmaps, list deployments.apps, \
get statefulsets.apps, get cronjobs.batch",
        "get pods/exec, create pods/exec: versions, free space and service instances are read in pods",
        "`check` names what the commands of the plan need beyond that, in both namespaces",
    ]
    .map(str::to_owned)
    .into()
}
