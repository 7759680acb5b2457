//! The kinds this API server knows: names, scope, verbs and subresources, as a real server's discovery lists them.
//!
//! What is installed on a cluster brings kinds of its own, made with [`Resource::custom`].
//!
//! Left out: every kind that everyday commands of kubectl do not touch.
//!
//! One thing is there that Kubernetes 1.36, on which the rest is modelled, has no more: CronJobs are served as
//! `batch/v1beta1` too, as from 1.21 to 1.24. Debian 12's kubectl (1.20) knows them only so, and it is the first one
//! that many users of the sandbox have. Both versions are the same stored objects and have the same fields. The plain
//! discovery, which only old clients ask for, prefers `v1beta1`, so that `create job --from=cronjob/…` works with that
//! kubectl; the aggregated one lists `v1` first. The deprecation warning is left out.

use serde_json::{Value, json};

/// A kind of object and how it is served.
#[derive(Debug)]
pub struct Resource {
    /// API group, empty for core.
    pub group: &'static str,
    /// The version served.
    pub version: &'static str,
    /// The version objects are stored in, which is the one clients should use.
    pub stored_version: &'static str,
    /// Name in URLs.
    pub plural: &'static str,
    /// Name for one object on the command line.
    pub singular: &'static str,
    /// Name in objects.
    pub kind: &'static str,
    /// Abbreviations kubectl accepts.
    pub short_names: &'static [&'static str],
    /// Groups such as `all` that kubectl expands.
    pub categories: &'static [&'static str],
    /// Whether objects live in namespaces.
    pub namespaced: bool,
    /// Verbs served.
    pub verbs: &'static [&'static str],
    /// What lies below an object.
    pub subresources: &'static [Subresource],
    /// Whether `metadata.generation` counts changes of the specification.
    pub has_generation: bool,
    /// Whether it comes from a CustomResourceDefinition; it is served only while the store holds that definition.
    pub custom: bool,
}

/// A path below an object, such as `pods/exec`.
#[derive(Debug)]
pub struct Subresource {
    /// Such as `exec`.
    pub name: &'static str,
    /// Group, version and kind of what is sent there, when it is not the object itself.
    pub kind: Option<(&'static str, &'static str, &'static str)>,
    /// Verbs served.
    pub verbs: &'static [&'static str],
}

const ALL_VERBS: &[&str] = &[
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "update",
    "watch",
];
const CUSTOM_VERBS: &[&str] = &[
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "create",
    "update",
    "watch",
];
const OBJECT_VERBS: &[&str] = &["get", "patch", "update"];

const STATUS: Subresource = Subresource {
    name: "status",
    kind: None,
    verbs: OBJECT_VERBS,
};
const SCALE: Subresource = Subresource {
    name: "scale",
    kind: Some(("autoscaling", "v1", "Scale")),
    verbs: OBJECT_VERBS,
};

const fn stream(name: &'static str, kind: &'static str) -> Subresource {
    Subresource {
        name,
        kind: Some(("", "v1", kind)),
        verbs: &["create", "get"],
    }
}

impl Resource {
    const fn new(
        group: &'static str,
        version: &'static str,
        names: (&'static str, &'static str, &'static str),
        short_names: &'static [&'static str],
    ) -> Self {
        Self {
            group,
            version,
            stored_version: version,
            plural: names.0,
            singular: names.1,
            kind: names.2,
            short_names,
            categories: &[],
            namespaced: true,
            verbs: ALL_VERBS,
            subresources: &[],
            has_generation: false,
            custom: false,
        }
    }

    /// A kind that comes from a CustomResourceDefinition, with a status. `names` are plural, singular and kind.
    pub const fn custom(
        group: &'static str,
        version: &'static str,
        names: (&'static str, &'static str, &'static str),
        short_names: &'static [&'static str],
    ) -> Self {
        Self {
            verbs: CUSTOM_VERBS,
            subresources: &[STATUS],
            has_generation: true,
            custom: true,
            ..Self::new(group, version, names, short_names)
        }
    }

    const fn snapshot(
        names: (&'static str, &'static str, &'static str),
        short_names: &'static [&'static str],
    ) -> Self {
        Self::custom("snapshot.storage.k8s.io", "v1", names, short_names)
    }

    const fn cluster_scoped(mut self) -> Self {
        self.namespaced = false;
        self
    }

    const fn workload(mut self, subresources: &'static [Subresource]) -> Self {
        self.categories = &["all"];
        self.subresources = subresources;
        self.has_generation = true;
        self
    }

    const fn with_status(mut self) -> Self {
        self.subresources = &[STATUS];
        self
    }

