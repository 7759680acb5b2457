//! Reads kubeconfig files as kubectl does: the same YAML, the same fields, the same rules for several files.
//!
//! Not by kube's own types: they refuse what kubectl takes, such as a doubled key, and take what it refuses, such as two
//! entries of one name.

mod decode;
mod files;
mod names;
mod yaml;

use std::collections::BTreeMap;

use secrecy::SecretString;
use serde_json::Value;

pub(super) use files::{Files, read};
pub use files::{KubeconfigError, Problem};
pub use names::{ContextName, KubeconfigNames};

/// The merged content of the kubeconfig files. Paths in it are absolute, or relative to the working directory.
#[derive(Debug, Default)]
pub(super) struct Kubeconfig {
    pub(super) current_context: String,
    pub(super) clusters: BTreeMap<String, Cluster>,
    pub(super) users: BTreeMap<String, User>,
    pub(super) contexts: BTreeMap<String, Context>,
}

/// How to reach an API server. An empty text is one that is not given.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Cluster {
    pub(super) server: String,
    pub(super) tls_server_name: String,
    pub(super) insecure_skip_tls_verify: bool,
    pub(super) certificate_authority: String,
    pub(super) certificate_authority_data: Vec<u8>,
    pub(super) proxy_url: String,
    pub(super) disable_compression: bool,
    /// What the extension `client.authentication.k8s.io/exec` holds, for credential plugins.
    pub(super) plugin_config: Option<Value>,
}

/// As whom to speak to it. An empty text is one that is not given.
#[derive(Debug, Clone, Default)]
pub(super) struct User {
    pub(super) client_certificate: String,
    pub(super) client_certificate_data: Vec<u8>,
    pub(super) client_key: String,
    pub(super) client_key_data: Option<SecretString>,
    pub(super) token: Option<SecretString>,
    pub(super) token_file: String,
    pub(super) username: String,
    pub(super) password: Option<SecretString>,
    pub(super) impersonate: Impersonate,
    pub(super) auth_provider: Option<AuthProvider>,
    pub(super) exec: Option<Exec>,
}

/// As whom to act instead.
#[derive(Debug, Clone, Default)]
pub(super) struct Impersonate {
    pub(super) user: String,
    pub(super) uid: String,
    pub(super) groups: Vec<String>,
    pub(super) extra: BTreeMap<String, Vec<String>>,
}

/// A login provider that is part of kubectl.
#[derive(Debug, Clone, Default)]
pub(super) struct AuthProvider {
    pub(super) name: String,
    pub(super) config: BTreeMap<String, SecretString>,
}

/// A credential plugin.
#[derive(Debug, Clone, Default)]
pub(super) struct Exec {
    pub(super) command: String,
    pub(super) args: Vec<String>,
    pub(super) env: Vec<(String, SecretString)>,
    pub(super) api_version: String,
    pub(super) install_hint: String,
    pub(super) provide_cluster_info: bool,
    pub(super) interactive_mode: String,
}

/// A cluster and a user that belong together.
#[derive(Debug, Clone, Default)]
pub(super) struct Context {
    pub(super) cluster: String,
    pub(super) user: String,
    pub(super) namespace: String,
}
