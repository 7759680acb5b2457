//! The certificates that are trusted, and what each of them may sign.

use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, UnixTime};
use x509_parser::prelude::{FromDer as _, X509Certificate, X509Version};

use super::pem;

/// Why a certificate authority cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}", if *.0 { "the certificates in it cannot be read" } else { "there is no certificate in PEM in it" })]
pub(in super::super) struct AuthorityError(
    /// Whether there was anything that claims to be a certificate.
    bool,
);

/// Trusted certificates.
#[derive(Debug, Default)]
pub(super) struct Anchors(Vec<CertificateDer<'static>>);

impl Anchors {
    /// Reads certificates in PEM. Those that cannot be read are passed over, as long as one can.
    pub(super) fn read(pem: &[u8]) -> Result<Self, AuthorityError> {
        let blocks: Vec<_> = pem::blocks(pem)
            .into_iter()
            .filter(|block| block.label == "CERTIFICATE" && !block.headers)
            .collect();
        let found = !blocks.is_empty();
        let readable = blocks.into_iter().filter_map(|block| {
            let whole = parsed(&block.der).is_some();
            whole.then(|| CertificateDer::from(block.der.to_vec()))
        });
        let anchors = Self(readable.collect());
        if anchors.0.is_empty() {
            return Err(AuthorityError(found));
        }
        Ok(anchors)
    }

    /// What the operating system trusts.
    pub(super) fn of_system() -> Self {
        Self(rustls_native_certs::load_native_certs().certs)
    }

    /// Whether exactly this certificate is trusted.
    pub(super) fn contains(&self, certificate: &CertificateDer<'_>) -> bool {
        self.0
            .iter()
            .any(|anchor| anchor.as_ref() == certificate.as_ref())
    }

    /// Those that may sign others at this time, parsed.
    pub(super) fn signers(&self, now: UnixTime) -> impl Iterator<Item = X509Certificate<'_>> {
        let certificates = self.0.iter().filter_map(|anchor| parsed(anchor));
        certificates.filter(move |anchor| is_valid(anchor, now) && may_sign(anchor))
    }

    /// The same, as rustls wants them.
    pub(super) fn roots(&self, now: UnixTime) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        for anchor in &self.0 {
            if parsed(anchor).is_some_and(|anchor| is_valid(&anchor, now) && may_sign(&anchor)) {
                // What rustls cannot read signs nothing.
                let _ = roots.add(anchor.clone());
            }
        }
        roots
    }

    /// When the last of those that may sign expired, if none is valid any more.
    pub(super) fn expired(&self, now: UnixTime) -> Option<String> {
        let signers: Vec<_> = self
            .0
            .iter()
            .filter_map(|anchor| parsed(anchor))
            .filter(may_sign)
            .collect();
        let all_over = signers
            .iter()
            .all(|anchor| anchor.validity().not_after.timestamp() < seconds(now));
        let last = signers
            .iter()
            .max_by_key(|anchor| anchor.validity().not_after.timestamp())?;
        let last = last.validity().not_after.timestamp();
        let last = jiff::Timestamp::from_second(last).ok()?;
        all_over.then(|| last.to_string())
    }
}

pub(super) fn parsed(der: &[u8]) -> Option<X509Certificate<'_>> {
    let (rest, certificate) = X509Certificate::from_der(der).ok()?;
    rest.is_empty().then_some(certificate)
}

pub(super) fn is_valid(certificate: &X509Certificate<'_>, now: UnixTime) -> bool {
    let validity = certificate.validity();
    (validity.not_before.timestamp()..=validity.not_after.timestamp()).contains(&seconds(now))
}

/// Go's rule: certificates of version 1 cannot say what they are for, those of version 3 must say that they are a CA.
pub(super) fn may_sign(certificate: &X509Certificate<'_>) -> bool {
    let usage = certificate.key_usage().ok().flatten();
    let is_ca = match certificate.basic_constraints() {
        Ok(Some(constraints)) => constraints.value.ca,
        Ok(None) => certificate.version() != X509Version::V3,
        Err(_) => false,
    };
    is_ca && usage.is_none_or(|usage| usage.value.key_cert_sign())
}

fn seconds(now: UnixTime) -> i64 {
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}
