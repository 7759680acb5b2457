//! What works on a real cluster too: pointed at one by `WA_TEST_KUBECONFIG`, else done on the practice cluster; and the
//! manifests that make such a cluster out of kind, k3s or CRC.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot set itself up has failed, and shows what it did"
)]

use std::path::PathBuf;
use std::process::{Command, Stdio};

use end_to_end::{Outcome, World, binary, run};
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::api::core::v1::{
    ConfigMap, Namespace, PersistentVolumeClaim, Pod, Secret, Service,
};
use k8s_openapi::api::rbac::v1::ClusterRole;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube_sandbox::meta::{Kinds, resources};
use kube_sandbox::store::Store;
use serde_json::Value;
use tempfile::TempDir;
use wa_sandbox::world::{Profile, definitions, kinds, manifests};

/// Such as `/home/me/.kube/config`, whose current context leads to the cluster.
const KUBECONFIG: &str = "WA_TEST_KUBECONFIG";
const NAMESPACE: &str = "cpd";

/// A cluster that is there already.
struct Target {
    kubeconfig: PathBuf,
    directory: TempDir,
}

impl Target {
    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .args(["-n", NAMESPACE])
            .env("KUBECONFIG", &self.kubeconfig)
            .current_dir(self.directory.path());
        command
    }

    fn plugin(&self, plugin: &str, arguments: &[&str]) -> Outcome {
        let program = binary(&format!("kubectl-wa-{plugin}"));
        let started = std::time::Instant::now();
        let outcome = run(&mut self.command(program.to_str().unwrap(), arguments));
        println!("{plugin} {arguments:?}: {:?}", started.elapsed());
        outcome
    }

    #[track_caller]
    fn json(&self, plugin: &str, arguments: &[&str]) -> Value {
        let arguments = [arguments, &["-o", "json"]].concat();
        self.plugin(plugin, &arguments).expect_code(0).json()
    }

    #[track_caller]
    fn kubectl(&self, arguments: &[&str]) -> String {
        run(&mut self.command("kubectl", arguments))
            .expect_code(0)
            .stdout
    }
}

/// Backups, the volume, an estimate, a restore as far as nothing stops for it: on whatever cluster that is.
fn everything_that_leaves_production_alone(on: &Target) {
    for component in ["postgres", "etcd"] {
        let label = format!("component={component}");
        let wait = ["wait", "pod", "-l", &label, "--for=condition=Ready"];
        // On a new cluster images are pulled first.
        on.kubectl(&[&wait[..], &["--timeout=10m"]].concat());
    }
    assert_eq!(on.json("backup", &["check"])["ok"], true);
    let created = on.json("backup", &["create"]);
    assert!(
        !created["tables"].as_array().unwrap().is_empty(),
        "{created}"
    );
    let verified = on.json("backup", &["verify", "latest"]);
    assert_eq!(verified["verdict"], "intact", "{verified}");
    let listed = on.json("backup", &["list"]);
    assert_eq!(listed["backups"][0]["state"], "complete", "{listed}");
    let inspected = on.json("backup", &["inspect", "latest"]);
    assert!(!inspected["instances"].as_array().unwrap().is_empty());
    let differs = on.json("backup", &["diff", "latest", "live"]);
    assert_eq!(differs["tables"], Value::Array(Vec::new()), "{differs}");
    on.json("backup", &["schedule", "show"]);

    let pulled = on.json("backup", &["trigger", "--pull", "--to", "triggered"]);
    assert_eq!(pulled["outcome"], "complete", "{pulled}");
    let files = on.json("pvc", &["list"]);
    let newest = &pulled["sets"][0]["volume"]["file"];
    let is_listed = |files: &Value| {
        let mut files = files["files"].as_array().unwrap().iter();
        files.any(|file| file["name"] == *newest)
    };
    assert!(is_listed(&files), "{newest}: {files}");
    on.json("pvc", &["pull", "--latest", "--to", "pulled"]);

    let estimate = on.json("retrain", &["estimate"]);
    assert!(estimate["workspaces"].as_u64().unwrap() > 0, "{estimate}");
    // Without pgmig it cannot pass, and says what else holds.
    let check = on.plugin("restore", &["check", "latest", "-o", "json"]);
    let check = check.expect_code(4).json();
    let held = |name: &str| {
        let mut checks = check["checks"].as_array().unwrap().iter();
        checks.any(|one| one["name"] == name && one["result"] == "ok")
    };
    for condition in [
        "backup",
        "connection",
        "instance",
        "store secret",
        "postgres pod",
    ] {
        assert!(held(condition), "{condition}: {check:#}");
    }
    let rehearsed = on.json("restore", &["rehearse", "latest"]);
    assert_eq!(
        rehearsed["problems"],
        Value::Array(Vec::new()),
        "{rehearsed}"
    );

    for (plugin, command) in [("backup", "cleanup"), ("pvc", "cleanup")] {
        let left = on.json(plugin, &[command, "--dry-run"]);
        assert_eq!(left["runs"], Value::Array(Vec::new()), "{left}");
    }
}

