//! What the user must be allowed to do, for each way and for looking at the volume at all.

use wa_common::preflight::{
    Access, CommandAccess, Needed, Place, to_exec, to_find_instance, verbs,
};
pub use wa_common::run::to_record;
use wa_common::run::to_take_over;

use crate::driver::SNAPSHOT_GROUP;

/// Each command of `kubectl wa-pvc`, with what it may need.
pub const COMMANDS: [CommandAccess; 4] = [
    CommandAccess::new("info", |_| [to_look(), to_measure()].concat()),
    CommandAccess::new("list", |_| [to_look(), to_reach()].concat()),
    CommandAccess::new("pull", |_| [to_look(), to_reach()].concat()),
    CommandAccess::new("cleanup", |_| to_clean_up()),
];

/// All that looking at the volume may need.
fn to_look() -> Vec<Access> {
    let mut all = vec![Access::always(Place::Instance, to_discover(false))];
    all.extend(to_know_more());
    all
}

/// What tells more of the volume, and is gone without.
fn to_know_more() -> [Access; 2] {
    let why = "tells of what interrupted runs left";
    let leftovers = verbs(&["list"], "coordination.k8s.io", "leases", why);
    let volumes = verbs(
        &["get"],
        "",
        "persistentvolumes",
        "tells the driver of the volume",
    );
    let why = "tells the driver and the policy of the storage";
    let classes = verbs(&["get"], "storage.k8s.io", "storageclasses", why);
    [
        Access::always(Place::Instance, leftovers).or("that is not told"),
        Access::always(Place::Everywhere, [volumes, classes].concat())
            .or("the annotations of the claim tell the driver"),
    ]
}

/// All that reaching the files may need.
fn to_reach() -> Vec<Access> {
    let reach = vec![
        Access::always(Place::Instance, to_read_in_pod()),
        Access::always(Place::Instance, to_use_helper_pod())
            .when("where no running pod has the volume mounted, or with --via debug or snapshot"),
    ];
    [reach, to_start_helper_pod(), to_reach_otherwise()].concat()
}

/// With `--measure`, `info` reads a file.
fn to_measure() -> Vec<Access> {
    let mut all = to_reach();
    for access in &mut all {
        access.when = match access.when {
            "" => "with --measure",
            "with --via snapshot" => "with --measure --via snapshot",
            "with --via portworx" => "with --measure --via portworx",
            _ => "with --measure, where no running pod has the volume mounted",
        };
    }
    all
}

/// What makes a helper pod go unnoticed and its failures explained.
fn to_start_helper_pod() -> Vec<Access> {
    let events = verbs(
        &["list"],
        "",
        "events",
        "tells why a helper pod does not start",
    );
    let services = verbs(
        &["list"],
        "",
        "services",
        "keeps traffic from the helper pod",
    );
    let why = "keeps the helper pod from being counted";
    let budgets = verbs(&["list"], "policy", "poddisruptionbudgets", why);
    vec![
        Access::always(Place::Instance, events).or("that is not told"),
        Access::always(Place::Instance, [services, budgets].concat())
            .or("a Service that selects the pods of the CronJob may select the helper pod"),
    ]
}

/// The ways that not every storage has.
fn to_reach_otherwise() -> Vec<Access> {
    let why = "finds the class that takes snapshots of the volume";
    let classes = verbs(&["list"], SNAPSHOT_GROUP, "volumesnapshotclasses", why);
    vec![
        Access::always(Place::Instance, to_snapshot()).when("with --via snapshot"),
        Access::always(Place::Everywhere, classes)
            .when("with --via snapshot")
            .or("it takes --snapshot-class"),
        Access::always(Place::Portworx, to_use_portworx()).when("with --via portworx"),
    ]
}

/// All that fetching a file of an instance that is known may need, in another plugin.
pub fn to_fetch(when: &'static str) -> Vec<Access> {
    let all = [to_discover(true), to_use_helper_pod()].concat();
    let mut all = vec![Access::always(Place::Instance, all).when(when)];
    let optional = to_start_helper_pod().into_iter().chain(to_know_more());
    all.extend(optional.map(|one| one.when(when)));
    all
}

/// All that undoing what interrupted runs left may need, whichever plugin's they were.
pub fn to_clean_up() -> Vec<Access> {
    let undo = |group, resource, why| verbs(&["get", "delete"], group, resource, why);
    let snapshots = [
        undo(
            "",
            "persistentvolumeclaims",
            "removes claims made from snapshots",
        ),
        undo(SNAPSHOT_GROUP, "volumesnapshots", "removes snapshots"),
    ];
    vec![
        Access::always(Place::Instance, to_take_over()),
        Access::always(Place::Instance, undo("", "pods", "removes helper pods"))
            .when("where a helper pod was left"),
        Access::always(Place::Instance, snapshots.concat()).when("where a snapshot was left"),
        Access::always(
            Place::Instance,
            undo("batch", "jobs", "removes backup Jobs"),
        )
        .when("where a Job was left"),
        Access::always(Place::Portworx, to_use_portworx()).when("where a volume was left attached"),
    ]
}

/// To find the volume of an instance, which is searched for unless it was named.
pub fn to_discover(instance_named: bool) -> Vec<Needed> {
    [
        verbs(
            &["get"],
            "",
            "persistentvolumeclaims",
            "finds the backup volume",
        ),
        verbs(
            &["list"],
            "",
            "pods",
            "finds the pods that have the volume mounted",
        ),
        verbs(
            &["get"],
            "batch",
            "cronjobs",
            "reads the schedule, and what a helper pod is made of",
        ),
        to_find_instance(instance_named),
    ]
    .concat()
}

/// To read files in a pod that has the volume mounted.
pub fn to_read_in_pod() -> Vec<Needed> {
    to_exec("reads the files in a pod that has the volume mounted")
}

/// To read files in a helper pod.
pub fn to_use_helper_pod() -> Vec<Needed> {
    let why = "makes and removes a helper pod";
    let pods = verbs(&["create", "get", "delete"], "", "pods", why);
    [
        to_exec("reads the files in the helper pod"),
        to_record(),
        pods,
    ]
    .concat()
}

/// To read files in a helper pod on a claim made from a snapshot.
pub fn to_use_snapshot() -> Vec<Needed> {
    [to_snapshot(), to_use_helper_pod()].concat()
}

fn to_snapshot() -> Vec<Needed> {
    let all = |group, resource, why| verbs(&["create", "get", "delete"], group, resource, why);
    let claims = "makes and removes a claim from the snapshot";
    [
        all(
            SNAPSHOT_GROUP,
            "volumesnapshots",
            "makes and removes a snapshot",
        ),
        all("", "persistentvolumeclaims", claims),
    ]
    .concat()
}

/// To run commands in the pods of Portworx, in their namespace.
pub fn to_use_portworx() -> Vec<Needed> {
    let why = "attaches the volume and reads its files";
    let pods = verbs(&["list"], "", "pods", "finds a pod of Portworx");
    [to_exec(why), pods].concat()
}
