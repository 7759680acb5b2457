//! The etcd that knows which workspaces there are to train: one real member, with TLS and users.

use serde_json::{Value, json};

use super::{claim, labels, secret, service};
use crate::world::{
    Names, Storage,
    secrets::{Authority, Certificate, Credentials},
};

/// The image of the pod.
pub(in crate::world) const IMAGE: &str = "icr.io/cpopen/ibm-etcd:3.5";
/// The port for clients.
pub(in crate::world) const PORT: u16 = 2379;
/// The port for members.
pub(in crate::world) const PEER_PORT: u16 = 2380;

const SERVE: &str = include_str!("../scripts/serve-etcd.sh");
/// Where the pod has the certificate of clients.
const CLIENT_TLS: &str = "/etc/etcdtls/operator/etcd-tls";

/// What `etcdctl` is told inside the pod to be let in: certificate, key and authority.
pub(in crate::world) fn client_flags() -> [String; 3] {
    [
        ("cert", "etcd-client.crt"),
        ("key", "etcd-client.key"),
        ("cacert", "etcd-client-ca.crt"),
    ]
    .map(|(flag, file)| format!("--{flag}={CLIENT_TLS}/{file}"))
}

/// The only member's pod.
pub(in crate::world) fn pod(names: &Names) -> Value {
    let endpoint = format!("--endpoints=https://{}:{PORT}", names.etcd());
    let [cert, key, ca] = client_flags();
    let probe = ["etcdctl", &cert, &key, &ca, &endpoint, "endpoint", "health"];
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": names.etcd_pod(), "namespace": names.namespace, "labels": labels(names, "etcd") },
        "spec": {
            "containers": [{
                "name": "etcd", "image": IMAGE, "imagePullPolicy": "IfNotPresent",
                "command": ["/bin/bash", "-c", SERVE],
                "env": [
                    { "name": "ETCDCTL_API", "value": "3" },
                    { "name": "CLUSTER_NAME", "value": names.etcd() },
                    { "name": "NAMESPACE", "value": names.namespace },
                ],
                "ports": [{ "containerPort": PORT, "name": "client", "protocol": "TCP" }],
                "readinessProbe": { "exec": { "command": probe }, "periodSeconds": 1 },
                "resources": {},
                "securityContext": { "readOnlyRootFilesystem": true },
                "volumeMounts": [
                    { "name": "data", "mountPath": "/var/lib/etcd" },
                    { "name": "credentials", "mountPath": "/var/run/credentials" },
                    { "name": "client-tls", "mountPath": CLIENT_TLS },
                    { "name": "server-tls", "mountPath": "/etc/etcdtls/member/server-tls" },
                ],
            }],
            "volumes": [
                { "name": "data", "persistentVolumeClaim": { "claimName": data_claim_name(names) } },
                { "name": "credentials", "secret": { "secretName": root_secret(names) } },
                { "name": "client-tls", "secret": { "secretName": client_secret(names) } },
                { "name": "server-tls", "secret": { "secretName": server_secret(names) } },
            ],
            "hostname": names.etcd_pod(), "subdomain": names.etcd(), "restartPolicy": "Always",
            "terminationGracePeriodSeconds": 5,
        },
        "status": { "phase": "Pending" },
    })
}

fn data_claim_name(names: &Names) -> String {
    format!("data-{}", names.etcd_pod())
}

/// The secret with root's password.
pub(super) fn root_secret(names: &Names) -> String {
    format!("{}-root", names.etcd())
}

/// The secret with the certificate of clients.
pub(super) fn client_secret(names: &Names) -> String {
    format!("{}-client-tls", names.etcd())
}

fn server_secret(names: &Names) -> String {
    format!("{}-server-tls", names.etcd())
}

/// The claim of the member's data.
pub(in crate::world) fn data_claim(names: &Names, storage: Storage) -> Value {
    claim(
        names,
        storage,
        &data_claim_name(names),
        &labels(names, "etcd"),
        "2Gi",
    )
}

/// The service that leads to the member.
pub(in crate::world) fn service_of(names: &Names, address: &str) -> Value {
    let labels = labels(names, "etcd");
    service(names, &names.etcd(), &labels, &labels, address, PORT)
}

/// Every name by which a client may call the member.
pub(in crate::world) fn server_names(names: &Names) -> Vec<String> {
    let (service, pod, namespace) = (names.etcd(), names.etcd_pod(), &names.namespace);
    vec![
        service.clone(),
        format!("{service}.{namespace}.svc"),
        format!("{service}.{namespace}.svc.cluster.local"),
        format!("{pod}.{service}.{namespace}.svc.cluster.local"),
    ]
}

/// Root's password, certificates, and the endpoints where the release publishes them.
pub(in crate::world) fn secrets(
    names: &Names,
    credentials: &Credentials,
    authority: &Authority,
    server: &Certificate,
    client: &Certificate,
) -> Vec<Value> {
    let labels = labels(names, "etcd");
    let ca = authority.certificate_pem.as_str();
    let mut secrets = vec![
        secret(
            names,
            &root_secret(names),
            &labels,
            &[("pass.key", &credentials.etcd_password)],
        ),
        secret(
            names,
            &client_secret(names),
            &labels,
            &[
                ("etcd-client.crt", &client.certificate_pem),
                ("etcd-client.key", &client.key_pem),
                ("etcd-client-ca.crt", ca),
            ],
        ),
        secret(
            names,
            &server_secret(names),
            &labels,
            &[
                ("server.crt", &server.certificate_pem),
                ("server.key", &server.key_pem),
                ("server-ca.crt", ca),
            ],
        ),
    ];
    if let Some(name) = &names.etcd_secret {
        let endpoint = format!(
            "https://{}.{}.svc.cluster.local:{PORT}",
            names.etcd(),
            names.namespace
        );
        let connection = json!({ "endpoints": endpoint, "username": "root" }).to_string();
        secrets.push(secret(names, name, &labels, &[("etcd", &connection)]));
    }
    secrets
}
