//! The controllers over a store of their own, with this file in the part of the kubelet.

use std::time::Duration;

use futures::{StreamExt, future};
use serde_json::{Value, json};

use super::{Controllers, conditions, controlled};
use crate::api::{Resource, resources};
use crate::store::{DeleteOptions, Object, Propagation, Store, object};

const PATIENCE: Duration = Duration::from_secs(10);

struct Cluster {
    store: Store,
    _controllers: Controllers,
}

fn cluster() -> Cluster {
    let store = Store::new();
    let namespace =
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "cpd" } });
    store
        .create(&resources::NAMESPACES, namespace)
        .expect("the namespace");
    let controllers = Controllers::start(&store);
    Cluster {
        store,
        _controllers: controllers,
    }
}

impl Cluster {
    fn create(&self, resource: &Resource, object: Value) -> Object {
        self.store
            .create(resource, object)
            .expect("an object is created")
    }

    fn get(&self, resource: &Resource, name: &str) -> Object {
        self.store
            .get(resource, "cpd", name)
            .expect("the object is there")
    }

    /// Waits until the object is as wanted.
    async fn until(&self, resource: &Resource, name: &str, wanted: fn(&Value) -> bool) -> Object {
        let seen = self
            .store
            .watch(resource, None, None)
            .map(|event| event.expect("the watch goes on").object);
        let found = seen
            .filter(|object| future::ready(object::name(object) == name && wanted(object)))
            .boxed()
            .next()
            .await;
        found.expect("watches do not end")
    }

    /// Waits until the object is gone.
    async fn gone(&self, resource: &Resource, namespace: &str, name: &str) {
        let mut changes = self.store.watch(resource, None, None).boxed();
        while self.store.get(resource, namespace, name).is_ok() {
            changes
                .next()
                .await
                .expect("watches do not end")
                .expect("the watch goes on");
        }
    }

    /// Waits until exactly so many pods of the component are as wanted.
    async fn pods(
        &self,
        component: &str,
        number: usize,
        wanted: fn(&Value) -> bool,
    ) -> Vec<Object> {
        let mut changes = self.store.watch(&resources::PODS, None, None).boxed();
        loop {
            let mut pods = self.store.list(&resources::PODS, Some("cpd")).items;
            pods.retain(|pod| pod["metadata"]["labels"]["component"] == component && wanted(pod));
            if pods.len() == number {
                return pods;
            }
            changes
                .next()
                .await
                .expect("watches do not end")
                .expect("the watch goes on");
        }
    }

    /// The kubelet's part: sets a pod's phase, and readiness with it.
    fn set_phase(&self, pod: &Value, phase: &str) {
        let ready = if phase == "Running" { "True" } else { "False" };
        self.store
            .modify(&resources::PODS, "cpd", object::name(pod), |pod| {
                pod["spec"]["nodeName"] = json!("node1");
                pod["status"]["phase"] = phase.into();
                pod["status"]["conditions"] = json!([{ "type": "Ready", "status": ready }]);
            })
            .expect("the pod is there");
    }

    /// The kubelet's last step with a pod that is being deleted.
    fn finish(&self, pod: &Value) {
        self.store
            .remove(&resources::PODS, "cpd", object::name(pod))
            .expect("the pod is there");
    }
}

async fn in_time<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work)
        .await
        .expect("what is waited for comes about")
}

fn deployment(replicas: u64) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "wa-store", "namespace": "cpd" },
        "spec": {
            "replicas": replicas,
            "selector": { "matchLabels": { "component": "store" } },
            "template": { "metadata": { "labels": { "component": "store" } }, "spec": { "containers": [{ "name": "store", "image": "store:1" }] } },
        },
    })
}

fn job(name: &str, specification: &Value) -> Value {
    let mut job = json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": { "name": name, "namespace": "cpd" },
        "spec": { "template": { "metadata": { "labels": { "component": "job" } }, "spec": { "restartPolicy": "Never", "containers": [{ "name": "job", "image": "job:1" }] } } },
    });
    object::map_mut(&mut job["spec"])
        .extend(specification.as_object().cloned().unwrap_or_default());
    job
}

fn condition_types(object: &Value) -> Vec<&str> {
    let conditions = object["status"]["conditions"]
        .as_array()
        .into_iter()
        .flatten();
    conditions
        .filter_map(|condition| condition["type"].as_str())
        .collect()
}

