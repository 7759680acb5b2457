//! The kind TemporaryPatch: what it asks the operator to change in what it renders.

use kube::ResourceExt as _;
use kube::api::DynamicObject;
use serde_json::{Map, Value, json};
use wa_common::cluster::Cluster;
use wa_common::run::RUN_LABEL;

use crate::component::{Component, Patched};
use crate::error::RetrainError;
use crate::kinds::{API_VERSION, Kinds, TEMPORARY_PATCH};
use crate::settings::{PREFIX, Settings};

/// The Deployment, and its container, whose environment starts the job.
pub const STORE_ADMIN: &str = "store-admin";
/// The custom resource that renders it.
pub const STORE: Patched = Patched {
    kind: "WatsonAssistantStore",
    patch: "store-admin-env-vars",
};

/// One TemporaryPatch.
#[derive(Debug, Clone, PartialEq)]
pub struct TemporaryPatch {
    /// Its name.
    pub name: String,
    /// The custom resource that it patches.
    pub target: Target,
    /// `patchStrategicMerge` or `patchJson6902`.
    pub patch_type: String,
    /// What it changes.
    pub patch: Value,
    /// Which object it is in the cluster, where it is one.
    pub uid: Option<String>,
    /// The run of this program that made it.
    pub run: Option<String>,
}

/// The custom resource that a patch is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its `apiVersion`.
    pub api_version: String,
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
}

impl TemporaryPatch {
    /// The patches that scale these Deployments of `instance`: one for each custom resource.
    pub fn replicas(instance: &str, replicas: &[(Component, u32)]) -> Vec<Self> {
        let mut patches: Vec<Self> = Vec::new();
        for (component, count) in replicas {
            let target = component.patched();
            let name = format!("{instance}-{}", target.patch);
            let at = patches.iter().position(|patch| patch.name == name);
            let at = at.unwrap_or_else(|| {
                patches.push(Self::merging(instance, target, json!({})));
                patches.len() - 1
            });
            set(&mut patches[at].patch, component.path(), (*count).into());
        }
        patches
    }

    /// The patch that starts the job.
    pub fn start(instance: &str, settings: &Settings) -> Self {
        let environment: Vec<Value> = settings
            .variables()
            .into_iter()
            .map(|(name, value)| json!({ "name": name, "value": value }))
            .collect();
        let patch = json!({ STORE_ADMIN: { "deployment": { "spec": { "template": { "spec": {
            "containers": [{ "name": STORE_ADMIN, "env": environment }],
        } } } } } });
        Self::merging(instance, STORE, patch)
    }

    fn merging(instance: &str, patched: Patched, patch: Value) -> Self {
        Self {
            name: format!("{instance}-{}", patched.patch),
            target: Target {
                api_version: API_VERSION.to_owned(),
                kind: patched.kind.to_owned(),
                name: instance.to_owned(),
            },
            patch_type: "patchStrategicMerge".to_owned(),
            patch,
            uid: None,
            run: None,
        }
    }

    /// Those of the cluster's namespace; what a field does not say is empty.
    pub async fn list(cluster: &Cluster, kinds: &Kinds) -> Result<Vec<Self>, RetrainError> {
        let kind = kinds.resource(TEMPORARY_PATCH)?;
        let objects = cluster.list_custom(&kind, false).await?;
        Ok(objects.iter().map(Self::from_object).collect())
    }

    /// What an object asks for.
    pub fn from_object(object: &DynamicObject) -> Self {
        let text = |field: &str| {
            let value = object.data.pointer(&format!("/spec/{field}"));
            value.and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let patch = object.data.pointer("/spec/patch").cloned();
        Self {
            name: object.name_any(),
            target: Target {
                api_version: text("apiVersion"),
                kind: text("kind"),
                name: text("name"),
            },
            patch_type: text("patchType"),
            patch: patch.unwrap_or_default(),
            uid: object.uid(),
            run: object.labels().get(RUN_LABEL).cloned(),
        }
    }

    /// The object, as `kubectl create` takes it.
    ///
    /// It is without the label `type=critical-configuration`, which would keep it over upgrades.
    pub fn manifest(&self, namespace: &str) -> Value {
        json!({
            "apiVersion": API_VERSION, "kind": TEMPORARY_PATCH,
            "metadata": { "name": self.name, "namespace": namespace },
            "spec": {
                "apiVersion": self.target.api_version, "kind": self.target.kind, "name": self.target.name,
                "patchType": self.patch_type, "patch": self.patch,
            },
        })
    }

    /// The variables for retraining that it sets, wherever in it they stand.
    pub fn retraining_variables(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        collect_variables(&self.patch, &mut found);
        found
    }

    /// Whether it sets the replicas of `component`, as its own patch would.
    pub fn scales(&self, component: Component) -> bool {
        value_at(&self.patch, component.path()).is_some()
    }

    /// The components whose replicas it sets, by their names.
    pub fn scaled(&self) -> Vec<&'static str> {
        Component::ALL
            .into_iter()
            .filter(|component| self.scales(*component))
            .map(Component::name)
            .collect()
    }

    /// How many replicas it gives a component; `None` where it says nothing of it, or no number.
    pub fn replicas_of(&self, component: Component) -> Option<u32> {
        let value = value_at(&self.patch, component.path())?;
        u32::try_from(value.as_u64()?).ok()
    }
}

/// What a patch puts at the end of `path`. In one of the type patchJson6902 a list of operations stands somewhere on the way,
/// and each names the rest of it.
fn value_at<'a>(value: &'a Value, path: &[&str]) -> Option<&'a Value> {
    if let Value::Array(operations) = value {
        let rest = format!("/{}", path.join("/"));
        let operation = operations.iter().find(|one| one["path"] == rest)?;
        return Some(&operation["value"]);
    }
    match path.split_first() {
        Some((first, rest)) => value_at(value.get(first)?, rest),
        None => Some(value),
    }
}

