//! Rows of everything that is no workload.

use serde_json::Value;

use super::{AGE, Layout, NAME, column, integer, text, wide};
use crate::meta::{Resource, object};

#[expect(clippy::too_many_lines, reason = "one entry a kind")]
pub(super) fn layout(resource: &Resource) -> Option<Layout> {
    Some(match (resource.group, resource.plural) {
        ("", "services") => Layout {
            columns: const {
                &[
                    NAME,
                    column("Type"),
                    column("Cluster-IP"),
                    column("External-IP"),
                    column("Port(s)"),
                    AGE,
                    wide("Selector"),
                ]
            },
            cells: service,
        },
        ("", "secrets") => Layout {
            columns: const { &[NAME, column("Type"), integer("Data"), AGE] },
            cells: |secret| {
                vec![
                    text::name(secret),
                    text::plain(&secret["type"]),
                    entries(secret).into(),
                    text::age(secret),
                ]
            },
        },
        ("", "configmaps") => Layout {
            columns: const { &[NAME, integer("Data"), AGE] },
            cells: |map| vec![text::name(map), entries(map).into(), text::age(map)],
        },
        ("", "persistentvolumeclaims") => Layout {
            columns: const {
                &[
                    NAME,
                    column("Status"),
                    column("Volume"),
                    column("Capacity"),
                    column("Access Modes"),
                    column("StorageClass"),
                    column("VolumeAttributesClass"),
                    AGE,
                    wide("VolumeMode"),
                ]
            },
            cells: claim,
        },
        ("", "persistentvolumes") => Layout {
            columns: const {
                &[
                    NAME,
                    column("Capacity"),
                    column("Access Modes"),
                    column("Reclaim Policy"),
                    column("Status"),
                    column("Claim"),
                    column("StorageClass"),
                    column("VolumeAttributesClass"),
                    column("Reason"),
                    AGE,
                    wide("VolumeMode"),
                ]
            },
            cells: volume,
        },
        ("", "namespaces") => Layout {
            columns: const { &[NAME, column("Status"), AGE] },
            cells: |namespace| {
                vec![
                    text::name(namespace),
                    text::plain(&namespace["status"]["phase"]),
                    text::age(namespace),
                ]
            },
        },
        ("", "nodes") => Layout {
            columns: const {
                &[
                    NAME,
                    column("Status"),
                    column("Roles"),
                    AGE,
                    column("Version"),
                ]
            },
            cells: node,
        },
        ("", "serviceaccounts") => Layout {
            columns: const { &[NAME, integer("Secrets"), AGE] },
            cells: |account| {
                vec![
                    text::name(account),
                    account["secrets"].as_array().map_or(0, Vec::len).into(),
                    text::age(account),
                ]
            },
        },
        ("", "events") => Layout {
            columns: const {
                &[
                    column("Last Seen"),
                    column("Type"),
                    column("Reason"),
                    column("Object"),
                    wide("Subobject"),
                    wide("Source"),
                    column("Message"),
                    wide("First Seen"),
                    wide("Count"),
                    wide("Name"),
                ]
            },
            cells: event,
        },
        ("rbac.authorization.k8s.io", "roles" | "clusterroles") => Layout {
            columns: const { &[NAME, column("Created At")] },
            cells: |role| {
                vec![
                    text::name(role),
                    role["metadata"]["creationTimestamp"].clone(),
                ]
            },
        },
        ("rbac.authorization.k8s.io", _) => Layout {
            columns: const { &[NAME, column("Role"), AGE] },
            cells: |binding| {
                let role = &binding["roleRef"];
                let (kind, name) = (text::plain(&role["kind"]), text::plain(&role["name"]));
                let role = [kind, name].map(|part| part.as_str().unwrap_or_default().to_owned());
                vec![
                    text::name(binding),
                    role.join("/").into(),
                    text::age(binding),
                ]
            },
        },
        ("coordination.k8s.io", "leases") => Layout {
            columns: const { &[NAME, column("Holder"), AGE] },
            cells: |lease| {
                vec![
                    text::name(lease),
                    text::plain(&lease["spec"]["holderIdentity"]),
                    text::age(lease),
                ]
            },
        },
        ("storage.k8s.io", "storageclasses") => Layout {
            columns: const {
                &[
                    NAME,
                    column("Provisioner"),
                    column("ReclaimPolicy"),
                    column("VolumeBindingMode"),
                    column("AllowVolumeExpansion"),
                    AGE,
                ]
            },
            cells: storage_class,
        },
        ("apiextensions.k8s.io", _) => Layout {
            columns: const { &[NAME, column("Created At")] },
            cells: |definition| {
                vec![
                    text::name(definition),
                    text::plain(&definition["metadata"]["creationTimestamp"]),
                ]
            },
        },
        _ => return None,
    })
}

fn entries(object: &Value) -> usize {
    ["data", "binaryData"]
        .iter()
        .filter_map(|field| object[*field].as_object())
        .map(serde_json::Map::len)
        .sum()
}

