//! Checks the API server's certificate by Go's rules.
//!
//! rustls' own verifier decides first. What it refuses is looked at again where Go's rules differ:
//! - a certificate that is itself among the trusted ones is trusted, whatever signed it;
//! - a serving certificate may be one that could also sign others, or be for any purpose.
//!
//! Name, validity, purpose and signatures are checked in each case, the handshake's signature by rustls.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, SignatureScheme};
use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_NIST_EC_P521,
    OID_PKCS1_RSAENCRYPTION, OID_PKCS1_SHA256WITHRSA, OID_PKCS1_SHA384WITHRSA,
    OID_PKCS1_SHA512WITHRSA, OID_SIG_ECDSA_WITH_SHA256, OID_SIG_ECDSA_WITH_SHA384, OID_SIG_ED25519,
};
use x509_parser::prelude::X509Certificate;
use x509_parser::public_key::PublicKey;

use super::anchors::{Anchors, is_valid, may_sign, parsed};

/// More intermediate certificates than any public authority has.
const LONGEST_CHAIN: usize = 6;

/// Why a certificate is not trusted, where rustls has no words for it.
#[derive(Debug)]
pub(in super::super) struct Distrust(pub(in super::super) String);

impl fmt::Display for Distrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Distrust {}

fn distrust(why: impl Into<String>) -> Error {
    let why = Distrust(why.into());
    CertificateError::Other(OtherError(Arc::new(why))).into()
}

/// Trusts what its anchors have signed, and what they are.
#[derive(Debug)]
pub(super) struct Verifier {
    /// Absent where no anchor may sign.
    rustls: Option<Arc<dyn ServerCertVerifier>>,
    /// `None`: those of the system, read when they are needed.
    anchors: Option<Anchors>,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    pub(super) fn new(anchors: Anchors, provider: &Arc<CryptoProvider>) -> Result<Self, Error> {
        let roots = anchors.roots(UnixTime::now());
        let rustls = if roots.is_empty() {
            None
        } else {
            let builder =
                WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
            let verifier = builder
                .build()
                .map_err(|error| Error::General(error.to_string()))?;
            Some(verifier as Arc<dyn ServerCertVerifier>)
        };
        Ok(Self {
            rustls,
            anchors: Some(anchors),
            provider: Arc::clone(provider),
        })
    }

    /// Leaves the decision to the operating system.
    pub(super) fn of_system(provider: &Arc<CryptoProvider>) -> Self {
        let system = rustls_platform_verifier::Verifier::new(Arc::clone(provider));
        // A machine without any trusted certificate can still reach servers that are not checked or not https.
        let rustls = system
            .ok()
            .map(|system| Arc::new(system) as Arc<dyn ServerCertVerifier>);
        Self {
            rustls,
            anchors: None,
            provider: Arc::clone(provider),
        }
    }

    fn refused(
        &self,
        by_rustls: Error,
        server: &Certificates<'_>,
        name: &ServerName<'_>,
    ) -> Result<ServerCertVerified, Error> {
        let Some(certificate) = parsed(server.end_entity) else {
            return Err(by_rustls);
        };
        if let Some(algorithm) = unavailable(&certificate) {
            return Err(distrust(format!(
                "it has {algorithm}, which this program cannot verify; kubectl can: ask for a certificate with RSA of 2048 to 8192 bits, P-256, P-384 or Ed25519"
            )));
        }
        let system = self.anchors.is_none().then(Anchors::of_system);
        let Some(anchors) = self.anchors.as_ref().or(system.as_ref()) else {
            return Err(by_rustls);
        };
        let is_trusted = anchors.contains(server.end_entity)
            || is_for_go(&certificate) && server.leads_to(anchors, &certificate, LONGEST_CHAIN);
        if !is_trusted {
            return Err(match anchors.expired(server.now) {
                Some(when) => distrust(format!(
                    "the certificate authority to check it by has expired ({when})"
                )),
                // rustls says what such a certificate must not be used for, which is not why it is not trusted.
                None if is_for_go(&certificate) => CertificateError::UnknownIssuer.into(),
                None => by_rustls,
            });
        }
        if !is_valid(&certificate, server.now) {
            return Err(expired_or_not_yet(&certificate, server.now));
        }
        let purposes = certificate.extended_key_usage().ok().flatten();
        if purposes.is_some_and(|purposes| !purposes.value.server_auth && !purposes.value.any) {
            return Err(CertificateError::InvalidPurpose.into());
        }
        verify_server_name(&ParsedCertificate::try_from(server.end_entity)?, name)?;
        Ok(ServerCertVerified::assertion())
    }
}

/// What a server presents, and when.
struct Certificates<'a> {
    end_entity: &'a CertificateDer<'a>,
    intermediates: &'a [CertificateDer<'a>],
    now: UnixTime,
}

impl Certificates<'_> {
    /// Whether an anchor signed it, or one of the intermediate certificates that an anchor leads to.
    fn leads_to(&self, anchors: &Anchors, certificate: &X509Certificate<'_>, left: usize) -> bool {
        if anchors
            .signers(self.now)
            .any(|anchor| signed(certificate, &anchor))
        {
            return true;
        }
        let mut issuers = self.intermediates.iter().filter_map(|one| parsed(one));
        left > 0
            && issuers.any(|issuer| {
                issuer.is_ca()
                    && may_sign(&issuer)
                    && is_valid(&issuer, self.now)
                    && signed(certificate, &issuer)
                    && self.leads_to(anchors, &issuer, left - 1)
            })
    }
}

