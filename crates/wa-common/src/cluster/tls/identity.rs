//! The client's certificate and key.

use std::sync::Arc;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SigningKey};
use x509_parser::public_key::PublicKey;

use super::pem::{self, Block};
use super::{anchors, provider};

/// Why a client certificate cannot be used. Nothing of the key is shown.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(in super::super) enum IdentityError {
    #[error("there is no certificate in PEM in the client certificate")]
    NoCertificate,
    #[error("there is no private key in PEM in the client key")]
    NoKey,
    #[error("the client certificate cannot be read")]
    Certificate,
    #[error(
        "the client key is encrypted, which kubectl cannot use either; decrypt it with `openssl pkey -in KEY -out NEW`"
    )]
    Encrypted,
    #[error("the client key cannot be read")]
    Key,
    #[error(
        "the client key is {0}, which this program cannot use (kubectl can); ask for a certificate with RSA of 2048 to 4096 bits, P-256, P-384 or Ed25519"
    )]
    Unavailable(String),
    #[error("the client key does not belong to the client certificate")]
    Mismatch,
}

/// Certificates, the client's first, and the key, both in PEM.
pub(in super::super) fn identity(
    certificates: &[u8],
    key: &[u8],
) -> Result<Arc<CertifiedKey>, IdentityError> {
    let chain: Vec<CertificateDer<'static>> = pem::blocks(certificates)
        .into_iter()
        .filter(|block| block.label == "CERTIFICATE")
        .map(|block| block.der.to_vec().into())
        .collect();
    let own = chain.first().ok_or(IdentityError::NoCertificate)?;
    let own = anchors::parsed(own).ok_or(IdentityError::Certificate)?;
    let blocks = pem::blocks(key);
    let key = blocks
        .iter()
        .find(|block| block.label == "PRIVATE KEY" || block.label.ends_with(" PRIVATE KEY"))
        .ok_or(IdentityError::NoKey)?;
    if key.headers || key.label == "ENCRYPTED PRIVATE KEY" {
        return Err(IdentityError::Encrypted);
    }
    let Some(signing) = load(key) else {
        return Err(match unavailable(&own) {
            Some(kind) => IdentityError::Unavailable(kind),
            None => IdentityError::Key,
        });
    };
    // Not by rustls, which reads no certificates of version 1.
    if signing
        .public_key()
        .is_some_and(|public| public.as_ref() != own.public_key().raw)
    {
        return Err(IdentityError::Mismatch);
    }
    Ok(Arc::new(CertifiedKey::new(chain, signing)))
}

/// The label does not always say which form the key has.
fn load(key: &Block) -> Option<Arc<dyn SigningKey>> {
    let der = || key.der.to_vec();
    let forms = [
        PrivateKeyDer::Pkcs8(der().into()),
        PrivateKeyDer::Pkcs1(der().into()),
        PrivateKeyDer::Sec1(der().into()),
    ];
    let provider = provider();
    forms
        .into_iter()
        .find_map(|form| provider.key_provider.load_private_key(form).ok())
}

/// What the certificate says of its key, where ring has none of the kind.
fn unavailable(certificate: &x509_parser::prelude::X509Certificate<'_>) -> Option<String> {
    match certificate.public_key().parsed() {
        Ok(PublicKey::RSA(rsa)) if (2048..=4096).contains(&rsa.key_size()) => None,
        Ok(PublicKey::RSA(rsa)) => Some(format!("an RSA key of {} bits", rsa.key_size())),
        Ok(PublicKey::EC(point)) => match point.key_size() {
            256 | 384 => None,
            // The x-coordinate of P-521 is written in whole bytes.
            521..=528 => Some("an elliptic-curve key on P-521".to_owned()),
            bits => Some(format!("an elliptic-curve key of {bits} bits")),
        },
        _ => None,
    }
}
