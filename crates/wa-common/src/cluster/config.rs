//! Turns kubectl's flags and the kubeconfig into what a connection needs, in kubectl's order of precedence and with its
//! rules of what goes together.

use std::path::{Path, PathBuf};

use http::header::{HeaderMap, HeaderName, HeaderValue};
use kube::Config;
use rustls::pki_types::ServerName;
use secrecy::{ExposeSecret as _, SecretString};

use super::entries::Entries;
use super::kubeconfig::{self, Cluster, Context, Files, Kubeconfig, User};
use super::server_url::ServerUrl;
use super::{ClusterError, ConnectionOptions, proxy, user};

/// Everything a connection needs.
pub(super) struct Connection {
    pub(super) server: ServerUrl,
    /// Absent for a server without TLS.
    pub(super) tls: Option<TlsSettings>,
    pub(super) login: user::Login,
    pub(super) impersonation: HeaderMap,
    pub(super) proxy: Option<http::Uri>,
    pub(super) namespace: String,
    /// The kubeconfig context, absent inside a pod and where the flags say everything.
    pub(super) context: Option<String>,
}

/// How the API server is checked.
pub(super) struct TlsSettings {
    pub(super) trust: super::tls::Trust,
    pub(super) server_name: Option<ServerName<'static>>,
}

/// Reads the kubeconfig and lays the flags over it.
pub(super) fn load(options: &ConnectionOptions) -> Result<Connection, ClusterError> {
    let files = Files::from_flag(options.kubeconfig.as_deref());
    let kubeconfig = kubeconfig::read(&files)?;
    let chosen = match &kubeconfig {
        Some(kubeconfig) => choose(options, kubeconfig, &files)?,
        None => Chosen::default(),
    };
    let mut entries = match (chosen.has_server(options), &files) {
        (true, _) => overlay(chosen, options)?,
        (false, Files::Named(_)) => return Err(no_cluster(kubeconfig.as_ref(), &files)),
        (false, Files::Usual(_)) => match Config::incluster() {
            Ok(pod) => overlay(of_service_account(&pod), options)?,
            Err(_) => return Err(no_cluster(kubeconfig.as_ref(), &files)),
        },
    };
    let namespace = given(options.namespace.as_deref()).map(str::to_owned);
    let namespace = namespace
        .or_else(|| given(Some(&entries.context.namespace)).map(str::to_owned))
        .unwrap_or_else(|| "default".to_owned());
    if !is_label(&namespace) {
        return Err(ClusterError::InvalidNamespace { namespace });
    }
    let server = ServerUrl::parse(&entries.cluster.server).map_err(|why| ClusterError::Server {
        server: shown(&entries.cluster.server),
        why,
    })?;
    check_cluster(&entries)?;
    user::check(&entries)?;
    let authority = read_authority(&entries)?;
    let tls = server
        .is_https()
        .then(|| tls_settings(&entries, &authority))
        .transpose()?;
    let login = if server.is_https() {
        user::login(&mut entries, &authority)?
    } else {
        user::Login::default()
    };
    let proxy = proxy::for_server(&server.url, &entries.cluster.proxy_url)?;
    Ok(Connection {
        tls,
        login,
        impersonation: impersonation(&entries)?,
        proxy,
        namespace,
        context: entries.context_name,
        server,
    })
}

/// An RFC 1123 label: nothing that would change the path it becomes a part of.
pub fn is_label(name: &str) -> bool {
    let bytes = name.as_bytes();
    let allowed = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-';
    (1..=63).contains(&bytes.len())
        && bytes.iter().all(allowed)
        && bytes.first() != Some(&b'-')
        && bytes.last() != Some(&b'-')
}

/// An empty flag counts as absent, as in kubectl: scripts pass variables that are not set.
pub(super) fn given(flag: Option<&str>) -> Option<&str> {
    flag.filter(|text| !text.is_empty())
}

