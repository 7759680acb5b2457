//! What the user must be allowed to do.

use wa_common::assistant::OPERATOR;
use wa_common::preflight::{
    Access, CommandAccess, Needed, Place, on_object, to_exec, to_find_primary, to_search_instances,
    to_search_operator, verbs,
};
use wa_common::run::{to_journal, to_see_a_journal};

use super::Purpose;
use crate::etcd::Etcd;
use crate::kinds::GROUP;

const EVERYTHING: Purpose = Purpose {
    scales: true,
    starts: true,
    adopts: false,
};

/// Each command of `kubectl wa-retrain`, with what it may need.
pub const COMMANDS: [CommandAccess; 9] = [
    CommandAccess::new("estimate", |instance| {
        let all = to_plan(instance).into_iter();
        let unless_told = |access: Access| access.when("unless --workspaces tells");
        all.map(unless_told).collect()
    }),
    CommandAccess::new("plan", to_plan),
    CommandAccess::new("check", |instance| to_change(instance, EVERYTHING)),
    CommandAccess::new("scale", |instance| {
        let purpose = Purpose {
            starts: false,
            ..EVERYTHING
        };
        to_change(instance, purpose)
    }),
    CommandAccess::new("start", |instance| {
        let purpose = Purpose {
            scales: false,
            ..EVERYTHING
        };
        to_change(instance, purpose)
    }),
    CommandAccess::new("status", |_| to_watch()),
    CommandAccess::new("finish", |instance| to_change(instance, EVERYTHING)),
    CommandAccess::new("run", |instance| to_change(instance, EVERYTHING)),
    CommandAccess::new("doctor", to_diagnose),
];

/// What a command with this purpose does, and what undoing it takes.
pub fn needed_permissions(purpose: Purpose, instance: &str) -> Vec<Needed> {
    let why = "makes and removes the patches; patch: only the finalizer, where the operator does not do its part";
    let patches = &["create", "delete", "patch"];
    let mut needed = vec![
        to_find_patches(&["list", "get"]),
        verbs(patches, GROUP, "temporarypatches", why),
        to_read_deployments(),
        to_journal(),
    ];
    if purpose.scales {
        let scale = "deployments/scale";
        needed.push(verbs(
            &["patch"],
            "apps",
            scale,
            "sets the recorded replicas back",
        ));
        needed.push(to_read_autoscalers());
        needed.extend(SCALED.map(to_mend));
    }
    if purpose.starts {
        let why = "sets the variables of store-admin back, where the operator does not";
        needed.push(verbs(&["patch"], "apps", "deployments", why));
        needed.push(to_follow_training());
        needed.push(to_count(instance));
        needed.push(to_mend(STARTED));
    }
    needed.concat()
}

/// The kinds whose objects list the patches that scale, and the one that starts.
const SCALED: [&str; 3] = [
    "watsonassistantclutrainings",
    "watsonassistantcluruntimes",
    "watsonassistantclus",
];
const STARTED: &str = "watsonassistantstores";

fn to_read_active(kind: &'static str) -> Vec<Needed> {
    verbs(&["get"], GROUP, kind, "tells which patches are active")
}

fn to_mend(kind: &'static str) -> Vec<Needed> {
    let why = "removes the key of a patch that is gone, where the operator does not";
    [to_read_active(kind), verbs(&["patch"], GROUP, kind, why)].concat()
}

