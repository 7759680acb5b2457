//! What the user must be allowed to do, for each way and for looking at the volume at all.

use wa_common::cluster::Permission;
use wa_common::preflight::{Needed, to_exec, to_search_instances};
use wa_common::run::Run;

use crate::change::VolumeChange;
use crate::driver::SNAPSHOT_GROUP;

/// To find the volume of an instance, which is searched for unless it was named.
pub fn to_discover(instance_named: bool) -> Vec<Needed> {
    let mut needed: Vec<Needed> = vec![
        Permission::new("get", "", "persistentvolumeclaims").into(),
        Permission::new("list", "", "pods").into(),
        Permission::new("get", "batch", "cronjobs").into(),
    ];
    if !instance_named {
        needed.push(to_search_instances());
    }
    needed
}

/// To read files in a helper pod.
pub fn to_use_helper_pod() -> Vec<Needed> {
    let verbs = ["create", "get", "delete"];
    let pods = verbs.map(|verb| Permission::new(verb, "", "pods").into());
    [to_exec().to_vec(), to_record(), pods.to_vec()].concat()
}

/// To read files in a helper pod on a claim made from a snapshot.
pub fn to_use_snapshot() -> Vec<Needed> {
    let verbs = ["create", "get", "delete"];
    let snapshots =
        verbs.map(|verb| Permission::new(verb, SNAPSHOT_GROUP, "volumesnapshots").into());
    let claims = verbs.map(|verb| Permission::new(verb, "", "persistentvolumeclaims").into());
    [snapshots.to_vec(), claims.to_vec(), to_use_helper_pod()].concat()
}

/// To run commands in the pods of Portworx, in their namespace.
pub fn to_use_portworx() -> Vec<Needed> {
    let pods = Permission::new("list", "", "pods").into();
    [to_exec().to_vec(), vec![pods]].concat()
}

/// To keep the record of what is changed.
pub fn to_record() -> Vec<Needed> {
    let permissions = Run::<VolumeChange>::permissions().into_iter();
    permissions.map(Needed::from).collect()
}
