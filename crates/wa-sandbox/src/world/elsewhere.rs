//! The same installation for a real cluster: what `kubectl apply` takes on kind, k3s or CRC.
//!
//! The objects are those of the practice cluster, changed where a real one needs something or forbids it: images that
//! anybody can pull, with the users that those have; volumes of the default class; addresses that the cluster gives. The
//! databases fill themselves when their pods first start.
//!
//! Left out is what runs in the practice cluster's own process: what the operator does, training, the resource controller.
//! So are the dumps of earlier nights, and snapshots, which want a driver.

use kube_sandbox::meta::Resource;
use serde_json::{Value, json};

use super::manifests::{assistant, backup, cluster, etcd, neighbours, postgres, redis};
use super::secrets::{Authority, Credentials, encoded};
use super::{
    Instances, Names, ProcessOne, Profile, Storage, Variant, WorldError, kinds, provision,
};

const NAMESPACE: &str = "cpd";
const INSTANCE: &str = "wa";
/// For all that only sleeps, and for etcd, whose own images have no shell.
const DEBIAN: &str = "docker.io/library/debian:trixie-slim";
/// The major version of PostgreSQL of releases that do not give it away.
const POSTGRES_VERSION: u32 = 14;
/// `postgres` in the images of PostgreSQL.
const POSTGRES_USER: u32 = 999;
/// Nobody in particular, in the others.
const OTHER_USER: u32 = 1000;
/// Where a pod has what it is filled with.
const FILLED_WITH: &str = "/etc/practice";

const FILL_POSTGRES: &str = include_str!("scripts/fill-postgres.sh");
const FILL_ETCD: &str = include_str!("scripts/fill-etcd.sh");
const FETCH_ETCD: &str = "apt-get update && apt-get install --yes --no-install-recommends etcd-server etcd-client && \
                          cp /usr/bin/etcd /usr/bin/etcdctl /opt/etcd/";

/// The definitions of the custom resources. They must be there before the objects: a client that reads both at once does
/// not know the kinds yet.
pub fn definitions() -> Vec<Value> {
    let definition = |resource: &&Resource| {
        let mut definition = resource.definition();
        // With a part for it, what is applied would have no status.
        remove(&mut definition["spec"]["versions"][0], "subresources");
        definition
    };
    kinds::ALL.iter().map(definition).collect()
}

/// All other objects of a release, in the order in which they can be created. Passwords and certificates are made anew each
/// time.
pub fn manifests(profile: Profile) -> Result<Vec<Value>, WorldError> {
    let names = profile.names(INSTANCE, NAMESPACE);
    let version = names.postgres_version.unwrap_or(POSTGRES_VERSION);
    let variant = Variant::default();
    let credentials = Credentials::generate();
    let mut objects = namespaces(&names);
    objects.extend(roles());
    objects.extend(secrets(&names, &credentials)?);
    objects.extend(assistant::config_maps(&names));
    objects.push(filled_with(&names, &credentials));
    let mut services = postgres::services(&names, "");
    services.push(etcd::service_of(&names, ""));
    objects.extend(services);
    objects.extend([
        postgres::data_claim(&names, Storage::default()),
        etcd::data_claim(&names, Storage::default()),
        backup::volume_claim(&names, Storage::default()),
    ]);
    let neighbours = neighbours::objects(&names).into_iter();
    objects.extend(neighbours.map(|(_, object)| object));
    let custom = assistant::custom_resources(&names, &variant).into_iter();
    objects.extend(custom.map(|(_, object)| object));
    let cluster = postgres::cluster(&names, version);
    objects.push(cluster.clone());
    objects.push(assistant::operator(&names, &variant));
    let renderings = assistant::renderings(&names, &variant, &Value::Null, &Value::Null);
    objects.extend(renderings.into_iter().map(|one| one.manifest));
    objects.push(redis::stateful_set(&names, &variant));
    objects.push(backup::cron_job(&names));
    let process_one = ProcessOne::default();
    objects.extend(postgres::pods(
        &names,
        version,
        &cluster,
        process_one,
        &variant,
    ));
    objects.push(etcd::pod(&names));
    for object in &mut objects {
        adapt(object, &names, version);
    }
    Ok(objects)
}

/// Those that a cluster does not have by itself.
fn namespaces(names: &Names) -> Vec<Value> {
    let mut namespaces = cluster::namespaces(names);
    let own = ["default", "kube-system"];
    namespaces.retain(|one| !own.iter().any(|own| one["metadata"]["name"] == *own));
    for namespace in &mut namespaces {
        remove(namespace, "spec");
    }
    namespaces
}

/// What operators bring so that who may view or edit a namespace may do so with their kinds too.
fn roles() -> [Value; 2] {
    let mut groups: Vec<&str> = kinds::ALL.iter().map(|kind| kind.group).collect();
    groups.dedup();
    let role = |to: &str, verbs: &[&str]| {
        let label = format!("rbac.authorization.k8s.io/aggregate-to-{to}");
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": { "name": format!("watson-assistant-{to}"), "labels": { (label): "true" } },
            "rules": [{ "apiGroups": groups, "resources": ["*"], "verbs": verbs }],
        })
    };
    [
        role("view", &["get", "list", "watch"]),
        role("edit", &["create", "update", "patch", "delete"]),
    ]
}

