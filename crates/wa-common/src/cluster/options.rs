//! How to connect, as a caller asks for it.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

/// How to reach a cluster, and as whom: what kubectl's flags say, each by its flag's name.
///
/// What is not given comes from the kubeconfig: `kubeconfig`, else the files of `KUBECONFIG`, else `~/.kube/config`,
/// else, inside a pod, its service account. An empty text is one that is not given.
#[derive(Debug, Clone, Default)]
pub struct ConnectionOptions {
    /// The namespace to work in.
    pub namespace: Option<String>,
    /// Path of the kubeconfig file.
    pub kubeconfig: Option<PathBuf>,
    /// The kubeconfig's context.
    pub context: Option<String>,
    /// The kubeconfig's cluster.
    pub cluster: Option<String>,
    /// The kubeconfig's user.
    pub user: Option<String>,
    /// Address and port of the API server.
    pub server: Option<String>,
    /// Bearer token.
    pub token: Option<SecretString>,
    /// User to impersonate.
    pub impersonate: Option<String>,
    /// UID to impersonate.
    pub impersonate_uid: Option<String>,
    /// Groups to impersonate.
    pub impersonate_groups: Vec<String>,
    /// CA certificate file of the API server.
    pub certificate_authority: Option<PathBuf>,
    /// Client certificate file.
    pub client_certificate: Option<PathBuf>,
    /// Client key file.
    pub client_key: Option<PathBuf>,
    /// The name to expect in the API server's certificate.
    pub tls_server_name: Option<String>,
    /// Whether the API server's certificate goes unchecked.
    pub insecure_skip_tls_verify: Option<bool>,
    /// The longest wait for one answer; without one there is no limit.
    pub request_timeout: Option<Duration>,
}
