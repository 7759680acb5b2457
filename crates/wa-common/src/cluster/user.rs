//! How the kubeconfig's user proves who it is, with kubectl's rules of what goes together and what comes first.

use std::path::Path;
use std::sync::Arc;

use http::HeaderValue;
use kube::config::{AuthInfo, AuthProviderConfig};
use rustls::sign::CertifiedKey;
use secrecy::{ExposeSecret as _, SecretString};

use super::ClusterError;
use super::credentials::{ClusterInfo, Plugin, TokenFile, VERSIONS, bearer};
use super::entries::Entries;
use super::kubeconfig::{AuthProvider, Exec, User};
use super::server_url::basic_header;
use super::tls;

/// What proves it: a certificate, and something in each request.
#[derive(Default)]
pub(super) struct Login {
    pub(super) identity: Option<Arc<CertifiedKey>>,
    pub(super) by: By,
}

/// What is put into each request.
#[derive(Default)]
pub(super) enum By {
    #[default]
    Nothing,
    Header(HeaderValue),
    TokenFile(TokenFile),
    Plugin(Box<Plugin>),
    /// A login provider that kube knows.
    Oidc(Box<AuthInfo>),
}

/// kubectl's rules, checked whether or not the credentials are used: they say that the kubeconfig is not as it was meant.
pub(super) fn check(entries: &Entries) -> Result<(), ClusterError> {
    let user = &entries.user;
    let problem = |what: &str| Err(entries.user_problem(what));
    if user.token.is_some() && (!user.username.is_empty() || user.password.is_some()) {
        return problem("both a token and a username are given; remove one of them");
    }
    if has_certificate(user) {
        if !user.client_certificate.is_empty() && !user.client_certificate_data.is_empty() {
            return problem(
                "client-certificate and client-certificate-data are both given, which kubectl refuses; remove one of them",
            );
        }
        if !user.client_key.is_empty() && user.client_key_data.is_some() {
            return problem(
                "client-key and client-key-data are both given, which kubectl refuses; remove one of them",
            );
        }
        if user.client_key.is_empty() && user.client_key_data.is_none() {
            return problem("there is a client certificate and no client-key or client-key-data");
        }
        for path in [&user.client_certificate, &user.client_key] {
            if !path.is_empty() {
                std::fs::File::open(path).map_err(|error| {
                    entries.user_problem(format!("cannot read {path}: {error}"))
                })?;
            }
        }
    }
    let impersonate = &user.impersonate;
    let without_user = !impersonate.uid.is_empty()
        || !impersonate.groups.is_empty()
        || !impersonate.extra.is_empty();
    if impersonate.user.is_empty() && without_user {
        return problem(
            "as-uid, as-groups and as-user-extra need `as`: name the user to impersonate",
        );
    }
    match &user.exec {
        Some(_) if user.auth_provider.is_some() => {
            problem("auth-provider and exec are both given; remove one of them")
        }
        Some(exec) => check_plugin(exec).map_err(|what| entries.user_problem(what)),
        None => Ok(()),
    }
}

fn check_plugin(exec: &Exec) -> Result<(), String> {
    if exec.command.is_empty() {
        return Err("exec names no command".to_owned());
    }
    if exec.api_version.is_empty() {
        return Err(format!(
            "exec has no apiVersion; most plugins speak {}",
            VERSIONS[0]
        ));
    }
    if exec.env.iter().any(|(name, _)| name.is_empty()) {
        return Err("exec has an entry in env without a name".to_owned());
    }
    let name_is_odd = |name: &str| name.contains(['=', '\0']);
    if exec.env.iter().any(|(name, _)| name_is_odd(name)) {
        return Err("exec has an entry in env whose name no variable can have".to_owned());
    }
    match exec.interactive_mode.as_str() {
        "Never" | "IfAvailable" | "Always" => Ok(()),
        // Version v1beta1 knew no other mode at first.
        "" if exec.api_version == VERSIONS[1] => Ok(()),
        "" => Err("exec has no interactiveMode: Never, IfAvailable or Always".to_owned()),
        other => Err(format!(
            "exec has the interactiveMode {other:?}, which is none of Never, IfAvailable and Always"
        )),
    }
}

fn has_certificate(user: &User) -> bool {
    !user.client_certificate.is_empty() || !user.client_certificate_data.is_empty()
}