/// Whether `issuer` signed `certificate`, by an algorithm that is still trusted. Constraints on names or on the length of
/// the chain are left to rustls: an issuer that has any is not taken here.
fn signed(certificate: &X509Certificate<'_>, issuer: &X509Certificate<'_>) -> bool {
    const TRUSTED: [&x509_parser::oid_registry::Oid<'static>; 6] = [
        &OID_PKCS1_SHA256WITHRSA,
        &OID_PKCS1_SHA384WITHRSA,
        &OID_PKCS1_SHA512WITHRSA,
        &OID_SIG_ECDSA_WITH_SHA256,
        &OID_SIG_ECDSA_WITH_SHA384,
        &OID_SIG_ED25519,
    ];
    let path_is_free = match issuer.basic_constraints() {
        Ok(Some(constraints)) => constraints.value.path_len_constraint.is_none(),
        Ok(None) => true,
        Err(_) => false,
    };
    path_is_free
        && matches!(issuer.name_constraints(), Ok(None))
        && certificate.issuer().as_raw() == issuer.subject().as_raw()
        && TRUSTED.contains(&&certificate.signature_algorithm.algorithm)
        && certificate
            .verify_signature(Some(issuer.public_key()))
            .is_ok()
}

/// Whether rustls refuses the certificate for what it may be used for, and Go's library does not.
fn is_for_go(certificate: &X509Certificate<'_>) -> bool {
    let purposes = certificate.extended_key_usage().ok().flatten();
    certificate.is_ca() || purposes.is_some_and(|purposes| purposes.value.any)
}

fn expired_or_not_yet(certificate: &X509Certificate<'_>, now: UnixTime) -> Error {
    let expired = u64::try_from(certificate.validity().not_after.timestamp())
        .is_ok_and(|end| end < now.as_secs());
    if expired {
        CertificateError::Expired.into()
    } else {
        CertificateError::NotValidYet.into()
    }
}

/// The name of the key's kind, where rustls with ring has none of it.
fn unavailable(certificate: &X509Certificate<'_>) -> Option<String> {
    let key = certificate.public_key();
    let kind = &key.algorithm.algorithm;
    if *kind == OID_PKCS1_RSAENCRYPTION {
        let Ok(PublicKey::RSA(rsa)) = key.parsed() else {
            return Some("an RSA key that cannot be read".to_owned());
        };
        let bits = rsa.key_size();
        return (!(2048..=8192).contains(&bits)).then(|| format!("an RSA key of {bits} bits"));
    }
    if *kind == OID_KEY_TYPE_EC_PUBLIC_KEY {
        let curve = key
            .algorithm
            .parameters
            .as_ref()
            .and_then(|any| any.as_oid().ok())?;
        if curve == OID_EC_P256 || curve == OID_NIST_EC_P384 {
            return None;
        }
        let name = if curve == OID_NIST_EC_P521 {
            "P-521".to_owned()
        } else {
            curve.to_id_string()
        };
        return Some(format!("an elliptic-curve key on {name}"));
    }
    (*kind != OID_SIG_ED25519).then(|| format!("a key of the kind {}", kind.to_id_string()))
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let by_rustls = match &self.rustls {
            Some(rustls) => {
                rustls.verify_server_cert(end_entity, intermediates, name, ocsp_response, now)
            }
            None => Err(CertificateError::UnknownIssuer.into()),
        };
        by_rustls.or_else(|error| {
            let server = Certificates {
                end_entity,
                intermediates,
                now,
            };
            self.refused(error, &server, name)
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
            .map_err(|error| named(error, certificate))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
            .map_err(|error| named(error, certificate))
    }

    /// P-521 is asked for although it cannot be verified: else the server breaks off, and nobody learns why.
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        let mut schemes = algorithms.supported_schemes();
        if !schemes.contains(&SignatureScheme::ECDSA_NISTP521_SHA512) {
            schemes.push(SignatureScheme::ECDSA_NISTP521_SHA512);
        }
        schemes
    }
}

fn named(error: Error, certificate: &CertificateDer<'_>) -> Error {
    match parsed(certificate).as_ref().and_then(unavailable) {
        Some(algorithm) => distrust(format!(
            "it has {algorithm}, which this program cannot verify"
        )),
        None => error,
    }
}

/// Takes any certificate, for `insecure-skip-tls-verify`, of any algorithm.
#[derive(Debug)]
pub(super) struct NoVerifier(pub(super) Arc<CryptoProvider>);

impl ServerCertVerifier for NoVerifier {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let mut schemes = self.0.signature_verification_algorithms.supported_schemes();
        // Whatever the server signs with is taken.
        schemes.extend([
            SignatureScheme::ECDSA_NISTP521_SHA512,
            SignatureScheme::ED448,
            SignatureScheme::RSA_PKCS1_SHA1,
            SignatureScheme::ECDSA_SHA1_Legacy,
        ]);
        schemes
    }
}