#[tokio::test]
async fn a_deployment_is_available_once_its_pods_are_ready() {
    let cluster = cluster();
    cluster.create(&resources::DEPLOYMENTS, deployment(2));
    let pods = in_time(cluster.pods("store", 2, |_| true)).await;
    let owner = &pods[0]["metadata"]["ownerReferences"][0];
    assert_eq!(owner["kind"], "ReplicaSet");
    assert!(pods[0]["metadata"]["labels"]["pod-template-hash"].is_string());
    let waiting = cluster.get(&resources::DEPLOYMENTS, "wa-store");
    assert!(!conditions::is_true(&waiting, "Available"), "{waiting}");

    for pod in &pods {
        cluster.set_phase(pod, "Running");
    }
    let ready = in_time(cluster.until(&resources::DEPLOYMENTS, "wa-store", |one| {
        one["status"]["readyReplicas"] == 2
    }))
    .await;
    assert_eq!(ready["status"]["observedGeneration"], 1);
    assert!(conditions::is_true(&ready, "Available"));
    assert_eq!(
        ready["metadata"]["annotations"]["deployment.kubernetes.io/revision"],
        "1"
    );
    let progress = conditions::find(&ready, "Progressing").expect("a condition");
    assert_eq!(progress["reason"], "NewReplicaSetAvailable");
}

#[tokio::test]
async fn a_deployment_scaled_to_zero_counts_the_pods_that_still_end() {
    let cluster = cluster();
    cluster.create(&resources::DEPLOYMENTS, deployment(1));
    let pods = in_time(cluster.pods("store", 1, |_| true)).await;
    cluster.set_phase(&pods[0], "Running");
    in_time(cluster.until(&resources::DEPLOYMENTS, "wa-store", |one| {
        one["status"]["readyReplicas"] == 1
    }))
    .await;

    cluster
        .store
        .modify(&resources::DEPLOYMENTS, "cpd", "wa-store", |one| {
            one["spec"]["replicas"] = json!(0);
        })
        .expect("scaled");
    let scaled = in_time(cluster.until(&resources::DEPLOYMENTS, "wa-store", |one| {
        one["status"]["observedGeneration"] == 2 && one["status"]["terminatingReplicas"] == 1
    }))
    .await;
    assert!(scaled["status"].get("replicas").is_none(), "{scaled}");
    cluster.finish(&pods[0]);
    in_time(cluster.until(&resources::DEPLOYMENTS, "wa-store", |one| {
        one["status"]["terminatingReplicas"] == 0
    }))
    .await;
}

#[tokio::test]
async fn a_changed_template_keeps_the_old_pod_until_the_new_one_is_ready() {
    let cluster = cluster();
    cluster.create(&resources::DEPLOYMENTS, deployment(1));
    let old = in_time(cluster.pods("store", 1, |_| true)).await.remove(0);
    cluster.set_phase(&old, "Running");
    in_time(cluster.until(&resources::DEPLOYMENTS, "wa-store", |one| {
        one["status"]["readyReplicas"] == 1
    }))
    .await;

    cluster
        .store
        .modify(&resources::DEPLOYMENTS, "cpd", "wa-store", |one| {
            one["spec"]["template"]["spec"]["containers"][0]["image"] = "new".into();
        })
        .expect("changed");
    let both = in_time(cluster.pods("store", 2, |_| true)).await;
    assert!(both.iter().all(|pod| !object::is_terminating(pod)));
    let new = both
        .iter()
        .find(|pod| object::name(pod) != object::name(&old))
        .expect("a new pod");
    cluster.set_phase(new, "Running");
    in_time(cluster.until(&resources::PODS, object::name(&old), object::is_terminating)).await;
    cluster.finish(&old);
    let done = in_time(cluster.until(&resources::DEPLOYMENTS, "wa-store", |one| {
        one["status"]["replicas"] == 1 && one["status"]["updatedReplicas"] == 1
    }))
    .await;
    assert_eq!(
        done["metadata"]["annotations"]["deployment.kubernetes.io/revision"],
        "2"
    );
}

#[tokio::test]
async fn a_deleted_pod_is_replaced() {
    let cluster = cluster();
    cluster.create(&resources::DEPLOYMENTS, deployment(1));
    let pod = in_time(cluster.pods("store", 1, |_| true)).await.remove(0);
    cluster.finish(&pod);
    let next = in_time(cluster.pods("store", 1, |_| true)).await.remove(0);
    assert_ne!(object::name(&next), object::name(&pod));
}

