//! Turns kubectl's flags and the kubeconfig into a client configuration.

use std::path::{Path, PathBuf};

use kube::Config;
use kube::config::{
    AuthInfo, Cluster as ClusterEntry, Context, Kubeconfig, NamedAuthInfo, NamedCluster,
    NamedContext,
};
use secrecy::{ExposeSecret as _, SecretString};

use super::{ClusterError, client_config, proxy};
use crate::cli::ConnectionArgs;

/// Name of the context, cluster and user where no kubeconfig names them.
const MADE_UP: &str = "made-up";

/// A client configuration and where it came from.
pub(super) struct Source {
    pub(super) config: Config,
    /// The kubeconfig context, absent inside a pod.
    pub(super) context: Option<String>,
}

/// Reads the kubeconfig and lays the flags over it, in kubectl's order of precedence.
pub(super) fn load(args: &ConnectionArgs) -> Result<Source, ClusterError> {
    let paths = kubeconfig_paths(args);
    let (kubeconfig, context) = match read(args, &paths)? {
        Some(kubeconfig) => {
            let context = context_name(args, &kubeconfig, &paths)?;
            (kubeconfig, Some(context))
        }
        None if args.server.is_some() => (
            made_up(ClusterEntry::default(), AuthInfo::default(), None),
            None,
        ),
        None => {
            let config = Config::incluster().map_err(|_| no_kubeconfig(paths))?;
            (of_service_account(config), None)
        }
    };
    let name = context.as_deref().unwrap_or(MADE_UP);
    let Entries {
        cluster,
        user,
        namespace,
    } = overlay(kubeconfig, name, args)?;
    let proxy_url = cluster.proxy_url.clone();
    let mut config = client_config::of(cluster, user, namespace)?;
    config.proxy_url = proxy::for_server(&config.cluster_url, proxy_url.as_deref())?;
    let config = apply_defaults(config, args);
    if !is_label(&config.default_namespace) {
        return Err(ClusterError::InvalidNamespace {
            namespace: config.default_namespace,
        });
    }
    Ok(Source { config, context })
}

/// An RFC 1123 label: nothing that would change the path it becomes a part of.
pub(crate) fn is_label(name: &str) -> bool {
    let bytes = name.as_bytes();
    let allowed = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-';
    (1..=63).contains(&bytes.len())
        && bytes.iter().all(allowed)
        && bytes.first() != Some(&b'-')
        && bytes.last() != Some(&b'-')
}

fn apply_defaults(mut config: Config, args: &ConnectionArgs) -> Config {
    if let Some(namespace) = given(args.namespace.as_deref()) {
        namespace.clone_into(&mut config.default_namespace);
    } else if config.default_namespace.is_empty() {
        "default".clone_into(&mut config.default_namespace);
    }
    // Every wait has its own deadline in `Cluster`. A time-out of the connection would also cut the streams that
    // exec upgrades it to.
    config.read_timeout = None;
    config.write_timeout = None;
    // kube's own policy repeats any request, creates included, for minutes and without a word.
    config.default_retry = false;
    config
}

/// An empty flag counts as absent, as in kubectl.
fn given(flag: Option<&str>) -> Option<&str> {
    flag.filter(|text| !text.is_empty())
}

/// The kubeconfig files kubectl would read, whether or not they exist.
fn kubeconfig_paths(args: &ConnectionArgs) -> Vec<PathBuf> {
    if let Some(path) = &args.kubeconfig {
        return vec![path.clone()];
    }
    if let Some(list) = std::env::var_os("KUBECONFIG").filter(|list| !list.is_empty()) {
        return std::env::split_paths(&list)
            .filter(|path| !path.as_os_str().is_empty())
            .collect();
    }
    std::env::home_dir()
        .map(|home| home.join(".kube/config"))
        .into_iter()
        .collect()
}

/// Merges the files that exist; a file named with `--kubeconfig` must.
fn read(args: &ConnectionArgs, paths: &[PathBuf]) -> Result<Option<Kubeconfig>, ClusterError> {
    let mut merged: Option<Kubeconfig> = None;
    for path in paths {
        if args.kubeconfig.is_none() && !path.exists() {
            continue;
        }
        let mut next = Kubeconfig::read_from(path).map_err(ClusterError::Kubeconfig)?;
        // `kubectl config unset current-context` leaves an empty one, which must not hide that of a later file.
        next.current_context = next.current_context.filter(|name| !name.is_empty());
        merged = Some(match merged {
            Some(first) => first.merge(next).map_err(ClusterError::Kubeconfig)?,
            None => next,
        });
    }
    Ok(merged.filter(|kubeconfig| {
        args.kubeconfig.is_some() || !kubeconfig.clusters.is_empty() || args.context.is_some()
    }))
}

