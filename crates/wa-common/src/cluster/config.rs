//! Turns kubectl's flags and the kubeconfig into a client configuration.

use std::path::{Path, PathBuf};

use kube::Config;
use kube::config::{
    AuthInfo, Cluster as ClusterEntry, Context, KubeConfigOptions, Kubeconfig, NamedAuthInfo,
    NamedCluster, NamedContext,
};

use super::{ClusterError, proxy};
use crate::cli::ConnectionArgs;

/// Name of the context, cluster and user that flags alone make up, where there is no kubeconfig.
const FROM_FLAGS: &str = "flags";

/// A client configuration and where it came from.
pub(super) struct Source {
    pub(super) config: Config,
    /// The kubeconfig context, absent inside a pod.
    pub(super) context: Option<String>,
}

/// Reads the kubeconfig and lays the flags over it, in kubectl's order of precedence.
pub(super) async fn load(args: &ConnectionArgs) -> Result<Source, ClusterError> {
    let paths = kubeconfig_paths(args);
    let kubeconfig = read(args, &paths)?;
    let (kubeconfig, context) = match kubeconfig {
        Some(kubeconfig) => {
            let context = context_name(args, &kubeconfig, &paths)?;
            (kubeconfig, context)
        }
        None if args.server.is_some() => (from_flags(), FROM_FLAGS.to_owned()),
        None => {
            let config = Config::incluster().map_err(|_| ClusterError::NoKubeconfig { paths })?;
            return Ok(Source {
                config: apply_defaults(config, args),
                context: None,
            });
        }
    };
    let (kubeconfig, proxy_url) = overlay(kubeconfig, &context, args)?;
    let options = KubeConfigOptions {
        context: Some(context.clone()),
        ..KubeConfigOptions::default()
    };
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .map_err(ClusterError::Kubeconfig)?;
    config.proxy_url = proxy::for_server(&config.cluster_url, proxy_url.as_deref())?;
    Ok(Source {
        config: apply_defaults(config, args),
        context: Some(context),
    })
}

fn apply_defaults(mut config: Config, args: &ConnectionArgs) -> Config {
    if let Some(namespace) = &args.namespace {
        config.default_namespace.clone_from(namespace);
    }
    // Every wait has its own deadline in `Cluster`. A time-out of the connection would also cut the streams that
    // exec upgrades it to.
    config.read_timeout = None;
    config.write_timeout = None;
    // kube's own policy repeats any request, creates included, for minutes and without a word.
    config.default_retry = false;
    config
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
        let next = Kubeconfig::read_from(path).map_err(ClusterError::Kubeconfig)?;
        merged = Some(match merged {
            Some(first) => first.merge(next).map_err(ClusterError::Kubeconfig)?,
            None => next,
        });
    }
    Ok(merged.filter(|kubeconfig| {
        args.kubeconfig.is_some() || !kubeconfig.clusters.is_empty() || args.context.is_some()
    }))
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

/// A kubeconfig for `--server` alone.
fn from_flags() -> Kubeconfig {
    Kubeconfig {
        current_context: Some(FROM_FLAGS.to_owned()),
        contexts: vec![NamedContext {
            name: FROM_FLAGS.to_owned(),
            context: Some(Context {
                cluster: FROM_FLAGS.to_owned(),
                user: Some(FROM_FLAGS.to_owned()),
                ..Context::default()
            }),
            ..NamedContext::default()
        }],
        clusters: vec![NamedCluster {
            name: FROM_FLAGS.to_owned(),
            cluster: Some(ClusterEntry::default()),
            ..NamedCluster::default()
        }],
        auth_infos: vec![NamedAuthInfo {
            name: FROM_FLAGS.to_owned(),
            auth_info: Some(AuthInfo::default()),
            ..NamedAuthInfo::default()
        }],
        ..Kubeconfig::default()
    }
}

/// Writes the flags into the entries that the context names; also gives the cluster's `proxy-url`.
fn overlay(
    mut kubeconfig: Kubeconfig,
    context_name: &str,
    args: &ConnectionArgs,
) -> Result<(Kubeconfig, Option<String>), ClusterError> {
    let context = kubeconfig
        .contexts
        .iter_mut()
        .find(|context| context.name == context_name)
        .and_then(|context| context.context.as_mut());
    let (cluster_name, user_name) = match context {
        Some(context) => {
            if let Some(cluster) = &args.cluster {
                context.cluster.clone_from(cluster);
            }
            if let Some(user) = &args.user {
                context.user = Some(user.clone());
            }
            (context.cluster.clone(), context.user.clone())
        }
        None => (String::new(), None),
    };

    let available = kubeconfig
        .clusters
        .iter()
        .map(|cluster| cluster.name.clone())
        .collect();
    let Some(cluster) = kubeconfig
        .clusters
        .iter_mut()
        .find(|cluster| cluster.name == cluster_name)
        .and_then(|cluster| cluster.cluster.as_mut())
    else {
        return Err(ClusterError::NoSuchCluster {
            cluster: cluster_name,
            available,
        });
    };
    overlay_cluster(cluster, args)?;
    let proxy_url = cluster.proxy_url.take();

    if let Some(user_name) = user_name {
        let available = kubeconfig
            .auth_infos
            .iter()
            .map(|user| user.name.clone())
            .collect();
        match kubeconfig
            .auth_infos
            .iter_mut()
            .find(|user| user.name == user_name)
            .and_then(|user| user.auth_info.as_mut())
        {
            Some(user) => overlay_user(user, args),
            None => {
                return Err(ClusterError::NoSuchUser {
                    user: user_name,
                    available,
                });
            }
        }
    }
    Ok((kubeconfig, proxy_url))
}