#[tokio::test]
async fn a_job_announces_its_success_before_it_is_complete() {
    let cluster = cluster();
    let mut seen = cluster.store.watch(&resources::JOBS, None, None).boxed();
    cluster.create(
        &resources::JOBS,
        job("backup", &json!({ "backoffLimit": 0 })),
    );
    let pod = in_time(cluster.pods("job", 1, |_| true)).await.remove(0);
    assert!(object::name(&pod).starts_with("backup-"));
    cluster.set_phase(&pod, "Succeeded");

    let mut steps = Vec::new();
    while steps.last().is_none_or(|step: &Vec<String>| step.len() < 2) {
        let object = in_time(seen.next())
            .await
            .expect("watches do not end")
            .expect("the watch goes on")
            .object;
        let types: Vec<_> = condition_types(&object)
            .into_iter()
            .map(str::to_owned)
            .collect();
        if !types.is_empty() {
            steps.push(types);
        }
    }
    assert_eq!(
        steps,
        [
            vec!["SuccessCriteriaMet"],
            vec!["SuccessCriteriaMet", "Complete"]
        ]
    );
    let done = cluster.get(&resources::JOBS, "backup");
    assert_eq!(done["status"]["succeeded"], 1);
    assert!(done["status"]["completionTime"].is_string());
    assert!(done["status"].get("active").is_none(), "{done}");
}

#[tokio::test]
async fn a_job_fails_when_its_retries_are_used_up() {
    let cluster = cluster();
    cluster.create(
        &resources::JOBS,
        job("backup", &json!({ "backoffLimit": 1 })),
    );
    for _ in 0..2 {
        let pod = in_time(cluster.pods("job", 1, |pod| pod["status"]["phase"] == "Pending"))
            .await
            .remove(0);
        cluster.set_phase(&pod, "Failed");
    }
    let failed = in_time(cluster.until(&resources::JOBS, "backup", |job| {
        conditions::is_true(job, "Failed")
    }))
    .await;
    assert_eq!(condition_types(&failed), ["FailureTarget", "Failed"]);
    assert_eq!(failed["status"]["failed"], 2);
    assert_eq!(
        conditions::find(&failed, "Failed").expect("a condition")["reason"],
        "BackoffLimitExceeded"
    );
    assert!(failed["status"].get("completionTime").is_none(), "{failed}");
}

#[tokio::test]
async fn a_job_past_its_deadline_fails_and_its_pod_is_deleted() {
    let cluster = cluster();
    cluster.create(
        &resources::JOBS,
        job("backup", &json!({ "activeDeadlineSeconds": 1 })),
    );
    let pod = in_time(cluster.pods("job", 1, |_| true)).await.remove(0);
    cluster.set_phase(&pod, "Running");
    let failed = in_time(cluster.until(&resources::JOBS, "backup", |job| {
        conditions::is_true(job, "Failed")
    }))
    .await;
    assert_eq!(
        conditions::find(&failed, "Failed").expect("a condition")["reason"],
        "DeadlineExceeded"
    );
    assert!(object::is_terminating(
        &cluster.get(&resources::PODS, object::name(&pod))
    ));
}

fn cron_job(specification: &Value) -> Value {
    let mut cron_job = json!({
        "apiVersion": "batch/v1", "kind": "CronJob", "metadata": { "name": "wa-store-cronjob", "namespace": "cpd" },
        "spec": {
            "schedule": "* * * * *", "successfulJobsHistoryLimit": 1,
            "jobTemplate": { "metadata": { "labels": { "from": "template" } }, "spec": job("x", &json!({}))["spec"] },
        },
        "status": { "lastScheduleTime": "2020-01-01T00:00:00Z" },
    });
    object::map_mut(&mut cron_job["spec"])
        .extend(specification.as_object().cloned().unwrap_or_default());
    cron_job
}

