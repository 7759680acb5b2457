//! What a user of each command should know before.

use store_restore::rehearsal::needed_permissions;
use wa_common::cli::{About, no_permissions, permissions};

pub(super) const DEFAULT: About = About {
    examples: &[
        "kubectl wa-restore upgrade-path 4.8.8 5.2.1",
        "kubectl wa-restore mapping latest --to restore/mapping.yaml",
        "kubectl wa-restore check latest --mapping restore/mapping.yaml --pgmig pgmig",
        "kubectl wa-restore run latest --mapping restore/mapping.yaml --pgmig pgmig",
        "kubectl wa-restore status",
        "kubectl wa-restore resume",
        "kubectl wa-restore rollback",
    ],
    ..RUN
};

pub(super) const RUN: About = About {
    examples: &[
        "kubectl wa-restore run latest --pgmig pgmig",
        "kubectl wa-restore latest --mapping restore/mapping.yaml --pgmig pgmig",
        "kubectl wa-restore run latest --pgmig pgmig --yes=wa --safety-to /mnt/sets",
        "kubectl wa-restore run latest --pgmig pgmig --interactive",
        "kubectl wa-restore run latest --pgmig pgmig --dry-run",
    ],
    changes: "the store database, which is erased and restored; the encryption key, where the backup's differs; meanwhile the \
replicas of store and operator, and whether the nightly backup is suspended; here, a safety backup, pgmig's log and with --interactive the mapping are written",
    permissions: to_restore,
};

pub(super) const RESUME: About = About {
    examples: &[
        "kubectl wa-restore resume",
        "kubectl wa-restore resume --backup /mnt/sets/latest --pgmig pgmig",
    ],
    changes: "what `run` changes and has not changed yet",
    permissions: to_restore,
};

pub(super) const ROLLBACK: About = About {
    examples: &[
        "kubectl wa-restore rollback",
        "kubectl wa-restore rollback --yes=wa --safety wa-backups/wa-cpd-20261127T020000Z",
    ],
    changes: "everything that `run` has changed, back to what it was",
    permissions: to_restore,
};

pub(super) const STATUS: About = About {
    examples: &[
        "kubectl wa-restore status",
        "kubectl wa-restore status -o jsonpath={.state}",
    ],
    changes: "nothing",
    permissions: to_see_a_restore,
};

pub(super) const LOGS: About = About {
    examples: &["kubectl wa-restore logs -f"],
    changes: "nothing",
    permissions: to_see_a_restore,
};

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

pub(super) const REHEARSE: About = About {
    examples: &[
        "kubectl wa-restore rehearse latest",
        "kubectl wa-restore rehearse latest --local",
        "kubectl wa-restore rehearse --clean-up",
    ],
    changes: "a helper pod, recorded in a Lease and removed at the end, and where you may a NetworkPolicy for it; here, rehearsal.json in the set",
    permissions: || {
        vec![
            permissions("with --local none; else ", &needed_permissions(false)),
            "where you may, create, get and delete networkpolicies.networking.k8s.io".to_owned(),
        ]
    },
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

/// To do all of it.
fn to_restore() -> Vec<String> {
    let mut all = to_look();
    all.pop();
    all.extend(
        [
            "patch deployments.apps/scale, patch statefulsets.apps, patch cronjobs.batch, list jobs.batch",
            "create, get and update configmaps; create, get, update and delete leases.coordination.k8s.io: journal and lock",
            "create, patch and delete secrets, where the backup's encryption key differs from the target's",
            "in the operator's namespace: get deployments.apps, patch deployments.apps/scale, list pods; create, get, update and \
delete leases.coordination.k8s.io",
        ]
        .map(str::to_owned),
    );
    all
}

/// To read where a restore is.
fn to_see_a_restore() -> Vec<String> {
    [
        "get configmaps, get leases.coordination.k8s.io, list watsonassistants.assistant.watson.ibm.com",
        "get pods, get pods/exec, create pods/exec: where pgmig is",
        "get deployments.apps, also in the operator's namespace: the counts of now",
    ]
    .map(str::to_owned)
    .into()
}

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