fn given_path(flag: Option<&PathBuf>) -> Option<String> {
    flag.filter(|path| !path.as_os_str().is_empty())
        .map(|path| text(path))
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// An address as it may be shown.
fn shown(server: &str) -> String {
    match server.rsplit_once('@') {
        Some((_, host)) => format!("…@{host}"),
        None => server.to_owned(),
    }
}

/// What the kubeconfig says of the cluster and user that are wanted, before the flags are laid over it.
#[derive(Default)]
struct Chosen {
    cluster: Option<Cluster>,
    user: Option<User>,
    context: Context,
    context_name: Option<String>,
}

impl Chosen {
    fn has_server(&self, options: &ConnectionOptions) -> bool {
        let in_file = self.cluster.as_ref().map(|cluster| cluster.server.as_str());
        given(options.server.as_deref())
            .or(given(in_file))
            .is_some()
    }
}

/// Finds context, cluster and user. A name that a flag gives must exist, and the context; what the context names need not:
/// the flags may say it all.
fn choose(
    options: &ConnectionOptions,
    kubeconfig: &Kubeconfig,
    files: &Files,
) -> Result<Chosen, ClusterError> {
    let name = given(options.context.as_deref()).or(given(Some(&kubeconfig.current_context)));
    let mut context =
        match name {
            Some(name) => kubeconfig.contexts.get(name).cloned().ok_or_else(|| {
                ClusterError::NoSuchContext {
                    context: name.to_owned(),
                    file: listed(files),
                    available: kubeconfig.contexts.keys().cloned().collect(),
                }
            })?,
            None => Context::default(),
        };
    if let Some(cluster) = given(options.cluster.as_deref()) {
        cluster.clone_into(&mut context.cluster);
    }
    if let Some(user) = given(options.user.as_deref()) {
        user.clone_into(&mut context.user);
    }
    let cluster = kubeconfig.clusters.get(&context.cluster).cloned();
    let has_address = given(options.server.as_deref()).is_some();
    let is_named = given(options.cluster.as_deref()).is_some();
    if cluster.is_none() && (is_named || !has_address && !context.cluster.is_empty()) {
        return Err(ClusterError::NoSuchCluster {
            cluster: context.cluster,
            available: kubeconfig.clusters.keys().cloned().collect(),
        });
    }
    let user = kubeconfig.users.get(&context.user).cloned();
    if user.is_none() && given(options.user.as_deref()).is_some() {
        return Err(ClusterError::NoSuchUser {
            user: context.user,
            available: kubeconfig.users.keys().cloned().collect(),
        });
    }
    Ok(Chosen {
        cluster,
        user,
        context,
        context_name: name.map(str::to_owned),
    })
}

fn listed(files: &Files) -> String {
    let paths = files.paths().iter().map(|path| path.display().to_string());
    paths.collect::<Vec<_>>().join(":")
}

/// Why there is no server to speak to.
fn no_cluster(kubeconfig: Option<&Kubeconfig>, files: &Files) -> ClusterError {
    match kubeconfig {
        None => ClusterError::NoKubeconfig {
            paths: files.paths().to_vec(),
        },
        Some(read) if read.clusters.is_empty() => ClusterError::EmptyKubeconfig {
            file: listed(files).into(),
        },
        Some(read) if read.current_context.is_empty() => ClusterError::NoCurrentContext {
            file: listed(files),
            available: read.contexts.keys().cloned().collect(),
        },
        Some(_) => ClusterError::NoServer {
            file: listed(files),
        },
    }
}

/// The service account of this pod as if a kubeconfig named it, so that the flags hold for it too.
fn of_service_account(pod: &Config) -> Chosen {
    Chosen {
        cluster: Some(Cluster {
            server: pod.cluster_url.to_string(),
            certificate_authority: pod.root_cert_file.as_deref().map(text).unwrap_or_default(),
            ..Cluster::default()
        }),
        user: Some(User {
            token_file: pod.auth_info.token_file.clone().unwrap_or_default(),
            ..User::default()
        }),
        context: Context {
            namespace: pod.default_namespace.clone(),
            ..Context::default()
        },
        context_name: None,
    }
}

fn overlay(chosen: Chosen, options: &ConnectionOptions) -> Result<Entries, ClusterError> {
    let mut cluster = chosen.cluster.unwrap_or_default();
    overlay_cluster(&mut cluster, options)?;
    let has_user = chosen.user.is_some();
    let mut user = chosen.user.unwrap_or_default();
    overlay_user(&mut user, options)?;
    Ok(Entries {
        cluster,
        user,
        has_user,
        context: chosen.context,
        context_name: chosen.context_name,
    })
}

fn overlay_cluster(cluster: &mut Cluster, options: &ConnectionOptions) -> Result<(), ClusterError> {
    if let Some(server) = given(options.server.as_deref()) {
        server.clone_into(&mut cluster.server);
        // The kubeconfig's was for the kubeconfig's server.
        cluster.tls_server_name.clear();
    }
    let authority = given_path(options.certificate_authority.as_ref());
    let insecure = options.insecure_skip_tls_verify == Some(true);
    if insecure && authority.is_some() {
        return Err(ClusterError::InsecureWithAuthority);
    }
    if insecure || authority.is_some() {
        cluster.insecure_skip_tls_verify = insecure;
        cluster.certificate_authority = authority.unwrap_or_default();
        cluster.certificate_authority_data.clear();
    }
    if options.insecure_skip_tls_verify == Some(false) {
        cluster.insecure_skip_tls_verify = false;
    }
    if let Some(name) = given(options.tls_server_name.as_deref()) {
        name.clone_into(&mut cluster.tls_server_name);
    }
    Ok(())
}

fn overlay_user(user: &mut User, options: &ConnectionOptions) -> Result<(), ClusterError> {
    let token = options.token.as_ref().map(SecretString::expose_secret);
    if let Some(token) = given(token) {
        // kubectl's rule: a token given by flag wins over everything the kubeconfig says of this user.
        *user = User {
            token: Some(token.to_owned().into()),
            impersonate: std::mem::take(&mut user.impersonate),
            ..User::default()
        };
    }
    if let Some(path) = given_path(options.client_certificate.as_ref()) {
        user.client_certificate = path;
        user.client_certificate_data.clear();
    }
    if let Some(path) = given_path(options.client_key.as_ref()) {
        user.client_key = path;
        user.client_key_data = None;
    }
    if let Some(name) = given(options.impersonate.as_deref()) {
        name.clone_into(&mut user.impersonate.user);
    }
    if let Some(uid) = given(options.impersonate_uid.as_deref()) {
        if user.impersonate.user.is_empty() {
            return Err(ClusterError::ImpersonatesNobody { flag: "--as-uid" });
        }
        uid.clone_into(&mut user.impersonate.uid);
    }
    let groups = options
        .impersonate_groups
        .iter()
        .filter(|group| !group.is_empty());
    let groups: Vec<String> = groups.cloned().collect();
    if !groups.is_empty() {
        if user.impersonate.user.is_empty() {
            return Err(ClusterError::ImpersonatesNobody { flag: "--as-group" });
        }
        user.impersonate.groups = groups;
    }
    Ok(())
}

fn check_cluster(entries: &Entries) -> Result<(), ClusterError> {
    let cluster = &entries.cluster;
    if !cluster.certificate_authority.is_empty() && !cluster.certificate_authority_data.is_empty() {
        return Err(entries.cluster_problem(
            "certificate-authority and certificate-authority-data are both given, which kubectl refuses; remove one of them",
        ));
    }
    Ok(())
}

/// The CA of the API server in PEM, empty where none is given.
fn read_authority(entries: &Entries) -> Result<Vec<u8>, ClusterError> {
    let cluster = &entries.cluster;
    if cluster.certificate_authority.is_empty() {
        return Ok(cluster.certificate_authority_data.clone());
    }
    std::fs::read(&cluster.certificate_authority).map_err(|error| {
        let path = &cluster.certificate_authority;
        entries.cluster_problem(format!("cannot read certificate-authority {path}: {error}"))
    })
}

fn tls_settings(entries: &Entries, authority: &[u8]) -> Result<TlsSettings, ClusterError> {
    use super::tls::Trust;
    let cluster = &entries.cluster;
    let has_authority = !cluster.certificate_authority.is_empty() || !authority.is_empty();
    let trust = match (cluster.insecure_skip_tls_verify, has_authority) {
        (true, true) => {
            return Err(entries.cluster_problem(
                "a certificate authority and insecure-skip-tls-verify contradict each other; remove one of them",
            ));
        }
        (true, false) => Trust::Anyone,
        (false, _) if authority.is_empty() => Trust::System,
        (false, _) => Trust::Authorities(authority.to_vec()),
    };
    let name = &cluster.tls_server_name;
    let server_name = match given(Some(name)) {
        None => None,
        Some(name) => Some(ServerName::try_from(name.to_owned()).map_err(|_| {
            entries.cluster_problem(format!(
                "tls-server-name {name:?} is neither a host's name nor an IP address"
            ))
        })?),
    };
    Ok(TlsSettings { trust, server_name })
}

/// The headers that say as whom to act.
fn impersonation(entries: &Entries) -> Result<HeaderMap, ClusterError> {
    let mut headers = HeaderMap::new();
    let impersonate = &entries.user.impersonate;
    let mut add = |name: HeaderName, value: &str| match HeaderValue::from_bytes(value.as_bytes()) {
        Ok(value) => {
            headers.append(name, value);
            Ok(())
        }
        Err(_) => Err(entries.user_problem(format!(
            "{value:?} is not the name of a user or group to impersonate"
        ))),
    };
    if !impersonate.user.is_empty() {
        add(
            HeaderName::from_static("impersonate-user"),
            &impersonate.user,
        )?;
    }
    if !impersonate.uid.is_empty() {
        add(HeaderName::from_static("impersonate-uid"), &impersonate.uid)?;
    }
    for group in &impersonate.groups {
        add(HeaderName::from_static("impersonate-group"), group)?;
    }
    for (key, values) in &impersonate.extra {
        let name = format!(
            "impersonate-extra-{}",
            super::server_url::escaped_token(key)
        );
        let name = HeaderName::try_from(name)
            .map_err(|_| entries.user_problem(format!("as-user-extra {key:?} cannot be sent")))?;
        for value in values {
            add(name.clone(), value)?;
        }
    }
    Ok(headers)
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
