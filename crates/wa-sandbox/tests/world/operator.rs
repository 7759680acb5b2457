//! The operator of Watson Assistant, as a restore meets it.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use wa_sandbox::world::Variant;

use crate::support::World;

const OPERATOR: [&str; 3] = [
    "deployment/ibm-watson-assistant-operator",
    "-n",
    "cpd-operators",
];

impl World {
    async fn with(variant: Variant) -> Self {
        Self::start(|config| config.variant = variant).await
    }

    fn scale(&self, what: &[&str], replicas: u32) {
        let replicas = format!("--replicas={replicas}");
        self.ask(&[&["scale", &replicas], what].concat());
    }

    async fn until_ready(&self, deployment: &str, replicas: &str) {
        let ready = "jsonpath={.status.readyReplicas}";
        self.until(&["get", "deployment", deployment, "-o", ready], replicas)
            .await;
    }

    fn stated(&self) -> Value {
        let assistant = self.ask(&["get", "watsonassistant", "wa", "-o", "json"]);
        serde_json::from_str::<Value>(&assistant).unwrap()["status"].clone()
    }

    async fn until_completed(&self) {
        let status = "jsonpath={.status.watsonAssistantStatus} {.status.progress}";
        let get = ["get", "watsonassistant", "wa", "-o", status];
        self.until(&get, "Completed 100%").await;
    }
}

fn two_stores_two_operators() -> Variant {
    Variant {
        store_replicas: vec![3, 2],
        operator_replicas: 2,
        ..Variant::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_operator_is_up_the_store_comes_back_and_what_is_at_0_is_raised() {
    let world = World::with(two_stores_two_operators()).await;
    for (name, replicas) in [("wa-store", "3"), ("wa-store-2", "2"), ("wa-ui", "1")] {
        world.scale(&[&format!("deployment/{name}")], 0);
        world.until_ready(name, replicas).await;
    }
    world.scale(&["deployment/wa-tfmm"], 2);
    world.scale(&["deployment/wa-store"], 1);
    world.until_ready("wa-store", "3").await;
    let kept = [
        "get",
        "deployment",
        "wa-tfmm",
        "-o",
        "jsonpath={.spec.replicas}",
    ];
    assert_eq!(world.ask(&kept), "2", "a count that is not 0 is kept");
    world.sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_operator_is_down_nothing_comes_back_and_the_status_is_stale() {
    let world = World::with(two_stores_two_operators()).await;
    world.until_ready("wa-store", "3").await;
    world.until_ready("wa-store-2", "2").await;
    world.until_completed().await;

    world.scale(&OPERATOR, 0);
    let pods = [
        "get",
        "pods",
        "-n",
        "cpd-operators",
        "-o",
        "jsonpath={.items[*].metadata.deletionTimestamp}",
    ];
    assert!(
        !world.ask(&pods).is_empty(),
        "the operator's pods are gone at once"
    );
    let pods = ["get", "pods", "-n", "cpd-operators", "-o", "name"];
    world.until(&pods, "").await;
    let before = world.stated();

    for name in ["wa-store", "wa-store-2"] {
        world.scale(&[&format!("deployment/{name}")], 0);
    }
    let pods = ["get", "pods", "-l", "component=store", "-o", "name"];
    world.until(&pods, "").await;
    assert_eq!(world.stated(), before, "the status is kept");
    let counts = [
        "get",
        "deployments",
        "-l",
        "component=store",
        "-o",
        "jsonpath={.items[*].spec.replicas}",
    ];
    assert_eq!(world.ask(&counts), "0 0");

    world.scale(&OPERATOR, 2);
    world.until_ready("wa-store", "3").await;
    world.until_ready("wa-store-2", "2").await;
    world.until_completed().await;
    let times = |status: &Value| status["conditions"][0]["lastTransactionTime"].clone();
    assert_ne!(
        times(&world.stated()),
        times(&before),
        "no reconcile is seen"
    );
    world.sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_instance_of_an_orchestrate_lives_in_the_same_namespace_under_the_same_operator() {
    let world = World::with(Variant {
        orchestrate: true,
        ..Variant::default()
    })
    .await;
    let names = "jsonpath={.items[*].metadata.name}";
    assert_eq!(
        world.ask(&["get", "watsonassistants", "-o", names]),
        "wa wo-wa"
    );
    let query = "select count(*) from tenant where deleted is not true and lower(region) not in ('system', 'monitoring')";
    for (pod, database, instances) in [
        ("wa-postgres-16-1", "conversation_pprd_wa", "5"),
        ("wo-wa-postgres-16-1", "conversation_pprd_wo-wa", "3"),
    ] {
        let psql = [
            "exec", pod, "-c", "postgres", "--", "psql", "-XAtU", "postgres", "-d", database, "-c",
            query,
        ];
        assert_eq!(world.ask(&psql).trim(), instances, "{pod}");
    }
    world.scale(&["deployment/wo-wa-store"], 0);
    world.until_ready("wo-wa-store", "2").await;
    world.sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_whose_reconciles_are_paused_is_left_alone() {
    let world = World::with(Variant {
        orchestrate: true,
        ..Variant::default()
    })
    .await;
    world.until_ready("wa-store", "2").await;
    world.ask(&[
        "annotate",
        "watsonassistantstore",
        "wa",
        "oper8.org/pause-execution=true",
    ]);
    world.scale(&["deployment/wa-store"], 0);
    // The other instance comes back, in the same reconcile that would have raised this one.
    world.scale(&["deployment/wo-wa-store"], 0);
    world.until_ready("wo-wa-store", "2").await;
    let count = [
        "get",
        "deployment",
        "wa-store",
        "-o",
        "jsonpath={.spec.replicas}",
    ];
    assert_eq!(world.ask(&count), "0");
    world.sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_is_a_stateful_set_that_can_be_restarted() {
    let world = World::with(Variant {
        grace_seconds: 0,
        ..Variant::default()
    })
    .await;
    let redis = "statefulset/wa-redis-server";
    let ready = ["get", redis, "-o", "jsonpath={.status.readyReplicas}"];
    world.until(&ready, "3").await;
    let uids = || {
        let names = [
            "wa-redis-server-0",
            "wa-redis-server-1",
            "wa-redis-server-2",
        ];
        names.map(|pod| world.ask(&["get", "pod", pod, "-o", "jsonpath={.metadata.uid}"]))
    };
    let before = uids();
    world.ask(&["rollout", "restart", redis]);
    world.ask(&["rollout", "status", redis, "--timeout=120s"]);
    let after = uids();
    assert!(
        before.iter().all(|uid| !after.contains(uid)),
        "a pod was kept"
    );
    world.sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_of_deployments_start_as_slowly_as_asked_and_others_at_once() {
    let world = World::with(Variant {
        pod_start: Duration::from_secs(4),
        ..Variant::default()
    })
    .await;
    world.until_ready("wa-tfmm", "1").await;
    let took = |selector: &str| {
        let pods = world.read(&["get", "pods", "-l", selector]);
        let pod = &pods["items"][0];
        let time = |time: &Value| time.as_str().unwrap().parse::<Timestamp>().unwrap();
        let started = time(&pod["status"]["containerStatuses"][0]["state"]["running"]["startedAt"]);
        started.duration_since(time(&pod["metadata"]["creationTimestamp"]))
    };
    // Times are whole seconds.
    assert!(took("app=wa-tfmm") >= SignedDuration::from_secs(3));
    assert!(took("component=etcd") < took("app=wa-tfmm"));
    world.sandbox.stop().await;
}
