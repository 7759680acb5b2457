//! The temporary patches that are active from the beginning, and their entries in the annotations.

use kube_sandbox::meta::Resource;
use serde_json::{Map, Value, json};

use super::STORE_ADMIN;
use crate::world::{Names, ORCHESTRATE, OtherPatch, Variant, kinds};

/// A patch, and since when it is active.
struct Active {
    name: String,
    part: &'static Resource,
    patch_type: &'static str,
    patch: Value,
    timestamp: &'static str,
    /// Made before the release that writes the kind.
    is_old: bool,
}

/// The objects.
pub(super) fn objects(names: &Names, variant: &Variant) -> Vec<Value> {
    let active = active(names, variant).into_iter();
    let object = active.map(|one| {
        json!({
            "apiVersion": kinds::TEMPORARY_PATCHES.api_version(), "kind": kinds::TEMPORARY_PATCHES.kind,
            "metadata": {
                "name": one.name, "namespace": names.namespace,
                "finalizers": ["finalizers.temporarypatch.assistant.watson.ibm.com"],
            },
            "spec": {
                "apiVersion": one.part.api_version(), "kind": one.part.kind,
                "name": names.instance, "patchType": one.patch_type, "patch": one.patch,
            },
        })
    });
    object.collect()
}

/// The entries in the annotations of the instance's custom resource of that kind.
pub(super) fn entries(names: &Names, variant: &Variant, part: &Resource) -> Map<String, Value> {
    let mut active = active(names, variant);
    active.retain(|one| one.part.kind == part.kind);
    let entry = active.into_iter().map(|one| {
        let mut entry = json!({
            "timestamp": one.timestamp, "api_version": kinds::TEMPORARY_PATCHES.api_version(),
        });
        if names.patch_entries_have_kind() && !one.is_old {
            entry["kind"] = kinds::TEMPORARY_PATCHES.kind.into();
        }
        (one.name, entry)
    });
    entry.collect()
}

/// One that most installations have that have lived for a while, and those that were asked for. These are the first
/// instance's.
fn active(names: &Names, variant: &Variant) -> Vec<Active> {
    let others = if names.instance == ORCHESTRATE {
        &[][..]
    } else {
        &variant.patches
    };
    let others = others.iter().map(|patch| other(names, *patch));
    std::iter::once(certificates(names)).chain(others).collect()
}

fn certificates(names: &Names) -> Active {
    Active {
        name: format!("{}-store-certificates", names.instance),
        part: &kinds::ASSISTANT_STORES,
        patch_type: "patchStrategicMerge",
        patch: json!({ "store": { "deployment": { "spec": { "template": { "metadata": {
            "annotations": { "certificates": "renewed" },
        } } } } } }),
        timestamp: "2026-01-12T09:14:03.120417",
        is_old: false,
    }
}

fn other(names: &Names, patch: OtherPatch) -> Active {
    let of_instance = format!("{}-{patch}", names.instance);
    let merging = |name: String, part, patch, timestamp, is_old| Active {
        name,
        part,
        patch_type: "patchStrategicMerge",
        patch,
        timestamp,
        is_old,
    };
    match patch {
        OtherPatch::StoreAssistantLimits => merging(
            // Called so whatever the instance is called.
            format!("wa-{patch}"),
            &kinds::ASSISTANT_STORES,
            variables("store", &[("ASSISTANTS_LIMIT", "250")]),
            "2024-03-05T16:20:11.000531",
            true,
        ),
        OtherPatch::AddCustomWebhooksCert => {
            let certificate = [("NODE_EXTRA_CA_CERTS", "/etc/webhooks/ca.crt")];
            let mut patch = variables("store", &certificate);
            patch[STORE_ADMIN] = variables(STORE_ADMIN, &certificate)[STORE_ADMIN].take();
            merging(
                of_instance,
                &kinds::ASSISTANT_STORES,
                patch,
                "2025-07-21T07:03:40.902118",
                false,
            )
        }
        OtherPatch::FixCluCerts => {
            let operations = json!([{
                "op": "add", "path": "/spec/template/metadata/annotations", "value": { "certificates": "renewed" },
            }]);
            Active {
                name: of_instance,
                part: &kinds::ASSISTANT_CLUS,
                patch_type: "patchJson6902",
                patch: json!({
                    "clu-embedding": { "deployment": operations }, "clu-triton-serving": { "deployment": operations },
                }),
                timestamp: "2025-11-02T11:45:27.417203",
                is_old: false,
            }
        }
        OtherPatch::DataGovernor => merging(
            format!("wa-{patch}"),
            &kinds::ASSISTANTS,
            variables("ui", &[("DATA_GOVERNOR_ENABLED", "true")]),
            "2023-10-18T13:00:59.771640",
            true,
        ),
        OtherPatch::StoreAdminAutoTrain => merging(
            of_instance,
            &kinds::ASSISTANT_STORES,
            variables(
                STORE_ADMIN,
                &[
                    ("CLU_CLEAN_UP", "false"),
                    ("AUTO_RETRAIN", "false"),
                    ("AUTO_RETRAIN_ALL_ENABLED", "true"),
                    ("AUTO_RETRAIN_ALL_CRON_SCHEDULE", "0 0 2 * * ? *"),
                    ("BATCH_RETRAIN_ALL_SIZE", "10"),
                ],
            ),
            "2026-02-02T20:31:05.300112",
            false,
        ),
    }
}

/// A patch that sets variables of a component's container.
fn variables(component: &str, variables: &[(&str, &str)]) -> Value {
    let variables: Vec<_> = variables
        .iter()
        .map(|(name, value)| json!({ "name": name, "value": value }))
        .collect();
    json!({ component: { "deployment": { "spec": { "template": { "spec": {
        "containers": [{ "name": component, "env": variables }],
    } } } } } })
}
