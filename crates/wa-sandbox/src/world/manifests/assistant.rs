//! The Watson Assistant itself: its custom resources, its operator and its Deployments.
//!
//! But for store-admin their containers run and do nothing; what they would serve is left out. The real names of several Deployments of the
//! store, and where its custom resource keeps their counts, are not public.

use kube_sandbox::meta::{Resource, object};
use serde_json::{Value, json};

use super::{
    STORE_ADMIN, autoscalers, image, labels, patches, secret, service, store_admin, training,
};
use crate::world::rendering::Rendering;
use crate::world::resource_controller::GATEWAY_PORT;
use crate::world::secrets::{Credentials, encoded};
use crate::world::{Names, UiEnvironment, Variant, kinds};

/// The operator's Deployment.
pub(in crate::world) const OPERATOR: &str = "ibm-watson-assistant-operator";
/// The label by which its pods are found.
pub(in crate::world) const OPERATOR_LABEL: &str = "app.kubernetes.io/name";
/// The variable of the UI with the address of the resource controller.
const RESOURCE_CONTROLLER_URL: &str = "RESOURCE_CONTROLLER_URL";

/// A component beside the store that runs as a Deployment with one replica: its name, the custom resource that it is made
/// of, and where a temporary patch has what changes it.
type Component = (&'static str, &'static Resource, &'static [&'static str]);

static COMPONENTS: [Component; 7] = [
    (
        STORE_ADMIN,
        &kinds::ASSISTANT_STORES,
        &["store-admin", "deployment"],
    ),
    ("ui", &kinds::ASSISTANTS, &["ui", "deployment"]),
    (
        "clu-training",
        &kinds::ASSISTANT_CLU_TRAININGS,
        &["clu-training", "deployment", "training"],
    ),
    (
        "clu-embedding",
        &kinds::ASSISTANT_CLUS,
        &["clu-embedding", "deployment"],
    ),
    (
        "clu-triton-serving",
        &kinds::ASSISTANT_CLUS,
        &["clu-triton-serving", "deployment"],
    ),
    (
        "dragonfly-clu-mm",
        &kinds::ASSISTANT_CLU_RUNTIMES,
        &["dragonfly-clu-mm", "deployment"],
    ),
    (
        "tfmm",
        &kinds::ASSISTANT_CLU_RUNTIMES,
        &["tfmm", "deployment"],
    ),
];

/// The custom resources of the instance.
pub(in crate::world) fn custom_resources(
    names: &Names,
    variant: &Variant,
) -> Vec<(&'static Resource, Value)> {
    let parts = [
        &kinds::ASSISTANTS,
        &kinds::ASSISTANT_STORES,
        &kinds::ASSISTANT_CLUS,
        &kinds::ASSISTANT_CLU_RUNTIMES,
        &kinds::ASSISTANT_CLU_TRAININGS,
    ];
    let mut objects: Vec<_> = parts
        .into_iter()
        .map(|resource| (resource, custom_resource(names, variant, resource)))
        .collect();
    let patches = patches::objects(names, variant).into_iter();
    objects.extend(patches.map(|patch| (&kinds::TEMPORARY_PATCHES, patch)));
    objects
}

fn custom_resource(names: &Names, variant: &Variant, resource: &Resource) -> Value {
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
    if resource.kind == kinds::ASSISTANT_STORES.kind && !variant.operator_keeps_counts {
        let counts =
            stores(names, variant).map(|(name, replicas)| (name, json!({ "replicas": replicas })));
        custom["spec"]["deployments"] = Value::Object(counts.collect());
    }
    let active = patches::entries(names, variant, resource);
    if !active.is_empty() {
        let text = Value::Object(active).to_string();
        let annotations = object::map_mut(&mut custom["metadata"]["annotations"]);
        for annotation in names.patch_annotations {
            annotations.insert((*annotation).to_owned(), text.clone().into());
        }
    }
    custom
}

/// The Deployments of the store and their replicas.
fn stores(names: &Names, variant: &Variant) -> impl Iterator<Item = (String, u32)> {
    let first = format!("{}-store", names.instance);
    let name = move |number: u32| match number {
        1 => first.clone(),
        _ => format!("{first}-{number}"),
    };
    (1..).map(name).zip(variant.store_replicas.clone())
}

