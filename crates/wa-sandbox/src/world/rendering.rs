//! What the operator makes of a custom resource: Deployments, changed by the temporary patches that are active on it.
//!
//! A patch has its changes for one Deployment below a path of names, such as `store-admin.deployment`. Strategic merges
//! are those of Kubernetes; the operator's own library has small differences where a patch is wrong.

use kube_sandbox::api::strategic_merge;
use kube_sandbox::meta::{Object, Resource, object};
use serde_json::Value;

/// A Deployment before any patch.
#[derive(Debug, Clone)]
pub(super) struct Rendering {
    /// The kind of the custom resource that it is made of.
    pub(super) part: &'static Resource,
    /// The custom resource's name.
    pub(super) instance: String,
    /// Where a patch has what changes it.
    pub(super) path: Vec<&'static str>,
    /// The Deployment.
    pub(super) manifest: Value,
}

/// A Deployment after all patches.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rendered {
    /// The Deployment, without replicas.
    pub(super) manifest: Value,
    /// The replicas that a patch sets.
    pub(super) replicas: Option<u64>,
}

impl Rendering {
    /// The Deployment's name.
    pub(super) fn name(&self) -> &str {
        object::name(&self.manifest)
    }

    /// The Deployment as it is first created.
    pub(super) fn created(&self, patches: &[Object]) -> Result<Value, String> {
        let Rendered {
            mut manifest,
            replicas,
        } = self.patched(patches)?;
        let own = self.manifest["spec"]["replicas"].clone();
        manifest["spec"]["replicas"] = replicas.map_or(own, Value::from);
        Ok(manifest)
    }

    /// The Deployment with these patches, in their order.
    pub(super) fn patched(&self, patches: &[Object]) -> Result<Rendered, String> {
        let mut manifest = self.manifest.clone();
        // There, so that a JSON patch can replace it, and no number, so that it shows whether a patch did.
        manifest["spec"]["replicas"] = Value::Null;
        for patch in patches {
            let spec = &patch["spec"];
            let steps = self.path.iter();
            let change = steps.fold(&spec["patch"], |inner, step| &inner[*step]);
            if !change.is_null() {
                apply_patch(&mut manifest, spec["patchType"].as_str(), change)?;
            }
        }
        let replicas = manifest["spec"]["replicas"].as_u64();
        object::map_mut(&mut manifest["spec"]).remove("replicas");
        Ok(Rendered { manifest, replicas })
    }
}

fn apply_patch(
    manifest: &mut Value,
    patch_type: Option<&str>,
    change: &Value,
) -> Result<(), String> {
    match patch_type {
        Some("patchStrategicMerge") => {
            strategic_merge(manifest, change).map_err(|status| status.to_string())
        }
        Some("patchJson6902") => {
            let operations: json_patch::Patch =
                serde_json::from_value(change.clone()).map_err(|error| {
                    format!("Invalid JSON 6902 patch. Must be a list of operations. {error}")
                })?;
            json_patch::patch(manifest, &operations).map_err(|error| error.to_string())
        }
        other => Err(format!(
            "Unsupported patch type [{}]",
            other.unwrap_or("None")
        )),
    }
}

/// Brings an object from what its manager last wanted of it to what it wants now, and leaves what others set alone.
pub(super) fn apply(current: &mut Value, last: &Value, next: &Value) {
    match (current, next) {
        (Value::Object(current), Value::Object(next)) => {
            let gone = last.as_object().into_iter().flatten();
            for (field, value) in gone.filter(|(field, _)| !next.contains_key(*field)) {
                let Some(inner) = current.get_mut(field) else {
                    continue;
                };
                if value.is_object() && inner.is_object() {
                    apply(inner, value, &Value::Object(serde_json::Map::new()));
                }
                if !value.is_object() || inner.as_object().is_some_and(serde_json::Map::is_empty) {
                    current.remove(field);
                }
            }
            for (field, value) in next {
                let inner = current.entry(field.clone()).or_insert(Value::Null);
                apply(inner, &last[field], value);
            }
        }
        (Value::Array(current), Value::Array(next)) if are_named(current) && are_named(next) => {
            let named =
                |items: &[Value], name: &Value| items.iter().position(|item| item["name"] == *name);
            let last = last.as_array().map_or(&[][..], Vec::as_slice);
            current.retain(|item| {
                named(last, &item["name"]).is_none() || named(next, &item["name"]).is_some()
            });
            for item in next {
                let before = named(last, &item["name"]).map_or(&Value::Null, |at| &last[at]);
                match named(current, &item["name"]) {
                    Some(at) => apply(&mut current[at], before, item),
                    None => current.push(item.clone()),
                }
            }
        }
        (current, next) => *current = next.clone(),
    }
}

