//! TLS as kubectl speaks it, with rustls.
//!
//! rustls refuses certificates that Go's library takes: a serving certificate that is also a CA, as `openssl req -x509`
//! makes them, and client certificates of X.509 version 1. It takes others that Go's refuses, such as those of an expired
//! CA. The [`verifier`] and the [`identity`] here follow Go.

mod anchors;
mod identity;
mod pem;
mod verifier;

use std::sync::{Arc, PoisonError, RwLock};

use rustls::ClientConfig;
use rustls::client::ResolvesClientCert;
use rustls::crypto::{CryptoProvider, ring};
use rustls::sign::CertifiedKey;

use anchors::Anchors;
pub(super) use anchors::AuthorityError;
pub(super) use identity::{IdentityError, identity};
pub(super) use verifier::Distrust;
use verifier::{NoVerifier, Verifier};

/// Whose certificates the API server may have.
pub(super) enum Trust {
    /// Those of the operating system.
    System,
    /// Those in this PEM.
    Authorities(Vec<u8>),
    /// Anyone's: nothing is checked.
    Anyone,
}

/// The client certificate that new connections present; a credential plugin may give another one at any time.
#[derive(Debug, Clone, Default)]
pub(super) struct Presented(Arc<RwLock<Option<Arc<CertifiedKey>>>>);

impl Presented {
    pub(super) fn set(&self, identity: Option<Arc<CertifiedKey>>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = identity;
    }
}

impl ResolvesClientCert for Presented {
    fn resolve(
        &self,
        _issuers: &[&[u8]],
        schemes: &[rustls::SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        let identity = self
            .0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()?;
        // A server that could not verify the signature is better asked without a certificate.
        identity
            .key
            .choose_scheme(schemes)
            .is_some()
            .then_some(identity)
    }

    fn has_certs(&self) -> bool {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .is_some()
    }
}

/// The TLS configuration for connections to the API server.
pub(super) fn client_config(
    trust: Trust,
    presented: Presented,
) -> Result<ClientConfig, SetupError> {
    let provider = provider();
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .dangerous();
    let builder = match trust {
        Trust::Anyone => builder.with_custom_certificate_verifier(Arc::new(NoVerifier(provider))),
        Trust::System => {
            builder.with_custom_certificate_verifier(Arc::new(Verifier::of_system(&provider)))
        }
        Trust::Authorities(pem) => {
            let verifier = Verifier::new(Anchors::read(&pem)?, &provider)?;
            builder.with_custom_certificate_verifier(Arc::new(verifier))
        }
    };
    Ok(builder.with_client_cert_resolver(Arc::new(presented)))
}

fn provider() -> Arc<CryptoProvider> {
    CryptoProvider::get_default()
        .cloned()
        .unwrap_or_else(|| Arc::new(ring::default_provider()))
}

/// Why no connection can be set up.
#[derive(Debug, thiserror::Error)]
pub(super) enum SetupError {
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    #[error(transparent)]
    Tls(#[from] rustls::Error),
}