/// What the user's entry gives. Without any credentials kubectl asks for a password; here it is an error.
pub(super) fn login(entries: &mut Entries, authority: &[u8]) -> Result<Login, ClusterError> {
    let identity = client_identity(entries)?;
    let by = by(entries, authority, identity.is_some())?;
    if identity.is_none() && matches!(by, By::Nothing) {
        let user = entries.context.user.clone();
        return Err(if entries.has_user || user.is_empty() {
            ClusterError::NoCredentials {
                user: entries.of_user(),
            }
        } else {
            ClusterError::UserNotThere { user }
        });
    }
    Ok(Login { identity, by })
}

fn client_identity(entries: &Entries) -> Result<Option<Arc<CertifiedKey>>, ClusterError> {
    let user = &entries.user;
    if !has_certificate(user) {
        return Ok(None);
    }
    let read = |path: &str| {
        std::fs::read(path)
            .map(zeroize::Zeroizing::new)
            .map_err(|error| entries.user_problem(format!("cannot read {path}: {error}")))
    };
    let certificate = match user.client_certificate.as_str() {
        "" => user.client_certificate_data.clone(),
        path => read(path)?.to_vec(),
    };
    let key = match &user.client_key_data {
        Some(pem) => zeroize::Zeroizing::new(pem.expose_secret().as_bytes().to_vec()),
        None => read(&user.client_key)?,
    };
    let identity = tls::identity(&certificate, &key);
    identity
        .map(Some)
        .map_err(|error| entries.user_problem(error))
}

/// client-go's order: a token file, a token, a password, and only without any of these and without a certificate a plugin.
fn by(entries: &mut Entries, authority: &[u8], has_identity: bool) -> Result<By, ClusterError> {
    let token = entries.user.token.as_ref().map(trimmed);
    let failed =
        |error: super::credentials::CredentialError| ClusterError::Entry(format!("{error}"));
    if !entries.user.token_file.is_empty() {
        let path = Path::new(&entries.user.token_file).to_owned();
        return TokenFile::open(path, token)
            .map(By::TokenFile)
            .map_err(failed);
    }
    if let Some(token) = token {
        return bearer(&token, "of the kubeconfig or of --token")
            .map(By::Header)
            .map_err(failed);
    }
    if !entries.user.username.is_empty() {
        let password = entries
            .user
            .password
            .as_ref()
            .map_or("", SecretString::expose_secret);
        let header = basic_header(&entries.user.username, password);
        return header
            .map(By::Header)
            .ok_or_else(|| entries.user_problem("username and password cannot be sent"));
    }
    if let Some(provider) = entries.user.auth_provider.take() {
        return login_provider(entries, &provider);
    }
    match entries.user.exec.take() {
        Some(exec) if !has_identity => {
            if !VERSIONS.contains(&exec.api_version.as_str()) {
                return Err(entries.user_problem(format!(
                    "exec has the apiVersion {:?}, which is none of {}; update the plugin and log in again",
                    exec.api_version,
                    VERSIONS.join(" and ")
                )));
            }
            let cluster = ClusterInfo::from_cluster(&entries.cluster, authority);
            Ok(By::Plugin(Box::new(Plugin::new(exec, cluster))))
        }
        _ => Ok(By::Nothing),
    }
}

/// Block scalars and variables end with a line break.
fn trimmed(token: &SecretString) -> SecretString {
    token.expose_secret().trim().to_owned().into()
}

/// kubectl once knew the login of some clouds; of those only OpenID Connect is left.
fn login_provider(entries: &Entries, provider: &AuthProvider) -> Result<By, ClusterError> {
    let advice = match provider.name.as_str() {
        "oidc" => {
            for needed in ["idp-issuer-url", "client-id"] {
                if !provider.config.contains_key(needed) {
                    return Err(entries.user_problem(format!("auth-provider oidc has no {needed}")));
                }
            }
            let config = provider.config.iter();
            let config =
                config.map(|(name, value)| (name.clone(), value.expose_secret().to_owned()));
            let auth_provider = AuthProviderConfig {
                name: provider.name.clone(),
                config: config.collect(),
                ..AuthProviderConfig::default()
            };
            return Ok(By::Oidc(Box::new(AuthInfo {
                auth_provider: Some(auth_provider),
                ..AuthInfo::default()
            })));
        }
        "gcp" => {
            "install gke-gcloud-auth-plugin and run `gcloud container clusters get-credentials` again"
        }
        "azure" => "install kubelogin and run `kubelogin convert-kubeconfig`",
        _ => "log in with a credential plugin (exec) or a token",
    };
    Err(entries.user_problem(format!(
        "the auth-provider {:?} has been removed from kubectl, and is not supported here either; {advice}",
        provider.name
    )))
}