/// Whether the items of a list are distinguished by their names.
fn are_named(items: &[Value]) -> bool {
    items.iter().all(|item| item["name"].is_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::world::kinds;

    fn rendering() -> Rendering {
        Rendering {
            part: &kinds::ASSISTANT_STORES,
            instance: "wa".to_owned(),
            path: vec!["store-admin", "deployment"],
            manifest: json!({ "spec": { "replicas": 1, "template": { "spec": { "containers": [
                { "name": "store-admin", "env": [{ "name": "A", "value": "1" }] },
            ] } } } }),
        }
    }

    fn patch(patch_type: &str, change: &Value) -> Object {
        Object::new(
            json!({ "spec": { "patchType": patch_type, "patch": { "store-admin": { "deployment": change } } } }),
        )
    }

    fn container(change: &Value) -> Value {
        json!({ "spec": { "template": { "spec": { "containers": [change] } } } })
    }

    #[test]
    fn patches_change_what_is_below_their_path_in_their_order() {
        let sets = |value: &str| {
            let variable = json!({ "name": "A", "value": value });
            let change = json!({ "name": "store-admin", "env": [variable] });
            patch("patchStrategicMerge", &container(&change))
        };
        let elsewhere = Object::new(
            json!({ "spec": { "patchType": "?", "patch": { "tfmm": { "deployment": 1 } } } }),
        );
        let rendered = rendering()
            .patched(&[sets("2"), elsewhere, sets("3")])
            .unwrap();
        let container = &rendered.manifest["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(container["env"], json!([{ "name": "A", "value": "3" }]));
        assert_eq!(rendered.replicas, None);
    }

    #[test]
    fn a_patch_of_operations_is_a_list_below_its_path() {
        let operations = json!([{ "op": "replace", "path": "/spec/replicas", "value": 4 }]);
        let rendered = rendering().patched(&[patch("patchJson6902", &operations)]);
        assert_eq!(rendered.unwrap().replicas, Some(4));
        let wrong = rendering().patched(&[patch("patchJson6902", &json!({ "op": "add" }))]);
        assert!(wrong.unwrap_err().contains("list of operations"));
        let unknown = rendering().patched(&[patch("patch", &operations)]);
        assert_eq!(unknown.unwrap_err(), "Unsupported patch type [patch]");
    }

    #[test]
    fn what_is_no_longer_wanted_goes_and_what_others_set_stays() {
        let variables = |names: &[&str]| -> Vec<Value> {
            names
                .iter()
                .map(|name| json!({ "name": name, "value": name }))
                .collect()
        };
        let of = |names: &[&str]| json!({ "env": variables(names), "command": names, "annotations": { names[0]: "x" } });
        let mut current = of(&["patched", "foreign"]);
        current["annotations"]["foreign"] = "x".into();
        apply(&mut current, &of(&["patched"]), &of(&["own"]));
        assert_eq!(current["env"], json!(variables(&["foreign", "own"])));
        assert_eq!(current["command"], json!(["own"]));
        assert_eq!(
            current["annotations"],
            json!({ "foreign": "x", "own": "x" })
        );
        let last = json!({ "annotations": { "patched": "x" } });
        let mut current = last.clone();
        apply(&mut current, &last, &json!({}));
        assert_eq!(current, json!({}));
    }
}