/// Sets what is at the end of `path`, making the objects on the way.
fn set(object: &mut Value, path: &[&str], value: Value) {
    let Some((first, rest)) = path.split_first() else {
        *object = value;
        return;
    };
    if !object.is_object() {
        *object = Value::Object(Map::new());
    }
    set(&mut object[*first], rest, value);
}

/// Every `{name: AUTO_RETRAIN…, value: …}` in it.
fn collect_variables(value: &Value, found: &mut Vec<(String, String)>) {
    match value {
        Value::Array(values) => values
            .iter()
            .for_each(|value| collect_variables(value, found)),
        Value::Object(fields) => {
            let name = fields.get("name").and_then(Value::as_str);
            if let Some(name) = name.filter(|name| name.starts_with(PREFIX)) {
                let value = match fields.get("value") {
                    Some(Value::String(text)) => text.clone(),
                    Some(other) => other.to_string(),
                    None => String::new(),
                };
                found.push((name.to_owned(), value));
            }
            fields
                .values()
                .for_each(|value| collect_variables(value, found));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replicas(x: u32) -> Vec<TemporaryPatch> {
        let replicas = Component::ALL.map(|component| (component, component.replicas(x)));
        TemporaryPatch::replicas("wa", &replicas)
    }

    #[test]
    fn the_replica_patches_are_those_of_ibms_page() {
        let manifests: Vec<Value> = replicas(10)
            .iter()
            .map(|patch| patch.manifest("cpd"))
            .collect();
        let expected = |name: &str, kind: &str, patch: Value| {
            json!({
                "apiVersion": "assistant.watson.ibm.com/v1", "kind": "TemporaryPatch",
                "metadata": { "name": name, "namespace": "cpd" },
                "spec": {
                    "apiVersion": "assistant.watson.ibm.com/v1", "kind": kind, "name": "wa",
                    "patchType": "patchStrategicMerge", "patch": patch,
                },
            })
        };
        let spec = |count: u32| json!({ "deployment": { "spec": { "replicas": count } } });
        assert_eq!(
            manifests,
            [
                expected(
                    "wa-clu-training-replicas",
                    "WatsonAssistantCluTraining",
                    json!({ "clu-training": { "deployment": { "training": { "spec": { "replicas": 10 } } } } })
                ),
                expected(
                    "wa-clu-runtime-replicas",
                    "WatsonAssistantCluRuntime",
                    json!({ "tfmm": spec(5), "dragonfly-clu-mm": spec(3) })
                ),
                expected(
                    "wa-clu-replicas",
                    "WatsonAssistantClu",
                    json!({ "clu-embedding": spec(2), "clu-triton-serving": spec(2) })
                ),
            ]
        );
    }

    #[test]
    fn the_patch_that_starts_the_job_sets_the_variables_of_one_container() {
        let schedule = "0 40 19 11 3 ? 2024".parse().unwrap();
        let patch = TemporaryPatch::start("wa", &Settings::for_pods(5, schedule));
        assert_eq!(patch.name, "wa-store-admin-env-vars");
        assert_eq!(patch.target.kind, "WatsonAssistantStore");
        let container = patch
            .patch
            .pointer("/store-admin/deployment/spec/template/spec/containers/0")
            .unwrap();
        assert_eq!(container["name"], "store-admin");
        assert_eq!(container["env"].as_array().unwrap().len(), 6);
        let names: Vec<String> = patch
            .retraining_variables()
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        assert_eq!(
            names,
            [
                "AUTO_RETRAIN",
                "AUTO_RETRAIN_ALL_CRON_SCHEDULE",
                "AUTO_RETRAIN_ALL_ENABLED"
            ]
        );
    }

    #[test]
    fn somebody_elses_patch_is_known_by_what_it_sets_and_not_by_its_name() {
        let of = |patch_type: &str, patch: Value| {
            let object = json!({
                "apiVersion": "assistant.watson.ibm.com/v1", "kind": "TemporaryPatch",
                "metadata": { "name": "wa-store-admin-auto-train" },
                "spec": { "kind": "WatsonAssistantStore", "patchType": patch_type, "patch": patch },
            });
            TemporaryPatch::from_object(&serde_json::from_value(object).unwrap())
        };
        let json6902 = of(
            "patchJson6902",
            json!([
                { "op": "add", "path": "/store-admin/deployment/spec/template/spec/containers/0/env/-",
                  "value": { "name": "AUTO_RETRAIN_ALL_ENABLED", "value": "true" } },
                { "op": "replace", "path": "/tfmm/deployment/spec/replicas", "value": 4 },
            ]),
        );
        assert_eq!(
            json6902.retraining_variables(),
            [("AUTO_RETRAIN_ALL_ENABLED".to_owned(), "true".to_owned())]
        );
        let below = of(
            "patchJson6902",
            json!({ "tfmm": { "deployment": [{ "op": "replace", "path": "/spec/replicas", "value": 4 }] } }),
        );
        assert!(below.scales(Component::Tfmm) && !below.scales(Component::Training));
        assert_eq!(below.replicas_of(Component::Tfmm), Some(4));
        let scaled = |patch: &TemporaryPatch| Component::ALL.map(|one| patch.scales(one));
        assert_eq!(scaled(&json6902), [false, true, false, false, false]);
        let merging = of(
            "patchStrategicMerge",
            json!({ "clu-embedding": { "deployment": { "spec": { "replicas": 2 } } } }),
        );
        assert_eq!(scaled(&merging), [false, false, false, true, false]);
        assert_eq!(merging.target.api_version, "");
        assert!(merging.retraining_variables().is_empty());
    }
}
