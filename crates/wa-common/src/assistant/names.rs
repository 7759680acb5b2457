//! The names Watson Assistant's objects have had, release by release; newest form first.

use kube::api::{ApiResource, GroupVersionKind};

/// The WatsonAssistant custom resource, the same since 4.0.
pub(super) fn watson_assistant() -> ApiResource {
    let kind = GroupVersionKind::gvk("assistant.watson.ibm.com", "v1", "WatsonAssistant");
    ApiResource::from_gvk_with_plural(&kind, "watsonassistants")
}

/// The instance that watsonx Orchestrate makes for itself.
pub(super) const ORCHESTRATE_INSTANCE: &str = "wo-wa";

/// The EDB PostgreSQL operator's cluster.
pub(super) fn postgres_cluster() -> ApiResource {
    let kind = GroupVersionKind::gvk("postgresql.k8s.enterprisedb.io", "v1", "Cluster");
    ApiResource::from_gvk_with_plural(&kind, "clusters")
}

/// Secrets that describe the store database, with the key that holds the JSON.
pub(super) fn store_secrets(instance: &str) -> [(String, &'static str); 2] {
    [
        (
            format!("{instance}-store-datastore-connection-strings"),
            "store_vcap_services",
        ),
        (format!("{instance}-store-vcap"), "vcap_services"),
    ]
}

/// The secret with the key that restored data is read with; releases before about 4.8.6 have none.
pub(super) fn auth_encryption_secret(instance: &str) -> String {
    format!("{instance}-auth-encryption")
}

/// The backup CronJob, the same since 4.0.
pub(super) fn backup_cron_job(instance: &str) -> String {
    format!("{instance}-store-cronjob")
}

/// Redis' StatefulSet.
pub(super) fn redis_server(instance: &str) -> String {
    format!("{instance}-redis-server")
}

/// CronJobs where Kubernetes is older than 1.21.
pub(super) fn cron_job_v1beta1() -> ApiResource {
    let kind = GroupVersionKind::gvk("batch", "v1beta1", "CronJob");
    ApiResource::from_gvk_with_plural(&kind, "cronjobs")
}

/// The claims of the volume that the CronJob writes to; the shorter name is from before about 4.8.4.
pub(super) fn backup_claims(instance: &str) -> [String; 2] {
    [
        format!("{instance}-store-db-backup-pvc"),
        format!("{instance}-store-pvc"),
    ]
}

/// PostgreSQL clusters: 16 came with 4.8.8 and 5.1.
pub(super) fn postgres_clusters(instance: &str) -> [String; 2] {
    [
        format!("{instance}-postgres-16"),
        format!("{instance}-postgres"),
    ]
}

/// Label selectors for the pods of a PostgreSQL cluster, by exact equality, in the order to try them.
pub(super) fn postgres_selectors(cluster: &str) -> [String; 3] {
    ["k8s.enterprisedb.io/cluster", "app", "postgresql"].map(|label| format!("{label}={cluster}"))
}