/// The Deployments of the instance. Those of the store are owned by its part of the instance, the others by the whole.
pub(in crate::world) fn renderings(
    names: &Names,
    variant: &Variant,
    store_owner: &Value,
    owner: &Value,
) -> Vec<Rendering> {
    let render = |name: String, part, path: &[&'static str], container: &Value| {
        let component = container["name"].as_str().unwrap_or_default();
        let mut labels = labels(names, component);
        // Several Deployments of one component must not select each other's pods.
        labels["app"] = name.as_str().into();
        let at = (names.namespace.as_str(), name.as_str());
        Rendering {
            part,
            instance: names.instance.clone(),
            path: path.to_vec(),
            manifest: deployment(at, &labels, 1, container, variant),
        }
    };
    let owned_by = |mut rendering: Rendering, owner: &Value| {
        rendering.manifest["metadata"]["ownerReferences"] = json!([{
            "apiVersion": owner["apiVersion"], "kind": owner["kind"], "controller": true, "blockOwnerDeletion": true,
            "name": object::name(owner), "uid": object::uid(owner),
        }]);
        rendering
    };
    let stores = stores(names, variant).map(|(name, replicas)| {
        // A patch of the store changes every Deployment of it.
        let container = container(names, "store");
        let path = &["store", "deployment"];
        let mut rendering = render(name, &kinds::ASSISTANT_STORES, path, &container);
        rendering.manifest["spec"]["replicas"] = replicas.into();
        owned_by(rendering, store_owner)
    });
    let others = COMPONENTS.iter().map(|(component, part, path)| {
        let name = format!("{}-{component}", names.instance);
        let mut rendering = render(name, part, path, &container(names, component));
        if *component == STORE_ADMIN {
            let spec = &mut rendering.manifest["spec"];
            spec["replicas"] = variant.store_admin_replicas.into();
            spec["template"]["spec"]["volumes"] = store_admin::volumes(names);
        }
        owned_by(rendering, owner)
    });
    let longer = (!variant.autoscaled.is_empty()).then(|| {
        let name = format!("{}-{}", names.instance, autoscalers::LONGER_NAME);
        let path = &["clu-training", "deployment", "dwf"];
        let container = container(names, "clu-training");
        let rendering = render(name, &kinds::ASSISTANT_CLU_TRAININGS, path, &container);
        owned_by(rendering, owner)
    });
    stores.chain(others).chain(longer).collect()
}

/// The operator, which serves every instance of the namespace.
pub(in crate::world) fn operator(names: &Names, variant: &Variant) -> Value {
    let container = json!({
        "name": "operator", "image": image("operator", names.version), "command": ["sleep", "infinity"],
        "resources": {}, "securityContext": { "readOnlyRootFilesystem": true },
    });
    let namespace = names.operators_namespace();
    let labels = json!({ (OPERATOR_LABEL): OPERATOR });
    deployment(
        (&namespace, OPERATOR),
        &labels,
        variant.operator_replicas,
        &container,
        variant,
    )
}

fn resource_controller_url(names: &Names) -> String {
    format!(
        "https://{}.{}:{GATEWAY_PORT}/api/ibmcloud/resource-controller",
        names.gateway(),
        names.namespace
    )
}

fn ui_config_map(names: &Names) -> String {
    format!("{}-ui-config", names.instance)
}

/// The ConfigMap that the UI has its environment from, in releases where it has.
pub(in crate::world) fn config_maps(names: &Names) -> Vec<Value> {
    if names.ui_environment == UiEnvironment::Value {
        return Vec::new();
    }
    vec![json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "name": ui_config_map(names), "namespace": names.namespace, "labels": labels(names, "ui") },
        "data": { (RESOURCE_CONTROLLER_URL): resource_controller_url(names) },
    })]
}

fn container(names: &Names, component: &str) -> Value {
    let mut container = json!({
        "name": component, "image": image(component, names.version), "command": ["sleep", "infinity"],
        "env": [], "resources": training::resources(component), "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File", "imagePullPolicy": "IfNotPresent",
        "securityContext": { "readOnlyRootFilesystem": true, "runAsNonRoot": true },
    });
    if component == STORE_ADMIN {
        container["command"] = store_admin::command(names);
        container["volumeMounts"] = store_admin::volume_mounts();
    }
    if component == "ui" {
        let map = ui_config_map(names);
        let variable = RESOURCE_CONTROLLER_URL;
        match names.ui_environment {
            UiEnvironment::Value => {
                container["env"] =
                    json!([{ "name": variable, "value": resource_controller_url(names) }]);
            }
            UiEnvironment::KeyOfConfigMap => {
                let from = json!({ "configMapKeyRef": { "name": map, "key": variable } });
                container["env"] = json!([{ "name": variable, "valueFrom": from }]);
            }
            UiEnvironment::ConfigMap => {
                container["envFrom"] = json!([{ "configMapRef": { "name": map } }]);
            }
        }
    }
    container
}

fn deployment(
    (namespace, name): (&str, &str),
    labels: &Value,
    replicas: u32,
    container: &Value,
    variant: &Variant,
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
                    "terminationGracePeriodSeconds": variant.grace_seconds,
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

/// The image of store-admin.
pub(in crate::world) fn store_admin_image(names: &Names) -> String {
    image(STORE_ADMIN, names.version)
}

/// Every image that the Deployments name.
pub(in crate::world) fn images(names: &Names) -> Vec<String> {
    let components = COMPONENTS.iter().map(|(component, _, _)| *component);
    let components = components.chain(["store", "operator"]);
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
    secrets
}

/// The secret of the namespace with the token of its service broker.
pub(in crate::world) fn service_broker_secret(names: &Names, token: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "metadata": { "name": "zen-service-broker-secret", "namespace": names.namespace },
        "data": encoded(&[("token", token)]),
    })
}

/// The service of the gateway.
pub(in crate::world) fn gateway_service(names: &Names, address: &str) -> Value {
    let labels = labels(names, "gateway");
    service(
        names,
        &names.gateway(),
        &labels,
        &labels,
        address,
        GATEWAY_PORT,
    )
}
