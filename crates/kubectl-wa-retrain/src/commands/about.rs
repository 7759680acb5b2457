//! What a user of each command should know before.

use retraining::checks::COMMANDS;
use wa_common::cli::{About, access_of};

pub(super) const ESTIMATE: About = About {
    examples: &[
        "kubectl wa-retrain estimate",
        "kubectl wa-retrain estimate --workspaces 1200 --pods 5,20",
    ],
    changes: "nothing",
    permissions: || access_of(&COMMANDS, "estimate"),
};

pub(super) const PLAN: About = About {
    examples: &[
        "kubectl wa-retrain plan --replicas 10",
        "kubectl wa-retrain plan --replicas 10 --at 2099-12-01T22:00Z --manifests",
    ],
    changes: "nothing",
    permissions: || access_of(&COMMANDS, "plan"),
};

pub(super) const CHECK: About = About {
    examples: &[
        "kubectl wa-retrain check",
        "kubectl wa-retrain check --operators-namespace cpd-operators",
    ],
    changes: "nothing",
    permissions: || access_of(&COMMANDS, "check"),
};

pub(super) const RUN: About = About {
    examples: &[
        "kubectl wa-retrain run --replicas 10",
        "kubectl wa-retrain run --replicas 10 --in 2h --yes",
        "kubectl wa-retrain run --dry-run",
    ],
    changes: "what `scale` and `start` change, and everything back at the end",
    permissions: || access_of(&COMMANDS, "run"),
};

pub(super) const SCALE: About = About {
    examples: &[
        "kubectl wa-retrain scale --replicas 10",
        "kubectl wa-retrain scale --revert",
        "kubectl wa-retrain scale --replicas 10 --dry-run",
    ],
    changes: "three TemporaryPatches, and by them the replicas of five Deployments; what was before is in the ConfigMap wa-retrain-INSTANCE",
    permissions: || access_of(&COMMANDS, "scale"),
};

pub(super) const START: About = About {
    examples: &[
        "kubectl wa-retrain start",
        "kubectl wa-retrain start --at 2099-12-01T22:00+01:00 --yes",
    ],
    changes: "a TemporaryPatch, and by it the variables of store-admin, which is restarted; what was before is in the ConfigMap wa-retrain-INSTANCE",
    permissions: || access_of(&COMMANDS, "start"),
};

pub(super) const STATUS: About = About {
    examples: &[
        "kubectl wa-retrain status",
        "kubectl wa-retrain status --watch --settle 1h",
    ],
    changes: "nothing",
    permissions: || access_of(&COMMANDS, "status"),
};

pub(super) const FINISH: About = About {
    examples: &[
        "kubectl wa-retrain finish",
        "kubectl wa-retrain finish --dry-run",
    ],
    changes: "deletes the TemporaryPatches that `scale` and `start` made, and sets the recorded replicas",
    permissions: || access_of(&COMMANDS, "finish"),
};

pub(super) const DOCTOR: About = About {
    examples: &[
        "kubectl wa-retrain doctor",
        "kubectl wa-retrain doctor --fix",
    ],
    changes: "nothing; with --fix, removes keys without a patch, patches that start nothing any more or that this program left, and a switch that nobody sets",
    permissions: || access_of(&COMMANDS, "doctor"),
};
