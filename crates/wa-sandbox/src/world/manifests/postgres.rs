//! The PostgreSQL cluster: the EDB operator's resource, its pods, services and secrets, and the store's secret.
//!
//! The first pod runs a real server. Left out: streaming replication. The second pod is labelled as a replica and has
//! the client programs, which is all that a backup asks of it, but no server of its own.

use kube_sandbox::meta::object;
use serde_json::{Value, json};

use super::{claim, labels, secret, service};
use crate::world::{
    Names, PostgresLabels, ProcessOne, Storage, Variant, kinds,
    secrets::{Authority, Certificate, Credentials},
};

/// The database user of the store.
pub(in crate::world) const USER: &str = "dbadmin";
/// The port of PostgreSQL.
pub(in crate::world) const PORT: u16 = 5432;

const SERVE: &str = include_str!("../scripts/serve-postgres.sh");
/// What the operator keeps in its scratch space. Nobody else may touch it.
const OPERATOR_FILES: &str = include_str!("../scripts/operator-files.sh");

/// The image of every pod.
pub(in crate::world) fn image(version: u32) -> String {
    format!("icr.io/cpopen/edb/postgresql:{version}")
}

/// The EDB operator's resource.
pub(in crate::world) fn cluster(names: &Names, version: u32) -> Value {
    let cluster = &names.postgres_cluster;
    let pods = [names.primary_pod(), replica_pod(cluster)];
    json!({
        "apiVersion": kinds::POSTGRES_CLUSTERS.api_version(), "kind": "Cluster",
        "metadata": {
            "name": cluster, "namespace": names.namespace,
            "labels": { "app.kubernetes.io/instance": names.instance },
        },
        "spec": { "imageName": image(version), "instances": 2, "storage": { "size": "10Gi" } },
        "status": {
            "currentPrimary": pods[0], "targetPrimary": pods[0],
            "instances": 2, "readyInstances": 2, "instanceNames": pods,
            "phase": "Cluster in healthy state",
            "pgDataImageInfo": { "image": image(version), "majorVersion": version },
            "writeService": names.postgres_service(),
        },
    })
}

/// The pods of the cluster and, where names invite it, one of another cluster whose name begins alike.
pub(in crate::world) fn pods(
    names: &Names,
    version: u32,
    owner: &Value,
    process_one: ProcessOne,
    variant: &Variant,
) -> Vec<Value> {
    let cluster = &names.postgres_cluster;
    let pod = |names: &Names, version, cluster: &str, name: &str, role: &str| {
        let mut pod = pod(names, version, cluster, name, role);
        if let Some(size) = &variant.scratch_size {
            pod["spec"]["volumes"][0]["emptyDir"]["sizeLimit"] = size.as_str().into();
        }
        if let Some(size) = &variant.shm_size {
            pod["spec"]["volumes"][1]["emptyDir"] =
                json!({ "medium": "Memory", "sizeLimit": size });
        }
        pod
    };
    let mut pods = vec![
        pod(names, version, cluster, &names.primary_pod(), "primary"),
        pod(names, version, cluster, &replica_pod(cluster), "replica"),
    ];
    for pod in &mut pods {
        pod["metadata"]["ownerReferences"] = json!([{
            "apiVersion": owner["apiVersion"], "kind": "Cluster", "controller": true,
            "name": object::name(owner), "uid": object::uid(owner),
        }]);
    }
    pods[0]["spec"]["containers"][0]["env"]
        .as_array_mut()
        .into_iter()
        .for_each(|env| env.push(json!({ "name": "PROCESS_ONE", "value": process_one.name() })));
    let older = format!("{}-postgres", names.instance);
    if *cluster != older {
        // Left behind by an upgrade: every prefix match on the older name finds both.
        pods.push(pod(
            names,
            version,
            &older,
            &format!("{older}-3"),
            "replica",
        ));
    }
    pods
}

fn replica_pod(cluster: &str) -> String {
    format!("{cluster}-2")
}

fn pod_labels(names: &Names, cluster: &str, role: &str) -> Value {
    let specific = match names.postgres_labels {
        PostgresLabels::Postgresql => json!({ "postgresql": cluster, "role": role }),
        PostgresLabels::App => json!({ "app": cluster, "postgresql": cluster, "role": role }),
        PostgresLabels::EnterpriseDb => json!({
            "k8s.enterprisedb.io/cluster": cluster, "k8s.enterprisedb.io/instanceRole": role, "role": role,
        }),
    };
    let mut labels = labels(names, "postgres");
    object::map_mut(&mut labels).extend(specific.as_object().cloned().unwrap_or_default());
    labels
}