#[test]
fn what_leaves_production_alone_works_on_any_cluster() {
    let directory = tempfile::tempdir().unwrap();
    if let Some(kubeconfig) = std::env::var_os(KUBECONFIG) {
        let kubeconfig = PathBuf::from(kubeconfig);
        return everything_that_leaves_production_alone(&Target {
            kubeconfig,
            directory,
        });
    }
    println!("{KUBECONFIG} is not set: on the practice cluster");
    let world = World::shared();
    everything_that_leaves_production_alone(&Target {
        kubeconfig: world.sandbox().kubeconfig().to_owned(),
        directory,
    });
    world.expect_nothing_left();
}

/// An object as the types of Kubernetes' own client have it; `None` for a kind of somebody else.
fn as_typed(object: &Value) -> Option<Value> {
    fn read<T: serde::de::DeserializeOwned + serde::Serialize>(object: &Value) -> Value {
        let typed: T = serde_json::from_value(object.clone()).unwrap();
        serde_json::to_value(typed).unwrap()
    }
    Some(match object["kind"].as_str().unwrap() {
        "Namespace" => read::<Namespace>(object),
        "CustomResourceDefinition" => read::<CustomResourceDefinition>(object),
        "ClusterRole" => read::<ClusterRole>(object),
        "Secret" => read::<Secret>(object),
        "ConfigMap" => read::<ConfigMap>(object),
        "Service" => read::<Service>(object),
        "PersistentVolumeClaim" => read::<PersistentVolumeClaim>(object),
        "Deployment" => read::<Deployment>(object),
        "StatefulSet" => read::<StatefulSet>(object),
        "CronJob" => read::<CronJob>(object),
        "Pod" => read::<Pod>(object),
        _ => return None,
    })
}

/// The paths of fields that Kubernetes does not know.
fn unknown(object: &Value, typed: &Value, at: &str, found: &mut Vec<String>) {
    match object {
        Value::Object(fields) => {
            for (name, value) in fields {
                let at = format!("{at}.{name}");
                match typed.get(name) {
                    Some(typed) => unknown(value, typed, &at, found),
                    None => found.push(at),
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                unknown(item, &typed[index], at, found);
            }
        }
        _ => {}
    }
}

#[test]
fn manifests_have_only_fields_that_kubernetes_knows_and_nothing_of_the_practice_clusters_own() {
    for profile in Profile::ALL {
        let definitions = definitions();
        // Else what is applied would have no status, from which the release is read.
        let parts = |one: &Value| one["spec"]["versions"][0]["subresources"].clone();
        assert!(definitions.iter().all(|one| parts(one).is_null()));
        let objects = [definitions, manifests(profile).unwrap()].concat();
        for object in &objects {
            let name = format!(
                "{profile}: {} {}",
                object["kind"], object["metadata"]["name"]
            );
            let mut problems = Vec::new();
            let typed = as_typed(object);
            if let Some(typed) = &typed {
                unknown(object, typed, "", &mut problems);
                assert!(object.get("status").is_none(), "{name}");
            }
            let is_own = object["apiVersion"].as_str().unwrap().contains('.')
                && object["apiVersion"].as_str().unwrap() != "rbac.authorization.k8s.io/v1";
            assert!(typed.is_some() || is_own, "{name}: no type");
            assert_eq!(problems, [""; 0], "{name}");
            // A custom resource may say what image the product has; no pod of it is started.
            let text = typed.unwrap_or_default().to_string();
            for own in [
                "icr.io",
                "clusterIP\":\"127",
                "ownerReferences",
                "finalizers",
                "ceph",
            ] {
                assert!(!text.contains(own), "{name} has {own}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_applies_what_is_printed_to_an_empty_cluster_and_finds_the_instance_there() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::with_kinds(Kinds::with(kinds::ALL.iter().copied()));
    let cluster = kube_sandbox::Cluster::start(kube_sandbox::Config {
        name: "empty".to_owned(),
        namespace: "default".to_owned(),
        directory: directory.path().join("cluster"),
        port: None,
        store,
        driver: None,
    });
    let cluster = cluster.await.unwrap();
    let kubeconfig = cluster.kubeconfig().to_owned();
    let applied = tokio::task::spawn_blocking(move || {
        let printed = |arguments: &[&str]| {
            let mut command = Command::new(binary("wa-sandbox"));
            run(command.arg("manifests").args(arguments))
                .expect_code(0)
                .stdout
        };
        let apply = |yaml: &str| {
            let file = directory.path().join("objects.yaml");
            std::fs::write(&file, yaml).unwrap();
            let mut kubectl = Command::new("kubectl");
            kubectl
                .args(["apply", "-f", file.to_str().unwrap()])
                .env("KUBECONFIG", &kubeconfig)
                .stdin(Stdio::null());
            run(&mut kubectl).expect_code(0).stdout
        };
        apply(&printed(&["--definitions"]));
        apply(&printed(&[]))
    });
    let applied = applied.await.unwrap();
    assert!(
        applied.lines().all(|line| line.ends_with("created")),
        "{applied}"
    );
    let pod = cluster
        .store()
        .get(&resources::PODS, NAMESPACE, "wa-postgres-16-1");
    let containers = &pod.unwrap()["spec"]["containers"];
    assert_eq!(containers[0]["image"], "docker.io/library/postgres:16");
    let instance = cluster.store().get(&kinds::ASSISTANTS, NAMESPACE, "wa");
    assert_eq!(instance.unwrap()["spec"]["version"], "5.2.1");
    cluster.stop().await;
}
