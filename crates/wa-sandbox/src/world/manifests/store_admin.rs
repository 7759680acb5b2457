//! The pod of store-admin.

use serde_json::{Value, json};

use super::etcd;
use crate::world::Names;

const SCRIPT: &str = include_str!("../scripts/store-admin.sh");

/// What it runs. The real one is another program, and finds the workspaces in another way.
pub(super) fn command(names: &Names) -> Value {
    let endpoint = format!("https://{}:{}", names.etcd(), etcd::PORT);
    json!([
        "/bin/bash",
        "-c",
        SCRIPT,
        "store-admin",
        endpoint,
        names.workspaces_prefix(),
        names.instance,
    ])
}

/// Where it has what etcd lets it in with.
pub(super) fn volume_mounts() -> Value {
    json!([
        { "name": "etcd-tls", "mountPath": "/etc/etcd/tls", "readOnly": true },
        { "name": "etcd-credentials", "mountPath": "/etc/etcd/credentials", "readOnly": true },
    ])
}

/// The secrets of that.
pub(super) fn volumes(names: &Names) -> Value {
    json!([
        { "name": "etcd-tls", "secret": { "secretName": etcd::client_secret(names) } },
        { "name": "etcd-credentials", "secret": { "secretName": etcd::root_secret(names) } },
    ])
}
