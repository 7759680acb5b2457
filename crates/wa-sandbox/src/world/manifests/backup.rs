//! The backup CronJob and its volume.

use serde_json::{Value, json};

use super::{claim, image, labels, postgres};
use crate::world::{Names, Storage};

const BACK_UP: &str = include_str!("../scripts/back-up.sh");
const COMPONENT: &str = "store-cronjob";

/// The image of the CronJob's pods.
pub(in crate::world) fn image_of(names: &Names) -> String {
    image(COMPONENT, names.version)
}

/// The claim that the CronJob writes to.
pub(in crate::world) fn volume_claim(names: &Names, storage: Storage) -> Value {
    claim(
        names,
        storage,
        &names.backup_claim,
        &labels(names, "store"),
        "10Gi",
    )
}

/// The CronJob.
pub(in crate::world) fn cron_job(names: &Names) -> Value {
    let secret = postgres::user_secret(names);
    let from_secret = |key: &str| json!({ "secretKeyRef": { "name": secret, "key": key } });
    let environment = json!([
        { "name": "PGHOST", "value": names.postgres_service() },
        { "name": "PGPORT", "value": postgres::PORT.to_string() },
        { "name": "PGDATABASE", "value": names.database() },
        { "name": "PGSSLMODE", "value": "verify-full" },
        { "name": "PGSSLROOTCERT", "value": "/etc/postgres-ca/ca.crt" },
        { "name": "PGUSER", "valueFrom": from_secret("username") },
        { "name": "PGPASSWORD", "valueFrom": from_secret("password") },
        { "name": "INSTANCE", "value": names.instance },
        { "name": "NAMESPACE", "value": names.namespace },
        { "name": "STORE_BACKUP_HISTORY_FILES_WEEKLY_BACKUP_DAY", "value": "0" },
        { "name": "STORE_BACKUP_HISTORY_FILES_KEEP_WEEKLY", "value": "4" },
        { "name": "STORE_BACKUP_HISTORY_FILES_KEEP_DAILY", "value": "6" },
    ]);
    let mut volumes = vec![
        json!({ "name": "backups", "persistentVolumeClaim": { "claimName": names.backup_claim } }),
        json!({ "name": "postgres-ca", "secret": { "secretName": names.postgres_ca_secret() } }),
    ];
    let mut mounts = vec![
        json!({ "name": "backups", "mountPath": "/store-backups" }),
        json!({ "name": "postgres-ca", "mountPath": "/etc/postgres-ca" }),
    ];
    if let Some(secret) = &names.auth_encryption_secret {
        volumes.push(json!({ "name": "auth-encryption", "secret": { "secretName": secret } }));
        mounts.push(json!({ "name": "auth-encryption", "mountPath": "/etc/auth-encryption" }));
    }
    let labels = labels(names, COMPONENT);
    json!({
        "apiVersion": "batch/v1", "kind": "CronJob",
        "metadata": { "name": names.cron_job(), "namespace": names.namespace, "labels": labels },
        "spec": {
            "schedule": "0 23 * * *", "concurrencyPolicy": "Forbid", "suspend": false,
            "successfulJobsHistoryLimit": 30, "failedJobsHistoryLimit": 10,
            "jobTemplate": {
                "metadata": { "labels": labels },
                "spec": {
                    "backoffLimit": 0,
                    "template": {
                        "metadata": { "labels": labels },
                        "spec": {
                            "containers": [{
                                "name": COMPONENT, "image": image_of(names), "imagePullPolicy": "IfNotPresent",
                                "command": ["/bin/bash", "-c", BACK_UP],
                                "env": environment, "resources": {},
                                "securityContext": { "readOnlyRootFilesystem": true, "runAsNonRoot": true },
                                "volumeMounts": mounts,
                            }],
                            "volumes": volumes, "restartPolicy": "Never", "dnsPolicy": "ClusterFirst",
                            "terminationGracePeriodSeconds": 30, "securityContext": {},
                            "schedulerName": "default-scheduler",
                        },
                    },
                },
            },
        },
        "status": {},
    })
}