#[tokio::test]
async fn a_cron_job_that_is_due_creates_one_job_from_its_template() {
    let cluster = cluster();
    cluster.create(&resources::CRON_JOBS, cron_job(&json!({})));
    let pod = in_time(cluster.pods("job", 1, |_| true)).await.remove(0);
    let job = cluster.get(
        &resources::JOBS,
        pod["metadata"]["ownerReferences"][0]["name"]
            .as_str()
            .expect("a name"),
    );
    assert_eq!(job["metadata"]["labels"]["from"], "template");
    assert!(
        job["metadata"]["annotations"]["batch.kubernetes.io/cronjob-scheduled-timestamp"]
            .is_string()
    );
    let active = in_time(
        cluster.until(&resources::CRON_JOBS, "wa-store-cronjob", |one| {
            one["status"]["active"]
                .as_array()
                .is_some_and(|list| list.len() == 1)
        }),
    )
    .await;
    assert_ne!(active["status"]["lastScheduleTime"], "2020-01-01T00:00:00Z");

    cluster.set_phase(&pod, "Succeeded");
    let done = in_time(
        cluster.until(&resources::CRON_JOBS, "wa-store-cronjob", |one| {
            one["status"]["lastSuccessfulTime"].is_string()
        }),
    )
    .await;
    assert!(done["status"].get("active").is_none(), "{done}");
}

#[tokio::test]
async fn the_history_limit_spares_jobs_made_by_hand() {
    let cluster = cluster();
    let owner = cluster.create(&resources::CRON_JOBS, cron_job(&json!({ "suspend": true })));
    let finished = |name: &str, start: &str, annotations: Value| {
        let mut job = job(name, &json!({}));
        job["metadata"]["annotations"] = annotations;
        job["metadata"]["ownerReferences"] =
            json!([super::owner_reference(&resources::CRON_JOBS, &owner)]);
        job["status"] =
            json!({ "startTime": start, "conditions": [{ "type": "Complete", "status": "True" }] });
        cluster.create(&resources::JOBS, job);
    };
    finished(
        "by-hand",
        "2026-01-01T00:00:00Z",
        json!({ "cronjob.kubernetes.io/instantiate": "manual" }),
    );
    finished("newest", "2026-01-03T00:00:00Z", json!({}));
    finished("oldest", "2026-01-02T00:00:00Z", json!({}));
    let mut changes = cluster.store.watch(&resources::JOBS, None, None).boxed();
    while controlled(&cluster.store, &resources::JOBS, &owner).len() > 2 {
        in_time(changes.next())
            .await
            .expect("watches do not end")
            .expect("the watch goes on");
    }
    cluster.get(&resources::JOBS, "by-hand");
    cluster.get(&resources::JOBS, "newest");
}

fn claim(class: Option<&str>) -> Value {
    let mut claim = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": { "name": "data", "namespace": "cpd" },
        "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "10Gi" } } },
    });
    if let Some(class) = class {
        claim["spec"]["storageClassName"] = class.into();
    }
    claim
}

fn storage_class(mode: &str) -> Value {
    json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
        "metadata": { "name": "rbd", "annotations": { "storageclass.kubernetes.io/is-default-class": "true" } },
        "provisioner": "rbd.csi.ceph.com", "reclaimPolicy": "Delete", "volumeBindingMode": mode,
    })
}

#[tokio::test]
async fn a_claim_gets_a_volume_of_the_default_class() {
    let cluster = cluster();
    cluster.create(&resources::STORAGE_CLASSES, storage_class("Immediate"));
    cluster.create(&resources::CLAIMS, claim(None));
    let bound = in_time(cluster.until(&resources::CLAIMS, "data", |one| {
        one["status"]["phase"] == "Bound"
    }))
    .await;
    assert_eq!(bound["spec"]["storageClassName"], "rbd");
    assert_eq!(bound["status"]["capacity"]["storage"], "10Gi");
    let volume = cluster.get(
        &resources::VOLUMES,
        bound["spec"]["volumeName"].as_str().expect("a volume"),
    );
    assert_eq!(volume["spec"]["claimRef"]["name"], "data");
    assert_eq!(volume["status"]["phase"], "Bound");
}

#[tokio::test]
async fn a_class_that_waits_for_the_first_consumer_binds_with_the_first_pod() {
    let cluster = cluster();
    cluster.create(
        &resources::STORAGE_CLASSES,
        storage_class("WaitForFirstConsumer"),
    );
    cluster.create(&resources::CLAIMS, claim(Some("rbd")));
    in_time(cluster.until(&resources::CLAIMS, "data", |one| {
        one["status"]["phase"] == "Pending"
    }))
    .await;
    assert!(
        cluster
            .store
            .list(&resources::VOLUMES, None)
            .items
            .is_empty()
    );
    cluster.create(&resources::PODS, pod_with_claim());
    in_time(cluster.until(&resources::CLAIMS, "data", |one| {
        one["status"]["phase"] == "Bound"
    }))
    .await;
}

