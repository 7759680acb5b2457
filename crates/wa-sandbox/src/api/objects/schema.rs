//! How lists inside objects merge: what Kubernetes marks in its types (`patchMergeKey`, `listType`).
//!
//! Left out: everything the kinds of this cluster do not have. A field's own name and place tell its type, which holds
//! for these kinds.

/// How a list is merged and how its items are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ListType {
    /// Replaced as a whole.
    Atomic,
    /// A set of values.
    Set,
    /// Objects told apart by these fields; the first is strategic merge's key.
    Map(&'static [&'static str]),
}

/// The type of the list in that field; `parent` is the field that holds it.
pub(super) fn list_type(parent: &str, field: &str) -> ListType {
    match (parent, field) {
        (
            _,
            "containers"
            | "initContainers"
            | "ephemeralContainers"
            | "env"
            | "volumes"
            | "imagePullSecrets"
            | "secrets",
        ) => ListType::Map(&["name"]),
        ("metadata", "finalizers") => ListType::Set,
        ("metadata", "ownerReferences") => ListType::Map(&["uid"]),
        (_, "conditions" | "addresses") => ListType::Map(&["type"]),
        (_, "volumeMounts") => ListType::Map(&["mountPath"]),
        (_, "volumeDevices") => ListType::Map(&["devicePath"]),
        (_, "hostAliases" | "podIPs" | "hostIPs") => ListType::Map(&["ip"]),
        ("spec", "ports") => ListType::Map(&["port", "protocol"]),
        (_, "ports") => ListType::Map(&["containerPort", "protocol"]),
        _ => ListType::Atomic,
    }
}

/// Whether a map is one value, replaced as a whole.
pub(super) fn is_atomic_map(field: &str) -> bool {
    matches!(
        field,
        "selector"
            | "nodeSelector"
            | "secretKeyRef"
            | "configMapKeyRef"
            | "fieldRef"
            | "resourceFieldRef"
    )
}

/// Whether a map is a structure that is always there, and so never itself owned by a field manager.
pub(super) fn is_embedded(field: &str) -> bool {
    matches!(
        field,
        "metadata"
            | "spec"
            | "status"
            | "template"
            | "jobTemplate"
            | "strategy"
            | "updateStrategy"
            | "resources"
            | "nodeInfo"
    )
}
