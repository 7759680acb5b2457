//! The client configuration for one cluster, user and namespace.
//!
//! Not by kube's own loader: on its way that reads `NO_PROXY`, by rules of its own, and fails for what kubectl and curl
//! read, such as a comma at the end.

use kube::Config;
use kube::config::{AuthInfo, Cluster as ClusterEntry, ExecAuthCluster, KubeconfigError};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use secrecy::{ExposeSecret as _, SecretString};

use super::ClusterError;

/// Makes the configuration. Its proxy and time-outs are still to be set.
pub(super) fn of(
    mut cluster: ClusterEntry,
    mut user: AuthInfo,
    namespace: Option<String>,
) -> Result<Config, ClusterError> {
    let url = cluster.server.as_deref().unwrap_or_default();
    if url.is_empty() {
        return Err(ClusterError::Kubeconfig(KubeconfigError::MissingClusterUrl));
    }
    let mut config = Config::new(
        url.parse()
            .map_err(|error| ClusterError::Kubeconfig(KubeconfigError::ParseClusterUrl(error)))?,
    );
    config.default_namespace = namespace.unwrap_or_default();
    config.accept_invalid_certs = cluster.insecure_skip_tls_verify.unwrap_or(false);
    config.disable_compression = cluster.disable_compression.unwrap_or(false);
    config.tls_server_name = cluster
        .tls_server_name
        .clone()
        .filter(|name| !name.is_empty());

    remove_white_space(&mut cluster.certificate_authority_data);
    let shown_to_plugins = ExecAuthCluster::try_from(&cluster).map_err(ClusterError::Kubeconfig)?;
    let authority = &shown_to_plugins.certificate_authority_data;
    config.root_cert = authority.as_deref().map(certificates).transpose()?;
    if let Some(exec) = user.exec.as_mut().filter(|exec| exec.provide_cluster_info) {
        exec.cluster = Some(shown_to_plugins);
    }
    remove_white_space(&mut user.client_certificate_data);
    if let Some(key) = &user.client_key_data {
        let mut text = Some(key.expose_secret().to_owned());
        remove_white_space(&mut text);
        user.client_key_data = text.map(SecretString::from);
    }
    if let Some(token) = &user.token {
        user.token = Some(header_value(token)?);
    }
    config.auth_info = user;
    Ok(config)
}

/// kubeconfigs that were put together by hand have line breaks in their base64.
fn remove_white_space(base64: &mut Option<String>) {
    if let Some(text) = base64 {
        text.retain(|letter| !letter.is_ascii_whitespace());
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<Vec<u8>>, ClusterError> {
    let certificates: Vec<Vec<u8>> = CertificateDer::pem_slice_iter(pem)
        .map(|certificate| certificate.map(|certificate| certificate.to_vec()))
        .collect::<Result<_, _>>()
        .map_err(|error| ClusterError::Authority {
            why: error.to_string(),
        })?;
    if certificates.is_empty() {
        return Err(ClusterError::Authority {
            why: "there is none in it".to_owned(),
        });
    }
    Ok(certificates)
}

/// A token as a header can carry it: files and block scalars end with a line break. kube panics for any other.
fn header_value(token: &SecretString) -> Result<SecretString, ClusterError> {
    let text = token.expose_secret().trim();
    match http::HeaderValue::from_str(text) {
        Ok(_) => Ok(text.to_owned().into()),
        Err(_) => Err(ClusterError::InvalidToken),
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde_json::json;

    use super::*;

    const PEM: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";

    fn cluster(authority: Option<String>) -> ClusterEntry {
        ClusterEntry {
            server: Some("https://one.example:6443".to_owned()),
            certificate_authority_data: authority,
            ..ClusterEntry::default()
        }
    }

    #[test]
    fn base64_may_be_broken_into_lines() {
        let data = STANDARD.encode(PEM.repeat(2));
        let (first, second) = data.split_at(20);
        let broken = cluster(Some(format!("{first}\r\n  {second}\n")));
        let config = of(broken, AuthInfo::default(), None).unwrap();
        assert_eq!(config.root_cert, Some(vec![vec![0, 0, 0]; 2]));
        let config = of(cluster(None), AuthInfo::default(), None).unwrap();
        assert_eq!(config.root_cert, None, "the system's authorities count");
    }

    #[test]
    fn an_authority_without_certificates_is_an_error() {
        let nothing = cluster(Some(STANDARD.encode("certificates")));
        let error = of(nothing, AuthInfo::default(), None).unwrap_err();
        assert!(error.to_string().contains("there is none in it"), "{error}");
    }

    #[test]
    fn a_credential_plugin_learns_of_the_cluster_when_it_wants_to() {
        for wants in [true, false] {
            let exec = json!({"command": "login", "provideClusterInfo": wants});
            let user = AuthInfo {
                exec: Some(serde_json::from_value(exec).unwrap()),
                ..AuthInfo::default()
            };
            let config = of(cluster(None), user, None).unwrap();
            let told = config.auth_info.exec.unwrap().cluster;
            let server = told.and_then(|cluster| cluster.server);
            assert_eq!(server.is_some(), wants);
        }
    }

    #[test]
    fn a_cluster_needs_an_address() {
        let nowhere = ClusterEntry::default();
        assert!(of(nowhere, AuthInfo::default(), None).is_err());
    }
}