    const fn only(mut self, verbs: &'static [&'static str]) -> Self {
        self.verbs = verbs;
        self
    }

    /// `group/version`, or `version` for core: an object's `apiVersion`.
    pub fn api_version(&self) -> String {
        self.in_group(self.version)
    }

    /// The `apiVersion` objects have in the store.
    pub fn stored_api_version(&self) -> String {
        self.in_group(self.stored_version)
    }

    fn in_group(&self, version: &str) -> String {
        if self.group.is_empty() {
            version.to_owned()
        } else {
            format!("{}/{version}", self.group)
        }
    }

    /// `plural.group`, as messages name it.
    pub fn qualified(&self) -> String {
        if self.group.is_empty() {
            self.plural.to_owned()
        } else {
            format!("{}.{}", self.plural, self.group)
        }
    }

    /// The subresource of that name.
    pub fn subresource(&self, name: &str) -> Option<&'static Subresource> {
        self.subresources.iter().find(|one| one.name == name)
    }

    /// The CustomResourceDefinition that makes a custom resource served.
    pub fn definition(&self) -> Value {
        json!({
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": { "name": self.qualified() },
            "spec": {
                "group": self.group,
                "scope": if self.namespaced { "Namespaced" } else { "Cluster" },
                "names": {
                    "plural": self.plural, "singular": self.singular, "kind": self.kind,
                    "listKind": format!("{}List", self.kind),
                    "shortNames": self.short_names, "categories": self.categories,
                },
                "versions": [{
                    "name": self.version, "served": true, "storage": true,
                    "schema": { "openAPIV3Schema": { "type": "object", "x-kubernetes-preserve-unknown-fields": true } },
                    "subresources": { "status": {} },
                }],
            },
        })
    }
}

/// Kinds of [`ALL`] once more, in versions that are served beside the preferred one.
pub(super) static OLDER_VERSIONS: &[&Resource] = &[&AUTOSCALERS_V1, &CRON_JOBS_V1BETA1];

/// As every cluster serves it.
static AUTOSCALERS_V1: Resource = Resource {
    version: "v1",
    ..AUTOSCALERS
};

static CRON_JOBS_V1BETA1: Resource = Resource {
    version: "v1beta1",
    ..CRON_JOBS
};

