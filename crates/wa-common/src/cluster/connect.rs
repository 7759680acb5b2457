//! Makes a client of what the kubeconfig and the flags say.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use kube::client::ConfigExt as _;
use kube::{Client, Config};
use rustls::client::Resumption;
use tower::Layer as _;

use super::config::Connection;
use super::credentials::{Credentials, PluginCredentials};
use super::tls::{Presented, Trust, client_config};
use super::transport::{Pool, Route, Transport};
use super::user::By;

/// A client, and the credentials it sends. The error is reported as the reason why there is no connection.
pub(super) fn client(
    connection: Connection,
    program: &str,
    connect_timeout: Option<Duration>,
) -> Result<(Client, Arc<Credentials>), String> {
    let presented = Presented::default();
    presented.set(connection.login.identity);
    let (trust, server_name) = match connection.tls {
        Some(settings) => (settings.trust, settings.server_name),
        // Only for a proxy with TLS.
        None => (Trust::System, None),
    };
    let mut tls = client_config(trust, presented.clone())
        .map_err(|error| format!("{error}; check certificate-authority in the kubeconfig"))?;
    if matches!(connection.login.by, By::Plugin(_)) {
        // A resumed session stays that of the certificate it was opened with.
        tls.resumption = Resumption::disabled();
    }
    let pool = Pool::new(Route {
        tls,
        server_name,
        proxy: connection.proxy,
        connect_timeout,
    });
    let mut provider = None;
    let credentials = match connection.login.by {
        By::Nothing => connection
            .server
            .basic
            .clone()
            .map_or(Credentials::None, Credentials::Fixed),
        By::Header(header) => Credentials::Fixed(header),
        By::TokenFile(file) => Credentials::File(file),
        By::Plugin(plugin) => {
            let pool = pool.clone();
            let changed = Box::new(move || pool.renew());
            let credentials = PluginCredentials::new(*plugin, presented, changed);
            Credentials::Plugin(Box::new(credentials))
        }
        By::Oidc(auth_info) => {
            let mut config = Config::new(connection.server.url.clone());
            config.auth_info = *auth_info;
            let layer = config.auth_layer();
            provider = layer.map_err(
                |_| "the auth-provider oidc of the kubeconfig user cannot be used; log in again",
            )?;
            Credentials::None
        }
    };
    let agent = HeaderValue::try_from(user_agent(program)).map_err(|error| error.to_string())?;
    let credentials = Arc::new(credentials);
    let transport = Transport::new(
        connection.server.url,
        connection.impersonation,
        agent,
        Arc::clone(&credentials),
        pool,
    );
    let client = match provider {
        Some(layer) => Client::new(layer.layer(transport), connection.namespace),
        None => Client::new(transport, connection.namespace),
    };
    Ok((client, credentials))
}

/// Such as `kubectl-wa-backup/0.1.0 (linux/amd64)`: the platform in Go's words, as kubectl tells its own.
fn user_agent(program: &str) -> String {
    let os = match std::env::consts::OS {
        "macos" => "darwin",
        other => other,
    };
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "powerpc64" if cfg!(target_endian = "little") => "ppc64le",
        other => other,
    };
    format!("{program} ({os}/{architecture})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_and_platform_are_reported_as_kubectl_tells_its_own() {
        let agent = user_agent("kubectl-wa-backup/1.2.3");
        assert!(agent.starts_with("kubectl-wa-backup/1.2.3 ("), "{agent}");
        if cfg!(all(target_os = "linux", target_arch = "x86_64")) {
            assert!(agent.ends_with("(linux/amd64)"), "{agent}");
        }
    }
}
