//! What the user must be allowed to do.

use wa_common::cluster::Permission;
use wa_common::preflight::{Needed, to_search_instances};

/// To start a Job of the CronJob, and to record and remove it.
pub fn to_trigger(instance_named: bool) -> Vec<Needed> {
    let mut needed: Vec<Needed> = vec![
        Permission::new("get", "batch", "cronjobs").into(),
        Permission::new("list", "batch", "jobs").into(),
        Permission::new("create", "batch", "jobs").into(),
        Permission::new("get", "batch", "jobs").into(),
        Permission::new("delete", "batch", "jobs").into(),
    ];
    needed.extend(backup_volume::permissions::to_record());
    if !instance_named {
        needed.push(to_search_instances());
    }
    needed
}

/// To follow a Job to its end.
pub fn to_follow() -> Vec<Needed> {
    vec![
        Permission::new("list", "", "pods").into(),
        Permission::new("get", "", "pods")
            .on_subresource("log")
            .into(),
    ]
}

/// To look at the CronJob and its Jobs.
pub fn to_show_schedule(instance_named: bool) -> Vec<Needed> {
    let mut needed: Vec<Needed> = vec![
        Permission::new("get", "batch", "cronjobs").into(),
        Permission::new("list", "batch", "jobs").into(),
    ];
    if !instance_named {
        needed.push(to_search_instances());
    }
    needed
}

/// To change its settings.
pub fn to_change_schedule(instance_named: bool) -> Vec<Needed> {
    let mut needed: Vec<Needed> = vec![
        Permission::new("get", "batch", "cronjobs").into(),
        Permission::new("patch", "batch", "cronjobs").into(),
    ];
    if !instance_named {
        needed.push(to_search_instances());
    }
    needed
}
