//! The helper pod among everything that a cluster does with new pods: policies, sidecars, Services, users of their own.

#![expect(
    clippy::unwrap_used,
    reason = "what cannot be unwrapped here fails the test"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use end_to_end::{FETCH, Outcome, Placed, Request, World};
use kube_sandbox::faults::{Effect, Matcher};
use serde_json::{Value, json};

const DEBUG: &[&str] = &["pull", "--latest", "--to", "s", "--via", "debug"];
const FETCHES: Request = ("GET", FETCH);

/// Metadata of the CronJob's pods, as long as the test runs.
struct Template<'a>(&'a World, Value);

impl<'a> Template<'a> {
    /// With these labels and annotations beside its own.
    fn with(world: &'a World, metadata: Value) -> Self {
        let template = Self(world, metadata);
        template.patch(&template.1);
        template
    }

    fn patch(&self, metadata: &Value) {
        let patch =
            json!({"spec": {"jobTemplate": {"spec": {"template": {"metadata": metadata}}}}});
        let cron_job = self.0.sandbox().names().cron_job();
        let patch = patch.to_string();
        self.0
            .kubectl(&["patch", "cronjob", &cron_job, "--type=merge", "-p", &patch]);
    }
}

impl Drop for Template<'_> {
    fn drop(&mut self) {
        let mut nothing = self.1.clone();
        for field in nothing.as_object_mut().unwrap().values_mut() {
            for value in field.as_object_mut().unwrap().values_mut() {
                *value = Value::Null;
            }
        }
        self.patch(&nothing);
    }
}

/// Pulls the newest dump, and returns the helper pod as it was meanwhile.
#[track_caller]
fn helper_pod(world: &World) -> Value {
    let scratch = world.scratch();
    world.slow_fetches();
    let mut pull = world.start_pvc(scratch.path(), DEBUG);
    pull.until(FETCHES);
    let pods = ["get", "pods", "-l", "kubectl-wa/run", "-o", "json"];
    let pods: Value = serde_json::from_str(&world.kubectl(&pods)).unwrap();
    world.sandbox().faults().clear();
    pull.end().expect_code(0);
    world.expect_nothing_left();
    assert_eq!(pods["items"].as_array().unwrap().len(), 1);
    pods["items"][0].clone()
}

fn new_pods() -> Matcher {
    Matcher {
        verb: Some("create".to_owned()),
        resource: Some("pods".to_owned()),
        subresource: Some(String::new()),
        ..Matcher::default()
    }
}

/// Has a container put into every new pod that neither ends by itself nor gets ready.
fn inject_sidecar(world: &World) {
    let cron_job = world.sandbox().names().cron_job();
    let image = "jsonpath={.spec.jobTemplate.spec.template.spec.containers[0].image}";
    let image = world.kubectl(&["get", "cronjob", &cron_job, "-o", image]);
    let container = json!({
        "name": "istio-proxy", "image": image,
        "command": ["sh", "-c", "trap '' TERM; while :; do sleep 1; done"],
        "readinessProbe": { "exec": { "command": ["false"] }, "periodSeconds": 1 },
    });
    world.fault(new_pods(), None, Effect::InjectSidecar { container });
}

fn containers(pod: &Value) -> Vec<&str> {
    let containers = pod["spec"]["containers"].as_array().unwrap().iter();
    containers
        .map(|container| container["name"].as_str().unwrap())
        .collect()
}

#[test]
fn a_helper_pod_works_and_ends_with_a_sidecar_beside_it() {
    let world = World::shared();
    inject_sidecar(&world);
    let pod = helper_pod(&world);
    assert_eq!(containers(&pod), ["istio-proxy", "helper"]);
    let conditions = pod["status"]["conditions"].as_array().unwrap();
    let ready = conditions
        .iter()
        .find(|one| one["type"] == "Ready")
        .unwrap();
    assert_eq!(ready["status"], "False", "the sidecar is not ready");
}

#[test]
fn a_template_that_tells_injectors_off_does_so_for_the_helper_pod() {
    let world = World::shared();
    let _template = Template::with(
        &world,
        json!({"annotations": {"sidecar.istio.io/inject": "false"}}),
    );
    inject_sidecar(&world);
    assert_eq!(containers(&helper_pod(&world)), ["helper"]);
}

