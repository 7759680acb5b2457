//! What is kept of a template, and what is not.

use serde_json::{Value, json};

use super::*;

/// The spec of a finished backup pod, with everything in it that a helper must not have.
fn finished() -> Value {
    json!({
        "serviceAccountName": "wa-backup",
        "imagePullSecrets": [{"name": "pull"}],
        "securityContext": {"runAsUser": 1000, "fsGroup": 2000},
        "tolerations": [{"key": "storage", "operator": "Exists"}],
        "nodeSelector": {"zone": "a"},
        "affinity": {
            "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}},
            "podAntiAffinity": {},
        },
        "nodeName": "node-7",
        "priority": 1000,
        "priorityClassName": "batch",
        "hostNetwork": true,
        "restartPolicy": "OnFailure",
        "initContainers": [{"name": "wait", "image": "x"}],
        "volumes": [
            {"name": "backups", "persistentVolumeClaim": {"claimName": "wa-store-db-backup-pvc"}},
            {"name": "other", "persistentVolumeClaim": {"claimName": "someone-elses"}},
            {"name": "tmp", "emptyDir": {}},
            {"name": "unused", "emptyDir": {}},
            {"name": "password", "secret": {"secretName": "wa-store-vcap"}},
            {"name": "kube-api-access-x", "projected": {"sources": []}},
        ],
        "containers": [
            {"name": "sidecar", "image": "proxy"},
            {
                "name": "backup",
                "image": "registry/wa-store@sha256:1",
                "imagePullPolicy": "IfNotPresent",
                "command": ["/backup.sh"],
                "args": ["all"],
                "env": [{"name": "PGPASSWORD", "value": "hunter2"}],
                "envFrom": [{"secretRef": {"name": "wa-store-vcap"}}],
                "ports": [{"containerPort": 80}],
                "livenessProbe": {"exec": {"command": ["true"]}},
                "lifecycle": {"preStop": {"exec": {"command": ["true"]}}},
                "resources": {"requests": {"cpu": "100m"}, "limits": {"memory": "256Mi"}},
                "securityContext": {"readOnlyRootFilesystem": true},
                "volumeMounts": [
                    {"name": "backups", "mountPath": "/store-backups"},
                    {"name": "other", "mountPath": "/other"},
                    {"name": "tmp", "mountPath": "/tmp"},
                    {"name": "password", "mountPath": "/secret"},
                    {"name": "kube-api-access-x", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"},
                ],
            },
        ],
    })
}

fn derive(spec: Value) -> Result<HelperPodSpec, NotMounted> {
    let metadata = json!({
        "labels": {"component": "store-cronjob", "cost-center": "42", "app": "wa"},
        "annotations": {"sidecar.istio.io/inject": "false", "openshift.io/scc": "restricted-v2"},
    });
    let mut pod = json!({ "metadata": metadata });
    pod["spec"] = spec;
    let pod: PodTemplateSpec = serde_json::from_value(pod).unwrap();
    let lifetime = Duration::from_hours(2);
    HelperPodSpec::derive(
        &pod,
        "pod wa-backup-job-1-x",
        "wa-store-db-backup-pvc",
        lifetime,
    )
}

fn spec_of(helper: &HelperPodSpec) -> Value {
    serde_json::to_value(helper.pod("wa-pvc-1-helper").spec).unwrap()
}

#[test]
fn a_helper_is_the_container_that_mounts_the_claim_and_nothing_more() {
    let helper = derive(finished()).unwrap();
    assert_eq!(helper.mount_path(), "/store-backups");
    let expected = json!({
        "activeDeadlineSeconds": 7200,
        "affinity": {
            "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}},
        },
        "automountServiceAccountToken": false,
        "containers": [{
            "name": "helper",
            "image": "registry/wa-store@sha256:1",
            "imagePullPolicy": "IfNotPresent",
            "command": ["sh", "-c", SLEEP],
            "resources": {"requests": {"cpu": "100m"}, "limits": {"memory": "256Mi"}},
            "securityContext": {"readOnlyRootFilesystem": true},
            "volumeMounts": [
                {"name": "backups", "mountPath": "/store-backups"},
                {"name": "tmp", "mountPath": "/tmp"},
            ],
        }],
        "enableServiceLinks": false,
        "imagePullSecrets": [{"name": "pull"}],
        "nodeSelector": {"zone": "a"},
        "priorityClassName": "batch",
        "restartPolicy": "Never",
        "securityContext": {"runAsUser": 1000, "fsGroup": 2000, "fsGroupChangePolicy": "OnRootMismatch"},
        "serviceAccountName": "wa-backup",
        "terminationGracePeriodSeconds": 5,
        "tolerations": [{"key": "storage", "operator": "Exists"}],
        "volumes": [
            {"name": "backups", "persistentVolumeClaim": {"claimName": "wa-store-db-backup-pvc"}},
            {"name": "tmp", "emptyDir": {}},
        ],
    });
    assert_eq!(spec_of(&helper), expected);
}

#[test]
fn a_helper_is_let_in_as_the_original_and_selected_by_nobody() {
    let helper = derive(finished()).unwrap();
    let selector = LabelSelector {
        match_labels: Some([("app".to_owned(), "wa".to_owned())].into()),
        match_expressions: None,
    };
    let pod = helper.unselected(&[selector]).pod("wa-pvc-1-helper");
    let metadata = serde_json::to_value(pod.metadata).unwrap();
    assert_eq!(metadata["labels"], json!({"cost-center": "42"}));
    assert_eq!(
        metadata["annotations"],
        json!({"sidecar.istio.io/inject": "false"})
    );
}

#[test]
fn a_helper_can_be_bound_to_a_node_which_then_nothing_else_chooses() {
    let mut helper = derive(finished()).unwrap();
    helper.node = Some("node-3".to_owned());
    let spec = spec_of(&helper);
    assert_eq!(spec["nodeName"], "node-3");
    assert_eq!(
        (&spec["nodeSelector"], &spec["affinity"]),
        (&Value::Null, &Value::Null)
    );
}

#[test]
fn a_helper_can_mount_another_claim_read_only_with_another_image() {
    let mut helper = derive(finished()).unwrap();
    helper.claim = "wa-pvc-1-restored".to_owned();
    helper.image = "busybox".to_owned();
    helper.read_only = true;
    let spec = spec_of(&helper);
    let claim = &spec["volumes"][0]["persistentVolumeClaim"];
    assert_eq!(claim, &json!({"claimName": "wa-pvc-1-restored"}));
    let container = &spec["containers"][0];
    assert_eq!(container["image"], "busybox");
    assert_eq!(container["volumeMounts"][0]["readOnly"], true);
    assert_eq!(container["volumeMounts"][1]["readOnly"], Value::Null);
}

#[test]
fn a_template_that_does_not_mount_the_claim_is_refused() {
    let mut without_mount = finished();
    without_mount["containers"][1]["volumeMounts"] = json!([]);
    let mut without_volume = finished();
    without_volume["volumes"] = json!([]);
    for spec in [without_mount, without_volume] {
        let text = derive(spec).unwrap_err().to_string();
        assert!(
            text.contains("pod wa-backup-job-1-x mounts the claim"),
            "{text}"
        );
    }
}

#[test]
fn only_a_mount_of_all_of_the_volume_shows_its_files() {
    let part = |key: &str| json!({"name": "backups", "mountPath": "/part", key: "today"});
    let mut both = finished();
    let mounts = both["containers"][1]["volumeMounts"]
        .as_array_mut()
        .unwrap();
    mounts.insert(0, part("subPathExpr"));
    mounts.insert(0, part("subPath"));
    let helper = derive(both).unwrap();
    assert_eq!(helper.mount_path(), "/store-backups");
    let mounts = &spec_of(&helper)["containers"][0]["volumeMounts"];
    assert_eq!(mounts.as_array().unwrap().len(), 2, "{mounts}");

    for key in ["subPath", "subPathExpr"] {
        let mut spec = finished();
        spec["containers"][1]["volumeMounts"] = json!([part(key)]);
        let text = derive(spec).unwrap_err().to_string();
        assert!(text.contains("as a whole"), "{text}");
    }
}