fn service(service: &Value) -> Vec<Value> {
    let spec = &service["spec"];
    let ports = spec["ports"].as_array().into_iter().flatten().map(|port| {
        let node_port = port["nodePort"]
            .as_u64()
            .map(|port| format!(":{port}"))
            .unwrap_or_default();
        format!(
            "{}{node_port}/{}",
            port["port"],
            port["protocol"].as_str().unwrap_or("TCP")
        )
    });
    let ports = ports.collect::<Vec<_>>().join(",");
    vec![
        text::name(service),
        spec["type"].as_str().unwrap_or("ClusterIP").into(),
        text::or_none(&spec["clusterIP"]),
        text::or_none(&spec["externalName"]),
        if ports.is_empty() {
            text::NONE.to_owned()
        } else {
            ports
        }
        .into(),
        text::age(service),
        text::labels(&spec["selector"]),
    ]
}

fn claim(claim: &Value) -> Vec<Value> {
    let (spec, status) = (&claim["spec"], &claim["status"]);
    let phase = if object::is_terminating(claim) {
        "Terminating".into()
    } else {
        text::plain(&status["phase"])
    };
    let bound = !text::plain(&spec["volumeName"])
        .as_str()
        .unwrap_or_default()
        .is_empty();
    vec![
        text::name(claim),
        phase,
        text::plain(&spec["volumeName"]),
        if bound {
            text::plain(&status["capacity"]["storage"])
        } else {
            "".into()
        },
        if bound {
            text::access_modes(&status["accessModes"])
        } else {
            "".into()
        },
        text::plain(&spec["storageClassName"]),
        "<unset>".into(),
        text::age(claim),
        text::plain(&spec["volumeMode"]),
    ]
}

fn volume(volume: &Value) -> Vec<Value> {
    let (spec, status) = (&volume["spec"], &volume["status"]);
    let claim = spec["claimRef"].as_object().map(|claim| {
        let text = |field: &str| claim.get(field).and_then(Value::as_str).unwrap_or_default();
        format!("{}/{}", text("namespace"), text("name"))
    });
    let phase = if object::is_terminating(volume) {
        "Terminating".into()
    } else {
        text::plain(&status["phase"])
    };
    vec![
        text::name(volume),
        text::plain(&spec["capacity"]["storage"]),
        text::access_modes(&spec["accessModes"]),
        text::plain(&spec["persistentVolumeReclaimPolicy"]),
        phase,
        claim.unwrap_or_default().into(),
        text::plain(&spec["storageClassName"]),
        "<unset>".into(),
        text::plain(&status["reason"]),
        text::age(volume),
        text::plain(&spec["volumeMode"]),
    ]
}

fn node(node: &Value) -> Vec<Value> {
    let conditions = node["status"]["conditions"]
        .as_array()
        .into_iter()
        .flatten();
    let ready = conditions
        .into_iter()
        .any(|one| one["type"] == "Ready" && one["status"] == "True");
    let labels = node["metadata"]["labels"].as_object().into_iter().flatten();
    let roles: Vec<_> = labels
        .filter_map(|(label, _)| label.strip_prefix("node-role.kubernetes.io/"))
        .collect();
    vec![
        text::name(node),
        match (ready, node["spec"]["unschedulable"] == true) {
            (true, false) => "Ready",
            (true, true) => "Ready,SchedulingDisabled",
            (false, false) => "NotReady",
            (false, true) => "NotReady,SchedulingDisabled",
        }
        .into(),
        if roles.is_empty() {
            text::NONE.to_owned()
        } else {
            roles.join(",")
        }
        .into(),
        text::age(node),
        text::plain(&node["status"]["nodeInfo"]["kubeletVersion"]),
    ]
}

fn event(event: &Value) -> Vec<Value> {
    let first = if event["firstTimestamp"].is_null() {
        &event["eventTime"]
    } else {
        &event["firstTimestamp"]
    };
    let last = if event["lastTimestamp"].is_null() {
        first
    } else {
        &event["lastTimestamp"]
    };
    let involved = &event["involvedObject"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let source = [&event["source"]["component"], &event["source"]["host"]].map(text);
    let source = source
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(", ");
    vec![
        text::since(last).into(),
        text::plain(&event["type"]),
        text::plain(&event["reason"]),
        format!(
            "{}/{}",
            text(&involved["kind"]).to_lowercase(),
            text(&involved["name"])
        )
        .into(),
        text::plain(&involved["fieldPath"]),
        if source.is_empty() {
            text(&event["reportingComponent"])
        } else {
            source
        }
        .into(),
        text(&event["message"]).trim().into(),
        text::since(first).into(),
        event["count"].as_u64().unwrap_or(1).to_string().into(),
        text::name(event),
    ]
}

fn storage_class(class: &Value) -> Vec<Value> {
    let default =
        class["metadata"]["annotations"]["storageclass.kubernetes.io/is-default-class"] == "true";
    let name = object::name(class);
    vec![
        if default {
            format!("{name} (default)")
        } else {
            name.to_owned()
        }
        .into(),
        text::plain(&class["provisioner"]),
        class["reclaimPolicy"].as_str().unwrap_or("Delete").into(),
        class["volumeBindingMode"]
            .as_str()
            .unwrap_or("Immediate")
            .into(),
        class["allowVolumeExpansion"]
            .as_bool()
            .unwrap_or_default()
            .into(),
        text::age(class),
    ]
}