#[test]
fn a_helper_pod_has_the_labels_that_policies_demand_and_none_that_others_find_their_pods_by() {
    let world = World::shared();
    let labels = json!({"cost-center": "42", "team": "backup", "tier": "night"});
    let _template = Template::with(&world, json!({ "labels": labels }));
    let demands = Effect::RequireLabel {
        label: "cost-center".to_owned(),
    };
    let named = |object: &str| json!({"name": object, "namespace": world.sandbox().namespace()});
    world.create(&json!({
        "apiVersion": "v1", "kind": "Service", "metadata": named("backups"),
        "spec": {"selector": {"team": "backup"}, "ports": [{"port": 80}]},
    }));
    world.create(&json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": named("nights"),
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"tier": "night"}}},
    }));
    world.fault(new_pods(), None, demands.clone());
    let selected_by_nobody = helper_pod(&world);
    // Who may not list them is not kept from the files.
    world.fault(new_pods(), None, demands);
    for (group, resource) in [("", "services"), ("policy", "poddisruptionbudgets")] {
        let forbid = Effect::Forbid {
            verb: "list".to_owned(),
            group: group.to_owned(),
            resource: resource.to_owned(),
            subresource: String::new(),
        };
        world.fault(Matcher::default(), None, forbid);
    }
    let in_the_dark = helper_pod(&world);
    world.kubectl(&["delete", "service", "backups"]);
    world.kubectl(&["delete", "poddisruptionbudget", "nights"]);

    for pod in [&selected_by_nobody, &in_the_dark] {
        let labels = &pod["metadata"]["labels"];
        assert_eq!(labels["cost-center"], "42");
        assert_eq!(labels["icpdsupport/addOnId"], "assistant");
        assert_eq!(labels["component"], Value::Null);
        assert_eq!(labels["app.kubernetes.io/managed-by"], "kubectl-wa-pvc");
    }
    let labels = &selected_by_nobody["metadata"]["labels"];
    assert_eq!([&labels["team"], &labels["tier"]], [&Value::Null; 2]);
    let labels = &in_the_dark["metadata"]["labels"];
    assert_eq!([&labels["team"], &labels["tier"]], ["backup", "night"]);
}

#[test]
fn a_policy_that_does_not_let_the_helper_pod_in_is_reported_in_its_words() {
    let world = World::shared();
    let label = "no-such-label".to_owned();
    world.fault(new_pods(), None, Effect::RequireLabel { label });
    let scratch = world.scratch();
    let outcome = world.pvc(scratch.path(), DEBUG).expect_code(1);
    outcome.expect_error(&["denied request: the label no-such-label is missing"]);
    world.expect_nothing_left();
}

#[test]
fn the_constraint_that_let_the_backups_in_is_asked_for() {
    let world = World::shared();
    let component = "component=store-cronjob";
    let annotate = ["annotate", "pods", "-l", component];
    world.kubectl(&[&annotate[..], &["openshift.io/scc=restricted-v2"]].concat());
    let pod = helper_pod(&world);
    world.kubectl(&[&annotate[..], &["openshift.io/scc-"]].concat());
    let annotations = &pod["metadata"]["annotations"];
    assert_eq!(annotations["openshift.io/required-scc"], "restricted-v2");
    assert_eq!(annotations["openshift.io/scc"], Value::Null);
}

/// A file or directory that nobody may read, until the test ends.
struct Unreadable(PathBuf, u32);

impl Unreadable {
    fn new(path: PathBuf) -> Self {
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o0)).unwrap();
        Self(path, mode)
    }
}

impl Drop for Unreadable {
    fn drop(&mut self) {
        fs::set_permissions(&self.0, fs::Permissions::from_mode(self.1)).unwrap();
    }
}

#[track_caller]
fn refused(world: &World, arguments: &[&str]) -> Outcome {
    let scratch = world.scratch();
    let outcome = world.pvc(scratch.path(), arguments).expect_code(1);
    world.expect_nothing_left();
    outcome
}

#[test]
fn a_file_that_may_not_be_read_names_who_wrote_it_and_who_reads() {
    let world = World::shared();
    let _placed = Placed::file(&world, "closed", b"content");
    let path = world.volume_directory().join("closed");
    let unreadable = Unreadable::new(path);
    let users = [
        "belongs to user ",
        ", group ",
        ", mode 0, ",
        "reads as user ",
    ];
    let pull = ["pull", "closed", "--no-verify", "--to", "s"];
    refused(&world, &pull).expect_error(&users);
    drop(unreadable);
    let _unreadable = Unreadable::new(world.volume_directory());
    refused(&world, &["list"]).expect_error(&users);
}