fn to_find_patches(by: &[&'static str]) -> Vec<Needed> {
    let why = "finds patches, those of others too";
    verbs(by, GROUP, "temporarypatches", why)
}

fn to_read_deployments() -> Vec<Needed> {
    let why = "reads replicas, requests and variables";
    verbs(&["get"], "apps", "deployments", why)
}

fn to_read_autoscalers() -> Vec<Needed> {
    let (group, kind) = ("autoscaling", "horizontalpodautoscalers");
    verbs(&["list"], group, kind, "finds what else scales the same")
}

/// To tell how far training is.
fn to_follow_training() -> Vec<Needed> {
    [
        verbs(&["list"], "", "pods", "finds the pods of store-admin"),
        verbs(&["get"], "", "pods/log", "tells how far training is"),
    ]
    .concat()
}

/// To count workspaces.
fn to_count(instance: &str) -> Vec<Needed> {
    let secret = verbs(&["get"], "", "secrets", "tells where etcd is reached");
    [
        verbs(&["get"], "", "pods", "finds a pod of etcd"),
        on_object(&Etcd::secret_name(instance), secret),
        to_exec("counts the workspaces in etcd"),
    ]
    .concat()
}

/// To be told whether there is room for more replicas.
fn to_know_the_room() -> Access {
    let needed = [
        verbs(&["list"], "", "nodes", "tells whether the nodes have room"),
        verbs(&["list"], "", "pods", "tells what runs on the nodes"),
    ];
    Access::always(Place::Everywhere, needed.concat()).or("whether the nodes have room is not told")
}

/// To see whether the operator runs.
fn to_see_the_operator() -> Vec<Access> {
    let why = "tells whether the operator runs";
    let get = on_object(OPERATOR, verbs(&["get"], "apps", "deployments", why));
    vec![
        Access::always(Place::Operator, get),
        Access::always(Place::Everywhere, to_search_operator())
            .or("it takes --operators-namespace"),
    ]
}

/// All that seeing what retraining would change may need.
fn to_plan(instance: &str) -> Vec<Access> {
    let kinds = SCALED.into_iter().chain([STARTED]);
    let needed = [
        to_search_instances(),
        to_find_patches(&["list"]),
        kinds.flat_map(to_read_active).collect(),
        to_read_deployments(),
        to_read_autoscalers(),
        to_count(instance),
    ];
    vec![
        Access::always(Place::Instance, needed.concat()),
        to_know_the_room(),
    ]
}

/// All that seeing how far it is may need.
fn to_watch() -> Vec<Access> {
    let needed = [
        to_search_instances(),
        to_find_patches(&["list"]),
        to_read_deployments(),
        to_follow_training(),
        to_see_a_journal(),
    ];
    vec![Access::always(Place::Instance, needed.concat())]
}

/// All that changing, and undoing it, may need.
fn to_change(instance: &str, purpose: Purpose) -> Vec<Access> {
    let needed = needed_permissions(purpose, instance);
    let mut all = vec![Access::always(
        Place::Instance,
        [to_search_instances(), needed].concat(),
    )];
    all.extend(to_see_the_operator());
    if purpose.scales {
        all.push(to_know_the_room());
    }
    if purpose.starts {
        all.extend(to_judge_the_environment());
    }
    all
}

/// What training depends on and is not of the instance.
fn to_judge_the_environment() -> Vec<Access> {
    let (noobaa, knative) = ("noobaa.io", "eventing.knative.dev");
    let stores = verbs(
        &["list"],
        noobaa,
        "backingstores",
        "judges the object storage",
    );
    let events = ["brokers", "triggers"].map(|kind| {
        verbs(
            &["list"],
            knative,
            kind,
            "judges the broker that training waits for",
        )
    });
    let optional = |place, needed, without| Access::always(place, needed).or(without);
    vec![
        optional(
            Place::Everywhere,
            stores,
            "the object storage is not judged",
        ),
        optional(Place::Instance, events.concat(), "the broker is not judged"),
        optional(
            Place::Instance,
            to_find_primary(),
            "any ready pod of PostgreSQL will do",
        ),
    ]
}

/// All that looking for what earlier retrainings left, and removing it, may need.
fn to_diagnose(instance: &str) -> Vec<Access> {
    let mut all = to_watch();
    let kinds = SCALED.into_iter().chain([STARTED]);
    all.push(Access::always(
        Place::Instance,
        kinds.flat_map(to_read_active).collect(),
    ));
    let repair = needed_permissions(EVERYTHING, instance);
    all.push(Access::always(Place::Instance, repair).when("with --fix"));
    all.extend(
        to_see_the_operator()
            .into_iter()
            .map(|one| one.when("with --fix")),
    );
    all
}
