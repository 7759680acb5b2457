//! The file by which kubectl and the plugins find the cluster.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;

use super::Server;
use super::users::User;

/// What a kubeconfig leads to.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// Its name, and that of the cluster.
    pub name: &'a str,
    /// The namespace of commands that name none.
    pub namespace: &'a str,
}

/// Writes a kubeconfig for a user, readable by its owner alone. An existing file is replaced.
pub fn write(path: &Path, server: &Server, user: &User, context: Context<'_>) -> io::Result<()> {
    let config = contents(server.address(), server.ca_pem(), user, context);
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(config.as_bytes())
}

/// JSON is YAML too.
fn contents(address: SocketAddr, ca_pem: &str, user: &User, context: Context<'_>) -> String {
    let Context { name, namespace } = context;
    let cluster = json!({
        "server": format!("https://{address}"),
        "certificate-authority-data": BASE64_STANDARD.encode(ca_pem),
    });
    let context = json!({ "cluster": name, "user": user.name, "namespace": namespace });
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": name, "cluster": cluster }],
        "users": [{ "name": user.name, "user": { "token": user.token } }],
        "contexts": [{ "name": name, "context": context }],
        "current-context": name,
    });
    format!("{config:#}\n")
}
