//! The Watson Assistant itself: its custom resources, its operator and its Deployments.
//!
//! Their containers run and do nothing; what they would serve is left out.

use kube_sandbox::meta::{Resource, object};
use serde_json::{Value, json};

use super::{image, labels, secret};
use crate::world::{Names, kinds, secrets::Credentials};

/// A temporary patch that is in force, as on most installations that have lived for a while.
const ACTIVE_PATCH: &str = "store-certificates";

/// The components that run as Deployments, and their replicas.
const COMPONENTS: [(&str, u32); 8] = [
    ("store", 2),
    ("store-admin", 1),
    ("ui", 1),
    ("clu-training", 1),
    ("clu-embedding", 1),
    ("clu-triton-serving", 1),
    ("dragonfly-clu-mm", 1),
    ("tfmm", 1),
];

/// The custom resources of the instance.
pub(in crate::world) fn custom_resources(names: &Names) -> Vec<(&'static Resource, Value)> {
    let parts = [
        &kinds::ASSISTANTS,
        &kinds::ASSISTANT_STORES,
        &kinds::ASSISTANT_CLUS,
        &kinds::ASSISTANT_CLU_RUNTIMES,
        &kinds::ASSISTANT_CLU_TRAININGS,
    ];
    let mut objects: Vec<_> = parts
        .into_iter()
        .map(|resource| (resource, custom_resource(names, resource)))
        .collect();
    objects.push((&kinds::TEMPORARY_PATCHES, active_patch(names)));
    objects
}

fn custom_resource(names: &Names, resource: &Resource) -> Value {
    let mut custom = json!({
        "apiVersion": resource.api_version(), "kind": resource.kind,
        "metadata": {
            "name": names.instance, "namespace": names.namespace,
            "labels": { "app.kubernetes.io/instance": names.instance },
        },
        "spec": { "size": "small", "version": names.version },
        "status": {
            "conditions": [
                { "type": "Ready", "status": "True", "reason": "Stable" },
                { "type": "Updating", "status": "False", "reason": "Stable" },
            ],
            "versions": {
                "available": { "versions": [{ "name": names.version }] },
                "reconciled": names.version,
            },
        },
    });
    if resource.kind == kinds::ASSISTANTS.kind {
        custom["status"]["watsonAssistantStatus"] = "Completed".into();
        custom["status"]["progress"] = "100%".into();
    }
    if resource.kind == kinds::ASSISTANT_STORES.kind {
        let active = json!({
            (patch_name(names)): {
                "timestamp": "2026-01-12T09:14:03.120417",
                "api_version": "assistant.watson.ibm.com/v1",
                "kind": "TemporaryPatch",
            },
        });
        let annotations = object::map_mut(&mut custom["metadata"]["annotations"]);
        for annotation in names.patch_annotations {
            annotations.insert((*annotation).to_owned(), active.to_string().into());
        }
    }
    custom
}

fn patch_name(names: &Names) -> String {
    format!("{}-{ACTIVE_PATCH}", names.instance)
}

fn active_patch(names: &Names) -> Value {
    json!({
        "apiVersion": "assistant.watson.ibm.com/v1", "kind": "TemporaryPatch",
        "metadata": {
            "name": patch_name(names), "namespace": names.namespace,
            "finalizers": ["finalizers.temporarypatch.assistant.watson.ibm.com"],
        },
        "spec": {
            "apiVersion": "assistant.watson.ibm.com/v1", "kind": "WatsonAssistantStore",
            "name": names.instance, "patchType": "patchStrategicMerge",
            "patch": { "store": { "deployment": { "spec": { "template": { "metadata": {
                "annotations": { "certificates": "renewed" },
            } } } } } },
        },
    })
}

/// The Deployments of the instance and its operator's.
pub(in crate::world) fn deployments(names: &Names) -> Vec<Value> {
    let mut deployments: Vec<_> = COMPONENTS
        .into_iter()
        .map(|(component, replicas)| {
            let name = format!("{}-{component}", names.instance);
            let labels = labels(names, component);
            deployment(
                &names.namespace,
                &name,
                &labels,
                replicas,
                &container(names, component),
            )
        })
        .collect();
    let name = "ibm-watson-assistant-operator";
    let container = json!({
        "name": "operator", "image": image("operator", names.version), "command": ["sleep", "infinity"],
        "resources": {}, "securityContext": { "readOnlyRootFilesystem": true },
    });
    let labels = json!({ "app.kubernetes.io/name": name });
    deployments.push(deployment(
        &names.operators_namespace(),
        name,
        &labels,
        1,
        &container,
    ));
    deployments
}

fn container(names: &Names, component: &str) -> Value {
    let environment = if component == "ui" {
        let url = format!(
            "https://wa-addon-assistant-gateway-svc.{}:5000/api/ibmcloud/resource-controller",
            names.namespace
        );
        json!([{ "name": "RESOURCE_CONTROLLER_URL", "value": url }])
    } else {
        json!([])
    };
    json!({
        "name": component, "image": image(component, names.version), "command": ["sleep", "infinity"],
        "env": environment, "resources": {}, "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File", "imagePullPolicy": "IfNotPresent",
        "securityContext": { "readOnlyRootFilesystem": true, "runAsNonRoot": true },
    })
}

fn deployment(
    namespace: &str,
    name: &str,
    labels: &Value,
    replicas: u32,
    container: &Value,
) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": name, "namespace": namespace, "labels": labels },
        "spec": {
            "replicas": replicas,
            "selector": { "matchLabels": labels },
            "template": {
                "metadata": { "labels": labels },
                "spec": {
                    "containers": [container], "restartPolicy": "Always", "dnsPolicy": "ClusterFirst",
                    // `sleep` ignores SIGTERM as process 1: every pod that is scaled away waits this long.
                    "terminationGracePeriodSeconds": 2,
                    "securityContext": {}, "schedulerName": "default-scheduler",
                },
            },
            "strategy": {
                "type": "RollingUpdate", "rollingUpdate": { "maxSurge": "25%", "maxUnavailable": "25%" },
            },
            "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600,
        },
        "status": {},
    })
}

/// Every image that the Deployments name.
pub(in crate::world) fn images(names: &Names) -> Vec<String> {
    let components = COMPONENTS
        .iter()
        .map(|(component, _)| *component)
        .chain(["operator"]);
    components
        .map(|component| image(component, names.version))
        .collect()
}

/// The instance's own secrets that no other part has.
pub(in crate::world) fn secrets(names: &Names, credentials: &Credentials) -> Vec<Value> {
    let mut secrets = Vec::new();
    if let Some(name) = &names.auth_encryption_secret {
        let labels = json!({ "service": "conversation", "app": name });
        secrets.push(secret(
            names,
            name,
            &labels,
            &[(
                "authorization_encryption_key",
                &credentials.authorization_key,
            )],
        ));
    }
    if names.service_token {
        let token = &[("token", credentials.service_token.as_str())];
        secrets.push(secret(
            names,
            "zen-service-broker-secret",
            &json!({}),
            token,
        ));
    }
    secrets
}