fn no_kubeconfig(paths: Vec<PathBuf>) -> ClusterError {
    match paths.iter().find(|path| path.exists()) {
        Some(file) => ClusterError::EmptyKubeconfig { file: file.clone() },
        None => ClusterError::NoKubeconfig { paths },
    }
}

fn context_name(
    args: &ConnectionArgs,
    kubeconfig: &Kubeconfig,
    paths: &[PathBuf],
) -> Result<String, ClusterError> {
    let named = |name: &str| {
        kubeconfig
            .contexts
            .iter()
            .any(|context| context.name == name)
    };
    let available = || {
        kubeconfig
            .contexts
            .iter()
            .map(|context| context.name.clone())
            .collect()
    };
    let file = || {
        paths
            .iter()
            .map(|path| path.display().to_string())
            .collect::<Vec<_>>()
            .join(":")
    };
    let wanted = args
        .context
        .as_ref()
        .or(kubeconfig.current_context.as_ref());
    match wanted {
        Some(name) if named(name) => Ok(name.clone()),
        Some(name) => Err(ClusterError::NoSuchContext {
            context: name.clone(),
            file: file(),
            available: available(),
        }),
        None => Err(ClusterError::NoCurrentContext {
            file: file(),
            available: available(),
        }),
    }
}

/// A kubeconfig with one context, where no file has one.
fn made_up(cluster: ClusterEntry, user: AuthInfo, namespace: Option<String>) -> Kubeconfig {
    Kubeconfig {
        contexts: vec![NamedContext {
            name: MADE_UP.to_owned(),
            context: Some(Context {
                cluster: MADE_UP.to_owned(),
                user: Some(MADE_UP.to_owned()),
                namespace,
                ..Context::default()
            }),
            ..NamedContext::default()
        }],
        clusters: vec![NamedCluster {
            name: MADE_UP.to_owned(),
            cluster: Some(cluster),
            ..NamedCluster::default()
        }],
        auth_infos: vec![NamedAuthInfo {
            name: MADE_UP.to_owned(),
            auth_info: Some(user),
            ..NamedAuthInfo::default()
        }],
        ..Kubeconfig::default()
    }
}

/// The service account of this pod as a kubeconfig, so that the flags hold for it too.
fn of_service_account(config: Config) -> Kubeconfig {
    let cluster = ClusterEntry {
        server: Some(config.cluster_url.to_string()),
        certificate_authority: config.root_cert_file.as_deref().map(text),
        ..ClusterEntry::default()
    };
    made_up(cluster, config.auth_info, Some(config.default_namespace))
}

/// What a context names.
struct Entries {
    cluster: ClusterEntry,
    user: AuthInfo,
    namespace: Option<String>,
}

/// The entries that the context names, with the flags written into them.
fn overlay(
    mut kubeconfig: Kubeconfig,
    context_name: &str,
    args: &ConnectionArgs,
) -> Result<Entries, ClusterError> {
    let context = kubeconfig
        .contexts
        .iter()
        .find(|context| context.name == context_name)
        .and_then(|context| context.context.as_ref());
    let mut context = context.cloned().unwrap_or_default();
    if let Some(cluster) = &args.cluster {
        context.cluster.clone_from(cluster);
    }
    if let Some(user) = &args.user {
        context.user = Some(user.clone());
    }
    let cluster_name = context.cluster;
    // The flags must hold for a context without a user too: `--as` left out would act as somebody else.
    let user_name = context
        .user
        .filter(|user| !user.is_empty())
        .unwrap_or_else(|| MADE_UP.to_owned());
    add_what_flags_replace(&mut kubeconfig, &cluster_name, &user_name, args);

    let clusters = &mut kubeconfig.clusters;
    let found = clusters.iter_mut().find(|one| one.name == cluster_name);
    let Some(mut cluster) = found.and_then(|one| one.cluster.take()) else {
        return Err(ClusterError::NoSuchCluster {
            cluster: cluster_name,
            available: clusters.iter().map(|one| one.name.clone()).collect(),
        });
    };
    overlay_cluster(&mut cluster, args)?;

    let users = &mut kubeconfig.auth_infos;
    let found = users.iter_mut().find(|one| one.name == user_name);
    let Some(mut user) = found.and_then(|one| one.auth_info.take()) else {
        return Err(ClusterError::NoSuchUser {
            user: user_name,
            available: users.iter().map(|one| one.name.clone()).collect(),
        });
    };
    overlay_user(&mut user, args)?;
    Ok(Entries {
        cluster,
        user,
        namespace: context.namespace,
    })
}