#[tokio::test]
async fn a_claim_in_use_goes_with_its_pod_and_its_volume_follows() {
    let cluster = cluster();
    cluster.create(&resources::STORAGE_CLASSES, storage_class("Immediate"));
    let unused = {
        let mut claim = claim(None);
        claim["metadata"]["name"] = "unused".into();
        claim
    };
    for claim in [claim(None), unused] {
        let claim = cluster.create(&resources::CLAIMS, claim);
        in_time(
            cluster.until(&resources::CLAIMS, object::name(&claim), |one| {
                one["status"]["phase"] == "Bound"
            }),
        )
        .await;
    }
    let bound = cluster.get(&resources::CLAIMS, "data");
    let pod = cluster.create(&resources::PODS, pod_with_claim());
    for name in ["data", "unused"] {
        cluster
            .store
            .delete(&resources::CLAIMS, "cpd", name, &DeleteOptions::default())
            .expect("deleted");
    }
    // The controller has looked at both once the one that nobody uses is gone.
    in_time(cluster.gone(&resources::CLAIMS, "cpd", "unused")).await;
    assert!(object::is_terminating(
        &cluster.get(&resources::CLAIMS, "data")
    ));
    cluster.finish(&pod);
    in_time(cluster.gone(&resources::CLAIMS, "cpd", "data")).await;
    let volume = bound["spec"]["volumeName"].as_str().expect("a name");
    in_time(cluster.gone(&resources::VOLUMES, "", volume)).await;
}

fn pod_with_claim() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "reader", "namespace": "cpd" },
        "spec": {
            "containers": [{ "name": "reader", "image": "reader:1" }],
            "volumes": [{ "name": "data", "persistentVolumeClaim": { "claimName": "data" } }],
        },
    })
}

#[tokio::test]
async fn what_an_object_owns_goes_after_it() {
    let cluster = cluster();
    cluster.create(&resources::DEPLOYMENTS, deployment(1));
    in_time(cluster.pods("store", 1, |_| true)).await;
    cluster
        .store
        .delete(
            &resources::DEPLOYMENTS,
            "cpd",
            "wa-store",
            &DeleteOptions::default(),
        )
        .expect("deleted");
    in_time(cluster.pods("store", 0, |_| true)).await;
    assert!(
        cluster
            .store
            .list(&resources::REPLICA_SETS, None)
            .items
            .is_empty()
    );
}

#[tokio::test]
async fn a_foreground_deletion_takes_the_dependents_first() {
    let cluster = cluster();
    cluster.create(&resources::DEPLOYMENTS, deployment(1));
    let pod = in_time(cluster.pods("store", 1, |_| true)).await.remove(0);
    cluster.set_phase(&pod, "Running");
    let options = DeleteOptions {
        propagation: Some(Propagation::Foreground),
        ..DeleteOptions::default()
    };
    cluster
        .store
        .delete(&resources::DEPLOYMENTS, "cpd", "wa-store", &options)
        .expect("deleted");
    in_time(cluster.until(&resources::PODS, object::name(&pod), object::is_terminating)).await;
    assert!(object::is_terminating(
        &cluster.get(&resources::DEPLOYMENTS, "wa-store")
    ));
    cluster.finish(&pod);
    in_time(cluster.gone(&resources::DEPLOYMENTS, "cpd", "wa-store")).await;
}

#[tokio::test]
async fn orphans_stay_without_an_owner() {
    let cluster = cluster();
    cluster.create(&resources::JOBS, job("backup", &json!({})));
    let pod = in_time(cluster.pods("job", 1, |_| true)).await.remove(0);
    let options = DeleteOptions {
        propagation: Some(Propagation::Orphan),
        ..DeleteOptions::default()
    };
    cluster
        .store
        .delete(&resources::JOBS, "cpd", "backup", &options)
        .expect("deleted");
    in_time(cluster.until(&resources::PODS, object::name(&pod), |pod| {
        pod["metadata"].get("ownerReferences").is_none()
    }))
    .await;
    assert!(!object::is_terminating(
        &cluster.get(&resources::PODS, object::name(&pod))
    ));
}

#[tokio::test]
async fn every_namespace_gets_its_service_account() {
    let cluster = cluster();
    in_time(cluster.until(&resources::SERVICE_ACCOUNTS, "default", |_| true)).await;
    let account = cluster.get(&resources::SERVICE_ACCOUNTS, "default");
    assert_eq!(object::namespace(&account), "cpd");
}
