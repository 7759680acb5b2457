//! What the installation keeps secret, made anew for each cluster: passwords, keys and certificates.

use base64::{Engine, prelude::BASE64_STANDARD};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

/// Passwords and keys. Not `Debug`: they must not end up in a log.
pub(super) struct Credentials {
    /// Of the store's database user. It holds every character that breaks careless quoting.
    pub(super) database_password: String,
    /// Of the entry for Redis, which comes first in the store secret.
    pub(super) redis_password: String,
    /// Of etcd's user `root`.
    pub(super) etcd_password: String,
    /// The key under which the store encrypts authorization data.
    pub(super) authorization_key: String,
    /// A token for each user who owns service instances.
    pub(super) user_tokens: [String; 2],
}

impl Credentials {
    pub(super) fn generate() -> Self {
        Self {
            database_password: format!("{} it's \"$HOME\" \\ {}", random(6), random(6)),
            redis_password: random(24),
            etcd_password: random(24),
            authorization_key: random(32),
            user_tokens: [random(32), random(32)],
        }
    }
}

/// The token of a cluster's service broker.
pub(super) fn service_token() -> String {
    random(32)
}

/// That many random bytes, as text that every shell and URL leaves alone.
fn random(bytes: usize) -> String {
    let bytes: Vec<u8> = (0..bytes).map(|_| rand::random()).collect();
    base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// Data of a secret, encoded as the API holds it.
pub(super) fn encoded(data: &[(&str, &str)]) -> serde_json::Value {
    let encode =
        |(key, value): &(&str, &str)| ((*key).to_owned(), BASE64_STANDARD.encode(value).into());
    serde_json::Value::Object(data.iter().map(encode).collect())
}

/// A certificate authority of the installation.
pub(super) struct Authority {
    pub(super) certificate_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key.
pub(super) struct Certificate {
    pub(super) certificate_pem: String,
    pub(super) key_pem: String,
}

impl Authority {
    pub(super) fn generate(name: &str) -> Result<Self, rcgen::Error> {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let certificate_pem = parameters.self_signed(&key)?.pem();
        Ok(Self {
            certificate_pem,
            issuer: Issuer::new(parameters, key),
        })
    }

    /// A certificate for a server of these names; clients of the same installation may show it too.
    pub(super) fn issue(
        &self,
        common_name: &str,
        names: Vec<String>,
    ) -> Result<Certificate, rcgen::Error> {
        let mut parameters = CertificateParams::new(names)?;
        parameters
            .distinguished_name
            .push(DnType::CommonName, common_name);
        parameters.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let key = KeyPair::generate()?;
        Ok(Certificate {
            certificate_pem: parameters.signed_by(&key, &self.issuer)?.pem(),
            key_pem: key.serialize_pem(),
        })
    }
}