fn secrets(names: &Names, credentials: &Credentials) -> Result<Vec<Value>, WorldError> {
    let postgres_ca = Authority::generate(&names.postgres_ca_secret())?;
    let postgres_server =
        postgres_ca.issue(&names.postgres_service(), postgres::server_names(names))?;
    let etcd_ca = Authority::generate(&names.etcd())?;
    let etcd_server = etcd_ca.issue("etcd-server", etcd::server_names(names))?;
    let etcd_client = etcd_ca.issue("etcd-client", Vec::new())?;
    let token = super::secrets::service_token();
    Ok([
        assistant::secrets(names, credentials),
        postgres::secrets(names, credentials, &postgres_ca, &postgres_server),
        etcd::secrets(names, credentials, &etcd_ca, &etcd_server, &etcd_client),
        vec![assistant::service_broker_secret(names, &token)],
    ]
    .concat())
}

fn filled_with_name(names: &Names) -> String {
    format!("{}-practice", names.instance)
}

/// What the databases are filled with, a password among it.
fn filled_with(names: &Names, credentials: &Credentials) -> Value {
    let instances = Instances::default();
    let store = provision::store_script(names, credentials, instances);
    let workspaces = provision::workspace_transaction(names, instances);
    json!({
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "metadata": { "name": filled_with_name(names), "namespace": names.namespace },
        "data": encoded(&[("store.sql", &store), ("workspaces", &workspaces)]),
    })
}

/// Changes an object of the practice cluster into one that a real cluster takes.
fn adapt(object: &mut Value, names: &Names, version: u32) {
    let is_custom = kinds::ALL
        .iter()
        .any(|kind| object["kind"] == kind.kind && object["apiVersion"] == *kind.api_version());
    if !is_custom {
        remove(object, "status");
    }
    // Nobody would take the finalizers away, and owners are known by uids that only the cluster gives.
    for field in ["ownerReferences", "finalizers"] {
        remove(&mut object["metadata"], field);
    }
    let kind = object["kind"].as_str().unwrap_or_default();
    let pod = match kind {
        "Service" => return adapt_service(object, names),
        "PersistentVolumeClaim" => return remove(&mut object["spec"], "storageClassName"),
        "Pod" => "/spec",
        "Deployment" | "StatefulSet" => "/spec/template/spec",
        "CronJob" => "/spec/jobTemplate/spec/template/spec",
        _ => return,
    };
    if let Some(pod) = object.pointer_mut(pod) {
        adapt_pod(pod, names, version);
    }
}

fn adapt_service(service: &mut Value, names: &Names) {
    let is_etcd = service["metadata"]["name"] == names.etcd();
    let spec = &mut service["spec"];
    for field in ["clusterIP", "clusterIPs"] {
        remove(spec, field);
    }
    if is_etcd {
        // Of the only member, which is asked under this name before it is ready.
        spec["clusterIP"] = "None".into();
        spec["publishNotReadyAddresses"] = true.into();
    }
}

fn adapt_pod(pod: &mut Value, names: &Names, version: u32) {
    remove(pod, "schedulerName");
    let container = &mut pod["containers"][0];
    let (name, image) = (container["name"].clone(), container["image"].clone());
    let has_postgres = image == *postgres::image(version) || image == *backup::image_of(names);
    let user = if has_postgres {
        POSTGRES_USER
    } else {
        OTHER_USER
    };
    container["image"] = if has_postgres {
        format!("docker.io/library/postgres:{version}").into()
    } else {
        DEBIAN.into()
    };
    if name == "store-admin" {
        // It would want the directory that the practice cluster shares with it.
        container["command"] = json!(["sleep", "infinity"]);
    }
    if name == "postgres" && container["readinessProbe"].is_object() {
        prepend(&mut container["command"][2], FILL_POSTGRES);
        listen_on(container, "*");
    }
    if name == "etcd" {
        let serve = container["command"][2].take();
        container["command"] = json!(["/bin/bash", "-c", FILL_ETCD, "fill-etcd", serve]);
        listen_on(container, "0.0.0.0");
        let path = "/opt/etcd:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        push(
            &mut container["env"],
            json!({ "name": "PATH", "value": path }),
        );
    }
    let fills = container["env"].to_string().contains("LISTEN_ON");
    if fills {
        let mount = json!({ "name": "practice", "mountPath": FILLED_WITH, "readOnly": true });
        push(&mut container["volumeMounts"], mount);
        let secret = json!({ "secretName": filled_with_name(names) });
        push(
            &mut pod["volumes"],
            json!({ "name": "practice", "secret": secret }),
        );
    }
    if name == "etcd" {
        bring_etcd(pod);
    }
    pod["securityContext"] =
        json!({ "runAsUser": user, "runAsGroup": user, "fsGroup": user, "runAsNonRoot": true });
}

/// Has the programs of etcd installed where the container finds them.
fn bring_etcd(pod: &mut Value) {
    let mount = json!({ "name": "programs", "mountPath": "/opt/etcd" });
    push(&mut pod["containers"][0]["volumeMounts"], mount.clone());
    push(
        &mut pod["volumes"],
        json!({ "name": "programs", "emptyDir": {} }),
    );
    pod["initContainers"] = json!([{
        "name": "programs", "image": DEBIAN, "command": ["sh", "-c", FETCH_ETCD],
        "securityContext": { "runAsUser": 0, "runAsNonRoot": false }, "volumeMounts": [mount],
    }]);
}

fn listen_on(container: &mut Value, address: &str) {
    push(
        &mut container["env"],
        json!({ "name": "LISTEN_ON", "value": address }),
    );
}

fn prepend(text: &mut Value, before: &str) {
    if let Value::String(text) = text {
        text.insert_str(0, before);
    }
}

fn push(list: &mut Value, item: Value) {
    if !list.is_array() {
        *list = json!([]);
    }
    if let Value::Array(list) = list {
        list.push(item);
    }
}

fn remove(object: &mut Value, field: &str) {
    if let Value::Object(fields) = object {
        fields.remove(field);
    }
}