/// kubectl's rule: what a context names and no file has is missed only where the flags do not give it, or name it too.
fn add_what_flags_replace(
    kubeconfig: &mut Kubeconfig,
    cluster: &str,
    user: &str,
    args: &ConnectionArgs,
) {
    let has_cluster = kubeconfig.clusters.iter().any(|one| one.name == cluster);
    if !has_cluster && args.cluster.is_none() && args.server.is_some() {
        kubeconfig.clusters.push(NamedCluster {
            name: cluster.to_owned(),
            cluster: Some(ClusterEntry::default()),
            ..NamedCluster::default()
        });
    }
    let has_user = kubeconfig.auth_infos.iter().any(|one| one.name == user);
    let token = args.token.as_ref().map(SecretString::expose_secret);
    let credentials = given(token).is_some() || args.client_certificate.is_some();
    if !has_user && (user == MADE_UP || args.user.is_none() && credentials) {
        kubeconfig.auth_infos.push(NamedAuthInfo {
            name: user.to_owned(),
            auth_info: Some(AuthInfo::default()),
            ..NamedAuthInfo::default()
        });
    }
}

fn overlay_cluster(cluster: &mut ClusterEntry, args: &ConnectionArgs) -> Result<(), ClusterError> {
    if let Some(server) = &args.server {
        cluster.server = Some(server_url(server));
        // The kubeconfig's was for the kubeconfig's server.
        cluster.tls_server_name = None;
    }
    if let Some(path) = &args.certificate_authority {
        cluster.certificate_authority = Some(text(path));
        cluster.certificate_authority_data = None;
        // A CA was named to be checked against, whatever the kubeconfig says.
        cluster.insecure_skip_tls_verify = None;
    }
    if let Some(name) = &args.tls_server_name {
        cluster.tls_server_name = Some(name.clone());
    }
    match args.insecure_skip_tls_verify {
        Some(true) if args.certificate_authority.is_some() => {
            return Err(ClusterError::InsecureWithAuthority);
        }
        Some(true) => {
            cluster.insecure_skip_tls_verify = Some(true);
            cluster.certificate_authority = None;
            cluster.certificate_authority_data = None;
        }
        Some(false) => cluster.insecure_skip_tls_verify = Some(false),
        None => {}
    }
    Ok(())
}

fn overlay_user(user: &mut AuthInfo, args: &ConnectionArgs) -> Result<(), ClusterError> {
    if let Some(token) = given(args.token.as_ref().map(SecretString::expose_secret)) {
        // kubectl's rule: a token given by flag wins over everything the kubeconfig says of this user.
        *user = AuthInfo {
            token: Some(token.to_owned().into()),
            impersonate: user.impersonate.take(),
            impersonate_groups: user.impersonate_groups.take(),
            ..AuthInfo::default()
        };
    }
    if let Some(path) = &args.client_certificate {
        user.client_certificate = Some(text(path));
        user.client_certificate_data = None;
    }
    if let Some(path) = &args.client_key {
        user.client_key = Some(text(path));
        user.client_key_data = None;
    }
    if let Some(name) = &args.impersonate {
        user.impersonate = Some(name.clone());
    }
    if !args.impersonate_groups.is_empty() {
        if user.impersonate.is_none() {
            return Err(ClusterError::GroupsWithoutUser);
        }
        user.impersonate_groups = Some(args.impersonate_groups.clone());
    }
    trim_token_file(user);
    Ok(())
}

/// kube sends a token file as it is, and a line break behind the token is no header value. Only such a file is read here:
/// kube reads the others again when the token in them is renewed.
fn trim_token_file(user: &mut AuthInfo) {
    let Some(path) = user.token_file.as_ref().filter(|_| user.token.is_none()) else {
        return;
    };
    // A file that cannot be read is reported by kube.
    if let Ok(content) = std::fs::read_to_string(path)
        && content.trim() != content
    {
        user.token = Some(content.trim().to_owned().into());
    }
}

/// kubectl takes `host:port` too, and then speaks TLS.
fn server_url(server: &str) -> String {
    if server.contains("://") {
        server.to_owned()
    } else {
        format!("https://{server}")
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