fn pod(names: &Names, version: u32, cluster: &str, name: &str, role: &str) -> Value {
    let serves = name == names.primary_pod();
    let command = if serves {
        json!(["/bin/bash", "-c", format!("{OPERATOR_FILES}{SERVE}")])
    } else {
        json!([
            "/bin/bash",
            "-c",
            format!("{OPERATOR_FILES}exec sleep infinity")
        ])
    };
    let mut container = json!({
        "name": "postgres", "image": image(version), "imagePullPolicy": "IfNotPresent", "command": command,
        "env": [
            { "name": "PGDATA", "value": "/var/lib/postgresql/data/pgdata" },
            { "name": "PGHOST", "value": "/controller/run" },
            { "name": "CLUSTER_NAME", "value": cluster },
            { "name": "NAMESPACE", "value": names.namespace },
        ],
        "ports": [{ "containerPort": PORT, "name": "postgresql", "protocol": "TCP" }],
        "resources": {},
        "securityContext": { "readOnlyRootFilesystem": true, "allowPrivilegeEscalation": false },
        "volumeMounts": [
            { "name": "scratch-data", "mountPath": "/controller" },
            { "name": "scratch-data", "mountPath": "/run", "subPath": "run" },
            { "name": "shm", "mountPath": "/dev/shm" },
        ],
    });
    let mut volumes = vec![
        json!({ "name": "scratch-data", "emptyDir": {} }),
        json!({ "name": "shm", "emptyDir": {} }),
    ];
    if serves {
        container["readinessProbe"] =
            json!({ "exec": { "command": ["pg_isready", "-q"] }, "periodSeconds": 1 });
        let mounts = [
            ("pgdata", "/var/lib/postgresql/data"),
            ("server-certificate", "/etc/server-certificate"),
        ];
        if let Some(list) = container["volumeMounts"].as_array_mut() {
            list.extend(mounts.map(|(name, path)| json!({ "name": name, "mountPath": path })));
        }
        volumes.push(json!({ "name": "pgdata", "persistentVolumeClaim": { "claimName": name } }));
        volumes.push(json!({
            "name": "server-certificate", "secret": { "secretName": server_secret(names), "defaultMode": 0o400 },
        }));
    }
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": name, "namespace": names.namespace, "labels": pod_labels(names, cluster, role) },
        "spec": {
            "containers": [container], "volumes": volumes, "hostname": name, "restartPolicy": "Always",
            "securityContext": { "runAsUser": 26, "runAsGroup": 26, "fsGroup": 26, "runAsNonRoot": true },
            "terminationGracePeriodSeconds": 5,
        },
        "status": { "phase": "Pending" },
    })
}

/// The claim of the primary's data.
pub(in crate::world) fn data_claim(names: &Names, storage: Storage) -> Value {
    claim(
        names,
        storage,
        &names.primary_pod(),
        &labels(names, "postgres"),
        "10Gi",
    )
}

/// The services that lead to the primary. The service for replicas is left out, as there is no replica.
pub(in crate::world) fn services(names: &Names, address: &str) -> Vec<Value> {
    let labels = labels(names, "postgres");
    let selector = pod_labels(names, &names.postgres_cluster, "primary");
    let name = |suffix: &str| format!("{}-{suffix}", names.postgres_cluster);
    ["rw", "r"]
        .map(|suffix| service(names, &name(suffix), &labels, &selector, address, PORT))
        .to_vec()
}

/// Every name by which a client may call the server.
pub(in crate::world) fn server_names(names: &Names) -> Vec<String> {
    let of = |service: String| {
        let namespace = &names.namespace;
        [
            service.clone(),
            format!("{service}.{namespace}"),
            format!("{service}.{namespace}.svc"),
            format!("{service}.{namespace}.svc.cluster.local"),
        ]
    };
    ["rw", "r"]
        .into_iter()
        .flat_map(|suffix| of(format!("{}-{suffix}", names.postgres_cluster)))
        .collect()
}

fn server_secret(names: &Names) -> String {
    format!("{}-server", names.postgres_cluster)
}

/// The secret with the database user, which the CronJob reads.
pub(in crate::world) fn user_secret(names: &Names) -> String {
    format!("{}-app", names.postgres_cluster)
}

/// The certificate authority, the server's certificate, the database user, and the store's connection strings.
pub(in crate::world) fn secrets(
    names: &Names,
    credentials: &Credentials,
    authority: &Authority,
    server: &Certificate,
) -> Vec<Value> {
    let labels = labels(names, "postgres");
    let store_labels = json!({
        "app.kubernetes.io/instance": names.instance, "component": names.store_secret.component,
    });
    let vcap = store_connections(names, credentials).to_string();
    vec![
        secret(
            names,
            &names.postgres_ca_secret(),
            &labels,
            &[("ca.crt", &authority.certificate_pem)],
        ),
        secret(
            names,
            &server_secret(names),
            &labels,
            &[
                ("tls.crt", &server.certificate_pem),
                ("tls.key", &server.key_pem),
            ],
        ),
        secret(
            names,
            &user_secret(names),
            &labels,
            &[
                ("username", USER),
                ("password", &credentials.database_password),
            ],
        ),
        secret(
            names,
            &names.store_secret.name,
            &store_labels,
            &[(names.store_secret.key, &vcap)],
        ),
    ]
}

fn store_connections(names: &Names, credentials: &Credentials) -> Value {
    json!({
        "user-provided": [
            {
                "name": "redis", "label": "user-provided",
                "credentials": {
                    "host": format!("{}-redis-m", names.instance), "port": 6379,
                    "username": "default", "password": credentials.redis_password,
                },
            },
            {
                "name": "pgservice", "label": "user-provided",
                "credentials": {
                    "host": names.postgres_service(), "port": PORT, "database": names.database(),
                    "username": USER, "password": credentials.database_password,
                },
            },
        ],
    })
}
