//! How long retraining takes: counted in the real etcd of the practice cluster.

use end_to_end::World;
use kube_sandbox::faults::{Effect, Matcher};
use serde_json::{Value, json};
use wa_sandbox::world::Profile;

fn workspaces(world: &World) -> Value {
    let outcome = world.retrain(&["estimate", "-o", "json"]).expect_code(0);
    outcome.json()["workspaces"].clone()
}

/// The requests that run commands in pods.
fn execs() -> Matcher {
    Matcher {
        resource: Some("pods".to_owned()),
        subresource: Some("exec".to_owned()),
        ..Matcher::default()
    }
}

fn forbid(world: &World, verb: &str, resource: &str) {
    let effect = Effect::Forbid {
        verb: verb.to_owned(),
        group: String::new(),
        resource: resource.to_owned(),
        subresource: String::new(),
    };
    world.fault(Matcher::default(), None, effect);
}

#[test]
fn workspaces_are_counted_and_the_present_training_pods_are_a_row() {
    let world = World::shared();
    let password = world.in_etcd_pod("echo $password");
    let before = world.sandbox().requests().len();
    let outcome = world.retrain(&["estimate"]).expect_code(0);
    for part in [
        "24, counted by etcd through pod wa-etcd-0",
        "1 (now)",
        // 24*60/(10*2) + 24*2
        "2m0s",
        "asks for 0.25 CPUs and 256.0 MiB",
    ] {
        assert!(
            outcome.stdout.contains(part),
            "no {part:?} in:\n{}",
            outcome.stdout
        );
    }
    for line in outcome.stdout.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    let found = world
        .retrain(&["estimate", "--pods", "10", "-o", "json"])
        .expect_code(0)
        .json();
    assert_eq!(found["rows"][0]["current"], true);
    assert_eq!(found["rows"][1]["durationSeconds"], 120);
    let replicas: Vec<&Value> = found["rows"][1]["replicas"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["replicas"])
        .collect();
    assert_eq!(
        replicas,
        [&json!(10), &json!(5), &json!(3), &json!(2), &json!(2)]
    );
    // Nothing was changed, and the password and the script are in no request.
    for request in &world.sandbox().requests()[before..] {
        assert_eq!(request.method, "GET", "{request:?}");
        assert!(
            !request.uri.contains(password.trim()) && !request.uri.contains("pass.key"),
            "{request:?}"
        );
    }
}

#[test]
fn a_release_without_published_endpoints_is_asked_by_its_host_name() {
    let world = World::start(Profile::V4_8_5);
    assert_eq!(workspaces(&world), 24);
}

#[test]
fn however_many_workspaces_there_are_the_server_counts_and_little_is_sent() {
    let world = World::shared();
    // As many as one transaction takes, eight times.
    world.in_etcd_pod(
        r"for part in 0 1 2 3 4 5 6 7; do
            { echo; for n in $(seq 128); do echo put /bluegoat/voyager-nlu/voyager-nlu-slot-wa/workspaces/more-$part-$n a; done; echo; echo; } |
                etcdctl txn >/dev/null
        done",
    );
    // Their names alone are more than 60 kB.
    world.fault(execs(), None, Effect::CutAfter { bytes: 1000 });
    assert_eq!(workspaces(&world), 24 + 8 * 128);
    world.in_etcd_pod(
        "etcdctl del --prefix /bluegoat/voyager-nlu/voyager-nlu-slot-wa/workspaces/more-",
    );
}

#[test]
fn no_workspaces_are_nothing_to_train() {
    let world = World::shared();
    let prefix = "/bluegoat/voyager-nlu/voyager-nlu-slot-wa/workspaces/";
    let keys = world.in_etcd_pod(&format!("etcdctl get --prefix {prefix} --keys-only"));
    world.in_etcd_pod(&format!("etcdctl del --prefix {prefix}"));
    let outcome = world.retrain(&["estimate"]);
    let keys: Vec<&str> = keys.split_whitespace().collect();
    let keys = keys.join(" ");
    world.in_etcd_pod(&format!(
        "for key in {keys}; do etcdctl put $key trained; done"
    ));
    let outcome = outcome.expect_code(0);
    assert!(
        outcome.stdout.contains("There is nothing to train."),
        "{}",
        outcome.stdout
    );
    assert!(!outcome.stdout.contains("TAKES"), "{}", outcome.stdout);
}

#[test]
fn a_password_that_etcd_does_not_take_is_named_and_not_shown() {
    let world = World::shared();
    world.in_etcd_pod("echo swordfish | etcdctl user passwd root --interactive=false");
    let outcome = world.retrain(&["estimate"]);
    world.in_etcd_pod("old=$password; password=swordfish; echo $old | etcdctl user passwd root --interactive=false");
    let password = world.in_etcd_pod("echo $password");
    let outcome =
        outcome
            .expect_code(1)
            .expect_error(&["refuses the user root", "pass.key", "--workspaces"]);
    assert!(!outcome.everything().contains(password.trim()));
    assert_eq!(workspaces(&world), 24);
}

#[test]
fn without_an_etcd_pod_the_number_can_be_given() {
    let world = World::shared();
    world
        .create(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "no-etcd"}}));
    world.create(&json!({
        "apiVersion": "assistant.watson.ibm.com/v1", "kind": "WatsonAssistant",
        "metadata": {"name": "wa", "namespace": "no-etcd"}, "spec": {"version": "5.2.1"},
    }));
    world
        .retrain(&["estimate", "-n", "no-etcd"])
        .expect_code(1)
        .expect_error(&["no etcd pod", "there is no pod wa-etcd-0", "--workspaces"]);
}

#[test]
fn who_may_not_see_nodes_gets_the_estimate_all_the_same() {
    let world = World::shared();
    forbid(&world, "list", "nodes");
    let outcome = world.retrain(&["estimate"]).expect_code(0);
    assert!(
        outcome.stdout.contains("you may not list nodes"),
        "{}",
        outcome.stdout
    );
    assert!(outcome.stdout.contains("not known"), "{}", outcome.stdout);
}
