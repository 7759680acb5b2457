//! What a user of each command should know before.

use store_restore::permissions::COMMANDS;
use wa_common::cli::{About, access_of, no_permissions};

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
        "kubectl wa-restore run latest --pgmig pgmig --safety-to s3://backups/wa",
        "kubectl wa-restore run latest --pgmig pgmig --interactive",
        "kubectl wa-restore run s3://backups/wa/latest --identity key.txt --pgmig pgmig",
        "kubectl wa-restore run latest --pgmig pgmig --dry-run",
    ],
    changes: "the store database, which is erased and restored; the encryption key, where the backup's differs; meanwhile the \
replicas of store and operator, and whether the nightly backup is suspended; here, a safety backup, pgmig's log and with --interactive the mapping are written",
    permissions: || access_of(&COMMANDS, "run"),
};

pub(super) const RESUME: About = About {
    examples: &[
        "kubectl wa-restore resume",
        "kubectl wa-restore resume --backup /mnt/sets/latest --pgmig pgmig",
        "kubectl wa-restore resume --accept-row-differences",
    ],
    changes: "what `run` changes and has not changed yet",
    permissions: || access_of(&COMMANDS, "resume"),
};

pub(super) const ROLLBACK: About = About {
    examples: &[
        "kubectl wa-restore rollback",
        "kubectl wa-restore rollback --yes=wa --safety wa-backups/wa-cpd-20261127T020000Z",
    ],
    changes: "everything that `run` has changed, back to what it was",
    permissions: || access_of(&COMMANDS, "rollback"),
};

pub(super) const STATUS: About = About {
    examples: &[
        "kubectl wa-restore status",
        "kubectl wa-restore status -o jsonpath={.state}",
    ],
    changes: "nothing",
    permissions: || access_of(&COMMANDS, "status"),
};

pub(super) const LOGS: About = About {
    examples: &["kubectl wa-restore logs -f"],
    changes: "nothing",
    permissions: || access_of(&COMMANDS, "logs"),
};

pub(super) const CHECK: About = About {
    examples: &[
        "kubectl wa-restore check latest",
        "kubectl wa-restore check latest --mapping restore/mapping.yaml --pgmig pgmig",
    ],
    changes: "nothing",
    permissions: || access_of(&COMMANDS, "check"),
};

pub(super) const PLAN: About = About {
    examples: &[
        "kubectl wa-restore plan latest",
        "kubectl wa-restore plan latest --mapping restore/mapping.yaml > runbook.txt",
    ],
    changes: "nothing",
    permissions: || access_of(&COMMANDS, "plan"),
};

pub(super) const REHEARSE: About = About {
    examples: &[
        "kubectl wa-restore rehearse latest",
        "kubectl wa-restore rehearse latest --local",
        "kubectl wa-restore rehearse s3://backups/wa/latest --identity key.txt",
        "kubectl wa-restore rehearse --clean-up",
    ],
    changes: "a helper pod, recorded in a Lease and removed at the end, and where you may a NetworkPolicy for it; here, rehearsal.json in the set",
    permissions: || access_of(&COMMANDS, "rehearse"),
};

pub(super) const MAPPING: About = About {
    examples: &[
        "kubectl wa-restore mapping latest --to restore/mapping.yaml",
        "kubectl wa-restore mapping latest --mapping restore/mapping.yaml",
    ],
    changes: "nothing in the cluster; here, the file of --to is written",
    permissions: || access_of(&COMMANDS, "mapping"),
};

pub(super) const CONFIG: About = About {
    examples: &[
        "kubectl wa-restore config --to restore",
        "kubectl wa-restore config --to restore --token-file alice.token",
    ],
    changes: "nothing in the cluster; here, three files in the directory of --to, which hold a password and tokens",
    permissions: || access_of(&COMMANDS, "config"),
};

pub(super) const UPGRADE_PATH: About = About {
    examples: &[
        "kubectl wa-restore upgrade-path",
        "kubectl wa-restore upgrade-path 4.8.8 5.2.1",
    ],
    changes: "nothing",
    permissions: no_permissions,
};