fn overlay_cluster(cluster: &mut ClusterEntry, args: &ConnectionArgs) -> Result<(), ClusterError> {
    if let Some(server) = &args.server {
        cluster.server = Some(server_url(server));
    }
    if let Some(path) = &args.certificate_authority {
        cluster.certificate_authority = Some(text(path));
        cluster.certificate_authority_data = None;
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

fn overlay_user(user: &mut AuthInfo, args: &ConnectionArgs) {
    if let Some(token) = &args.token {
        // kubectl's rule: a token given by flag wins over everything the kubeconfig says of this user.
        *user = AuthInfo {
            token: Some(token.expose().to_owned().into()),
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
        user.impersonate_groups = Some(args.impersonate_groups.clone());
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
mod tests {
    use std::fs;

    use super::*;

    const KUBECONFIG: &str = r#"
apiVersion: v1
kind: Config
current-context: practice
clusters:
- {name: one, cluster: {server: "https://one.example:6443"}}
- {name: two, cluster: {server: "https://two.example:6443"}}
users:
- {name: admin, user: {token: abc}}
contexts:
- {name: practice, context: {cluster: one, user: admin, namespace: cpd}}
- {name: broken, context: {cluster: gone, user: admin}}
"#;

    async fn load_with(change: impl FnOnce(&mut ConnectionArgs)) -> Result<Source, ClusterError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config");
        fs::write(&path, KUBECONFIG).unwrap();
        let mut args = ConnectionArgs {
            kubeconfig: Some(path),
            ..ConnectionArgs::default()
        };
        change(&mut args);
        load(&args).await
    }

    fn message(loaded: Result<Source, ClusterError>) -> String {
        match loaded {
            Ok(_) => panic!("loaded"),
            Err(error) => error.to_string(),
        }
    }

    #[tokio::test]
    async fn the_context_gives_server_and_namespace_and_flags_win() {
        let source = load_with(|_| ()).await.unwrap();
        assert_eq!(source.config.cluster_url, "https://one.example:6443/");
        assert_eq!(source.config.default_namespace, "cpd");

        let source = load_with(|args| {
            args.cluster = Some("two".into());
            args.namespace = Some("other".into());
        })
        .await
        .unwrap();
        assert_eq!(source.config.cluster_url, "https://two.example:6443/");
        assert_eq!(source.config.default_namespace, "other");

        let source = load_with(|args| args.server = Some("three.example:443".into()))
            .await
            .unwrap();
        assert_eq!(source.config.cluster_url, "https://three.example:443/");
    }

    #[tokio::test]
    async fn streams_are_not_cut_and_requests_not_repeated_by_the_library() {
        let config = load_with(|_| ()).await.unwrap().config;
        assert_eq!(config.read_timeout, None);
        assert_eq!(config.write_timeout, None);
        assert!(!config.default_retry);
    }

    #[tokio::test]
    async fn a_wrong_context_cluster_or_user_is_named_with_what_there_is() {
        let text = message(load_with(|args| args.context = Some("prod".into())).await);
        assert!(
            text.contains("\"prod\"") && text.contains("practice, broken"),
            "{text}"
        );
        let text = message(load_with(|args| args.context = Some("broken".into())).await);
        assert!(
            text.contains("\"gone\"") && text.contains("one, two"),
            "{text}"
        );
        let text = message(load_with(|args| args.user = Some("root".into())).await);
        assert!(
            text.contains("\"root\"") && text.contains("admin"),
            "{text}"
        );
    }

    #[tokio::test]
    async fn a_certificate_authority_and_no_verification_contradict_each_other() {
        let text = message(
            load_with(|args| {
                args.insecure_skip_tls_verify = Some(true);
                args.certificate_authority = Some("ca.crt".into());
            })
            .await,
        );
        assert!(text.contains("--insecure-skip-tls-verify"), "{text}");
    }
}
