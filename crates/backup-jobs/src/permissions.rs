//! What the user must be allowed to do.

use backup_volume::permissions::{to_clean_up, to_fetch};
use wa_common::preflight::{
    Access, CommandAccess, Needed, Place, to_exec, to_find_instance, verbs,
};
use wa_common::run::to_record;

/// Each command of `kubectl wa-backup` that is about the CronJob, with what it may need.
pub const COMMANDS: [CommandAccess; 6] = [
    CommandAccess::new("trigger", |_| {
        let mut all = vec![
            Access::always(Place::Instance, to_trigger(false)),
            Access::always(Place::Instance, to_follow()).when("with --wait or --pull"),
        ];
        all.extend(to_fetch("with --pull"));
        all
    }),
    CommandAccess::new("schedule show", |_| {
        let pods = "finds a pod that has the volume mounted";
        let full = "tells how full the volume is";
        let measure = [verbs(&["list"], "", "pods", pods), to_exec(full)].concat();
        vec![
            Access::always(Place::Instance, to_show_schedule(false)),
            Access::always(Place::Instance, measure).or("that is not told"),
        ]
    }),
    CommandAccess::new("schedule set", to_change),
    CommandAccess::new("schedule suspend", to_change),
    CommandAccess::new("schedule resume", to_change),
    CommandAccess::new("cleanup", |_| to_clean_up()),
];

fn to_change(_: &str) -> Vec<Access> {
    vec![Access::always(Place::Instance, to_change_schedule(false))]
}

/// To start a Job of the CronJob, and to record and remove it.
pub fn to_trigger(instance_named: bool) -> Vec<Needed> {
    let why = "makes and removes the Job";
    [
        verbs(
            &["get"],
            "batch",
            "cronjobs",
            "reads what the Job is made of",
        ),
        verbs(
            &["list"],
            "batch",
            "jobs",
            "tells whether another backup runs",
        ),
        verbs(&["create", "get", "delete"], "batch", "jobs", why),
        to_record(),
        to_find_instance(instance_named),
    ]
    .concat()
}

/// To follow a Job to its end.
pub fn to_follow() -> Vec<Needed> {
    [
        verbs(&["list"], "", "pods", "tells how the Job is getting on"),
        verbs(
            &["get"],
            "",
            "pods/log",
            "shows what the pod of the Job says",
        ),
    ]
    .concat()
}

/// To look at the CronJob and its Jobs.
pub fn to_show_schedule(instance_named: bool) -> Vec<Needed> {
    [
        verbs(&["get"], "batch", "cronjobs", "reads the settings"),
        verbs(
            &["list"],
            "batch",
            "jobs",
            "tells how the last backups ended",
        ),
        to_find_instance(instance_named),
    ]
    .concat()
}

/// To change its settings.
pub fn to_change_schedule(instance_named: bool) -> Vec<Needed> {
    [
        verbs(&["get"], "batch", "cronjobs", "reads the settings"),
        verbs(&["patch"], "batch", "cronjobs", "changes the settings"),
        to_find_instance(instance_named),
    ]
    .concat()
}