macro_rules! resources {
    ($($(#[$doc:meta])* $name:ident = $value:expr;)*) => {
        $($(#[$doc])* pub static $name: Resource = $value;)*
        /// Every kind that any cluster knows, in the order of discovery.
        pub static ALL: &[&Resource] = &[$(&$name),*];
    };
}

resources! {
    /// core/v1 ConfigMap.
    CONFIG_MAPS = Resource::new("", "v1", ("configmaps", "configmap", "ConfigMap"), &["cm"]);
    /// core/v1 Event.
    EVENTS = Resource::new("", "v1", ("events", "event", "Event"), &["ev"]);
    /// core/v1 Namespace.
    NAMESPACES = Resource::new("", "v1", ("namespaces", "namespace", "Namespace"), &["ns"]).cluster_scoped().with_status()
        .only(&["create", "delete", "get", "list", "patch", "update", "watch"]);
    /// core/v1 Node.
    NODES = Resource::new("", "v1", ("nodes", "node", "Node"), &["no"]).cluster_scoped().with_status();
    /// core/v1 PersistentVolumeClaim.
    CLAIMS = Resource::new("", "v1", ("persistentvolumeclaims", "persistentvolumeclaim", "PersistentVolumeClaim"), &["pvc"])
        .with_status();
    /// core/v1 PersistentVolume.
    VOLUMES = Resource::new("", "v1", ("persistentvolumes", "persistentvolume", "PersistentVolume"), &["pv"])
        .cluster_scoped().with_status();
    /// core/v1 Pod.
    PODS = Resource::new("", "v1", ("pods", "pod", "Pod"), &["po"]).workload(&[
        stream("attach", "PodAttachOptions"),
        stream("exec", "PodExecOptions"),
        Subresource { name: "log", kind: None, verbs: &["get"] },
        stream("portforward", "PodPortForwardOptions"),
        STATUS,
    ]);
    /// core/v1 Secret.
    SECRETS = Resource::new("", "v1", ("secrets", "secret", "Secret"), &[]);
    /// core/v1 ServiceAccount.
    SERVICE_ACCOUNTS = Resource::new("", "v1", ("serviceaccounts", "serviceaccount", "ServiceAccount"), &["sa"]);
    /// core/v1 Service.
    SERVICES = Resource { has_generation: false, ..Resource::new("", "v1", ("services", "service", "Service"), &["svc"]).workload(&[STATUS]) };
    /// apps/v1 DaemonSet.
    DAEMON_SETS = Resource::new("apps", "v1", ("daemonsets", "daemonset", "DaemonSet"), &["ds"]).workload(&[STATUS]);
    /// apps/v1 Deployment.
    DEPLOYMENTS = Resource::new("apps", "v1", ("deployments", "deployment", "Deployment"), &["deploy"]).workload(&[SCALE, STATUS]);
    /// apps/v1 ReplicaSet.
    REPLICA_SETS = Resource::new("apps", "v1", ("replicasets", "replicaset", "ReplicaSet"), &["rs"]).workload(&[SCALE, STATUS]);
    /// apps/v1 StatefulSet.
    STATEFUL_SETS = Resource::new("apps", "v1", ("statefulsets", "statefulset", "StatefulSet"), &["sts"]).workload(&[SCALE, STATUS]);
    /// autoscaling/v2 HorizontalPodAutoscaler.
    AUTOSCALERS = Resource::new("autoscaling", "v2", ("horizontalpodautoscalers", "horizontalpodautoscaler", "HorizontalPodAutoscaler"), &["hpa"])
        .workload(&[STATUS]);
    /// batch/v1 CronJob.
    CRON_JOBS = Resource::new("batch", "v1", ("cronjobs", "cronjob", "CronJob"), &["cj"]).workload(&[STATUS]);
    /// batch/v1 Job.
    JOBS = Resource::new("batch", "v1", ("jobs", "job", "Job"), &[]).workload(&[STATUS]);
    /// Answers whether the caller may do one thing.
    ACCESS_REVIEWS = Resource::new("authorization.k8s.io", "v1", ("selfsubjectaccessreviews", "selfsubjectaccessreview", "SelfSubjectAccessReview"), &[])
        .cluster_scoped().only(&["create"]);
    /// Lists what the caller may do in a namespace.
    RULES_REVIEWS = Resource::new("authorization.k8s.io", "v1", ("selfsubjectrulesreviews", "selfsubjectrulesreview", "SelfSubjectRulesReview"), &[])
        .cluster_scoped().only(&["create"]);
    /// policy/v1 PodDisruptionBudget.
    DISRUPTION_BUDGETS = Resource { subresources: &[STATUS], has_generation: true, ..Resource::new("policy", "v1",
        ("poddisruptionbudgets", "poddisruptionbudget", "PodDisruptionBudget"), &["pdb"]) };
    /// networking.k8s.io/v1 NetworkPolicy; no traffic is stopped by it here.
    NETWORK_POLICIES = Resource { has_generation: true, ..Resource::new("networking.k8s.io", "v1",
        ("networkpolicies", "networkpolicy", "NetworkPolicy"), &["netpol"]) };
    /// rbac.authorization.k8s.io/v1 ClusterRoleBinding.
    CLUSTER_ROLE_BINDINGS = Resource::new("rbac.authorization.k8s.io", "v1", ("clusterrolebindings", "clusterrolebinding", "ClusterRoleBinding"), &[])
        .cluster_scoped();
    /// rbac.authorization.k8s.io/v1 ClusterRole.
    CLUSTER_ROLES = Resource::new("rbac.authorization.k8s.io", "v1", ("clusterroles", "clusterrole", "ClusterRole"), &[]).cluster_scoped();
    /// rbac.authorization.k8s.io/v1 RoleBinding.
    ROLE_BINDINGS = Resource::new("rbac.authorization.k8s.io", "v1", ("rolebindings", "rolebinding", "RoleBinding"), &[]);
    /// rbac.authorization.k8s.io/v1 Role.
    ROLES = Resource::new("rbac.authorization.k8s.io", "v1", ("roles", "role", "Role"), &[]);
    /// coordination.k8s.io/v1 Lease.
    LEASES = Resource::new("coordination.k8s.io", "v1", ("leases", "lease", "Lease"), &[]);
    /// storage.k8s.io/v1 StorageClass.
    STORAGE_CLASSES = Resource::new("storage.k8s.io", "v1", ("storageclasses", "storageclass", "StorageClass"), &["sc"]).cluster_scoped();
    /// apiextensions.k8s.io/v1 CustomResourceDefinition.
    DEFINITIONS = Resource { categories: &["api-extensions"], has_generation: true, ..Resource::new("apiextensions.k8s.io", "v1",
        ("customresourcedefinitions", "customresourcedefinition", "CustomResourceDefinition"), &["crd", "crds"]).cluster_scoped().with_status() };
    /// A volume's content at one moment, as a user asks for it.
    SNAPSHOTS = Resource::snapshot(("volumesnapshots", "volumesnapshot", "VolumeSnapshot"), &["vs"]);
    /// A driver that snapshots, and what becomes of its snapshots.
    SNAPSHOT_CLASSES = Resource { subresources: &[], ..Resource::snapshot(("volumesnapshotclasses", "volumesnapshotclass", "VolumeSnapshotClass"),
        &["vsclass", "vsclasses"]).cluster_scoped() };
    /// A snapshot on the storage system.
    SNAPSHOT_CONTENTS = Resource::snapshot(("volumesnapshotcontents", "volumesnapshotcontent", "VolumeSnapshotContent"), &["vsc", "vscs"])
        .cluster_scoped();
}
