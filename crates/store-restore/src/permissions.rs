//! What the user must be allowed to do, in both namespaces.

use store_backup::{named, to_find_postgres, to_know_the_primary, to_read_secrets};
use wa_common::assistant::{BackupCronJob, Instance, OPERATOR};
use wa_common::cluster::Permission;
use wa_common::preflight::{
    Access, CommandAccess, Needed, Place, on_object, to_exec, to_find_instance,
    to_search_instances, to_search_operator, verbs,
};
use wa_common::run::{to_journal, to_lock, to_record, to_see_a_journal, to_take_over};

use crate::config::BROKER_SECRET;

const GROUP: &str = "assistant.watson.ibm.com";

/// Each command of `kubectl wa-restore`, with what it may need.
pub const COMMANDS: [CommandAccess; 10] = [
    CommandAccess::new("run", to_restore_all),
    CommandAccess::new("plan", to_restore_all),
    CommandAccess::new("check", to_restore_all),
    CommandAccess::new("config", to_make_configuration),
    CommandAccess::new("mapping", to_map),
    CommandAccess::new("rehearse", to_rehearse_all),
    CommandAccess::new("status", |_| to_see_a_restore()),
    CommandAccess::new("logs", |_| to_read_the_log()),
    CommandAccess::new("resume", to_restore_all),
    CommandAccess::new("rollback", to_restore_all),
];

/// What a restore changes beside Deployments, in this installation.
pub(crate) struct Touched<'a> {
    /// The nightly backup, which is suspended meanwhile.
    pub(crate) cron_job: Option<&'a str>,
    /// Whether there is a Redis to restart.
    pub(crate) redis: bool,
    /// Whether the backup's key takes the place of the target's.
    pub(crate) key: bool,
}

/// What a restore takes in the namespace of the instance.
pub(crate) fn to_restore(instance: &Instance, touched: &Touched<'_>) -> Vec<Needed> {
    let scale = "stops the store, and starts it again";
    let mut needed = vec![
        to_check(instance),
        to_journal(),
        verbs(
            &["get"],
            "apps",
            "deployments",
            "tells whether the store is at 0",
        ),
        verbs(&["patch"], "apps", "deployments/scale", scale),
    ];
    if let Some(cron_job) = touched.cron_job {
        needed.push(to_suspend(cron_job));
    }
    if touched.redis {
        needed.push(to_restart_redis(instance));
    }
    if touched.key {
        needed.push(to_exchange_key(instance));
    }
    needed.concat()
}

fn to_suspend(cron_job: &str) -> Vec<Needed> {
    let jobs = verbs(
        &["list"],
        "batch",
        "jobs",
        "waits for backups that are at work",
    );
    let suspend = verbs(
        &["patch"],
        "batch",
        "cronjobs",
        "suspends the nightly backup",
    );
    [on_object(cron_job, suspend), jobs].concat()
}

fn to_restart_redis(instance: &Instance) -> Vec<Needed> {
    let patch = verbs(&["patch"], "apps", "statefulsets", "restarts Redis");
    on_object(&instance.redis_server(), patch)
}

fn to_exchange_key(instance: &Instance) -> Vec<Needed> {
    let patch = verbs(
        &["patch"],
        "",
        "secrets",
        "puts the backup's key in its place",
    );
    let patch = on_object(&instance.auth_encryption_name(), patch);
    // In a secret of the run, whose name nobody knows before.
    let why = "keeps the target's key in a secret of its own";
    let kept = verbs(&["create", "get", "delete"], "", "secrets", why);
    [patch, kept].concat()
}

/// What a restore takes in the namespace of the operator.
pub(crate) fn to_stop_operator() -> Vec<Needed> {
    let on_operator = |verb, resource, why| on_object(OPERATOR, verbs(verb, "apps", resource, why));
    let scale = "stops the operator, and starts it again";
    [
        verbs(
            &["list"],
            "",
            "pods",
            "tells whether the operator's pods are gone",
        ),
        on_operator(&["get"], "deployments", "tells whether the operator runs"),
        on_operator(&["patch"], "deployments/scale", scale),
        to_lock(),
    ]
    .concat()
}

/// What the checks read.
fn to_check(instance: &Instance) -> Vec<Needed> {
    let redis = verbs(
        &["get"],
        "apps",
        "statefulsets",
        "tells whether there is a Redis",
    );
    let why = "finds the pods of PostgreSQL, of the store and of the user interface";
    let stores = "finds the store, and how many replicas it has";
    [
        verbs(&["list", "get"], "", "pods", why),
        to_exec("reads versions, free space and service instances, and restores"),
        to_read_secrets(instance),
        to_read_ca(instance),
        verbs(&["list"], "apps", "deployments", stores),
        on_object(&instance.redis_server(), redis),
        verbs(&["get"], "batch", "cronjobs", "finds the nightly backup"),
    ]
    .concat()
}

fn to_read_ca(instance: &Instance) -> Vec<Needed> {
    let get = |name: &String| Permission::new("get", "", "secrets").named(format!("{name}-ca"));
    let clusters = instance.postgres_clusters();
    vec![Needed::any_of(
        clusters.iter().map(get),
        "reads the certificate that PostgreSQL is known by",
    )]
}

/// What only newer releases have, or keep elsewhere.
fn to_find_the_controller() -> Vec<Access> {
    let secret = verbs(
        &["get"],
        "",
        "secrets",
        "reads the token that finds service instances",
    );
    let secret = on_object(BROKER_SECRET, secret);
    let why = "reads the address of the resource controller";
    let map = verbs(&["get"], "", "configmaps", why);
    vec![
        Access::always(Place::Instance, secret).when("from release 5.2.1 on"),
        Access::always(Place::Instance, map).when("where that address is in a ConfigMap"),
    ]
}

/// What tells more, and is gone without.
fn to_know_more() -> Vec<Access> {
    let why = "names the instances that the operator also serves";
    let others = verbs(&["list"], GROUP, "watsonassistants", why);
    vec![
        to_know_the_primary(),
        to_know_the_owner(),
        Access::always(Place::Everywhere, others).or("they are not named"),
        Access::always(Place::Everywhere, to_search_operator())
            .or("it takes --operators-namespace"),
    ]
}

/// What tells whether another product installed the instance.
fn to_know_the_owner() -> Access {
    let why = "tells whether it is part of a watsonx Orchestrate";
    let needed = verbs(&["get"], GROUP, "watsonassistants", why);
    Access::always(Place::Instance, needed).or("its name tells")
}

/// All that a restore may need, and what checks it beforehand.
fn to_restore_all(instance: &str) -> Vec<Access> {
    let instance = &named(instance);
    let bare = Touched {
        cron_job: None,
        redis: false,
        key: false,
    };
    let always = [to_search_instances(), to_restore(instance, &bare)].concat();
    let cron_job = BackupCronJob::name_for(instance);
    let own = |needed, when| Access::always(Place::Instance, needed).when(when);
    let mut all = vec![
        Access::always(Place::Instance, always),
        own(to_suspend(&cron_job), "where there is a nightly backup"),
        own(to_restart_redis(instance), "where there is a Redis"),
        own(
            to_exchange_key(instance),
            "where the backup's encryption key differs from the target's",
        ),
        Access::always(Place::Operator, to_stop_operator()),
    ];
    all.extend(to_find_the_controller());
    all.extend(to_know_more());
    all
}

/// All that making pgmig's files may need.
fn to_make_configuration(instance: &str) -> Vec<Access> {
    let instance = &named(instance);
    let ui = verbs(
        &["list"],
        "",
        "pods",
        "finds the pods of the user interface",
    );
    let why = "finds the user interface, where it has no pod";
    let needed = [
        to_search_instances(),
        ui,
        to_read_secrets(instance),
        to_read_ca(instance),
    ];
    let mut all = vec![
        Access::always(Place::Instance, needed.concat()),
        Access::always(
            Place::Instance,
            verbs(&["list"], "apps", "deployments", why),
        )
        .when("where the user interface has no pod"),
    ];
    all.extend(to_find_the_controller());
    all.push(to_know_the_owner());
    all
}

/// All that a mapping may need.
fn to_map(instance: &str) -> Vec<Access> {
    let needed = [
        to_search_instances(),
        to_find_postgres(),
        to_exec("reads the service instances of the target"),
        to_read_secrets(&named(instance)),
    ];
    vec![
        Access::always(Place::Instance, needed.concat()),
        to_know_the_primary(),
    ]
}

/// All that seeing where a restore is may need.
fn to_see_a_restore() -> Vec<Access> {
    let journal = [to_search_instances(), to_see_a_journal()].concat();
    let pgmig = [
        verbs(
            &["get", "list"],
            "",
            "pods",
            "finds the pod that pgmig runs in",
        ),
        to_exec("tells where pgmig is"),
    ];
    let counts = |why| verbs(&["get"], "apps", "deployments", why);
    let counts_of_operator = on_object(OPERATOR, counts("tells how many operators there are"));
    let without = "the counts of now are not told";
    let optional = |place, needed, without| Access::always(place, needed).or(without);
    vec![
        Access::always(Place::Instance, journal),
        optional(
            Place::Instance,
            pgmig.concat(),
            "where pgmig is, is not told",
        ),
        optional(
            Place::Instance,
            counts("tells how many stores there are"),
            without,
        ),
        optional(Place::Operator, counts_of_operator, without),
    ]
}

/// All that reading pgmig's output may need.
fn to_read_the_log() -> Vec<Access> {
    let needed = [
        to_search_instances(),
        to_see_a_journal(),
        verbs(&["get"], "", "pods", "finds the pod that pgmig runs in"),
        to_exec("reads what pgmig has written"),
    ];
    vec![Access::always(Place::Instance, needed.concat())]
}

/// What a rehearsal in a pod of the cluster takes.
pub(crate) fn to_rehearse(instance_named: bool) -> Vec<Needed> {
    let why =
        "finds the image of PostgreSQL; makes and removes the pod that the backup is restored in";
    [
        verbs(&["list", "get", "create", "delete"], "", "pods", why),
        to_exec("sends the backup, restores it and counts its rows"),
        to_record(),
        to_take_over(),
        to_find_instance(instance_named),
    ]
    .concat()
}

/// To keep the pod of a rehearsal from the network.
pub(crate) fn to_isolate() -> Vec<Needed> {
    let (group, why) = ("networking.k8s.io", "keeps the pod from the network");
    verbs(&["create", "get", "delete"], group, "networkpolicies", why)
}

fn to_rehearse_all(_: &str) -> Vec<Access> {
    let events = verbs(&["list"], "", "events", "tells why the pod does not start");
    let optional = |needed, without| Access::always(Place::Instance, needed).or(without);
    let all = [
        Access::always(Place::Instance, to_rehearse(false)),
        optional(
            to_isolate(),
            "the pod is kept from the network by what listens in it alone",
        ),
        optional(events, "that is not told"),
        to_know_the_primary(),
    ];
    all.into_iter()
        .map(|one| one.when("without --local"))
        .collect()
}
