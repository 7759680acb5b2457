//! Proof, as a value, that what has arrived is what was sent.
//!
//! A size and a hash are a number and a text: where a function takes those, nothing keeps a caller from giving it the ones
//! that it expects instead of the ones that it has. So what completes a file takes a [`Proof`], and there are two ways to
//! get one. Content that came from somewhere else is hashed while it arrives, by a [`Hasher`], and its [`Measured`] size
//! and hash are [compared](Measured::prove) with the hash that the sender reports. Content that is made
//! here is [hashed as a whole](Proof::of_own). A proof cannot be put together from parts, copied, or read from a file.
//!
//! This is a crate of its own because both sides need the type and neither may know the other: what moves data
//! (`kube-transfer`, which is of use without backups) makes proofs, and what keeps data (`backup-set`, which knows no
//! Kubernetes) asks for them. A trait in either of them could be implemented by anything.
//!
//! ```
//! use transfer_proof::Hasher;
//!
//! let mut hasher = Hasher::default();
//! hasher.update(b"what has ");
//! hasher.update(b"arrived");
//! let reported = "db51cfff1f9c8d5f1ba35c3f5e0db3a9e1a5b6f1d13ac42a4b5f0f3b9b4f0f00".parse()?;
//! // Not what was sent: no proof.
//! assert!(hasher.measured().prove(reported).is_err());
//! # Ok::<(), transfer_proof::InvalidDigest>(())
//! ```
//!
//! What was measured and not compared is none:
//!
//! ```compile_fail,E0423
//! # use transfer_proof::{Hasher, Proof};
//! let proof = Proof(Hasher::default().measured());
//! ```

mod digest;

use std::fmt;

use sha2::{Digest as _, Sha256};
use thiserror::Error;

pub use digest::{InvalidDigest, Sha256Digest};

/// Counts and hashes content, piece by piece.
#[derive(Clone, Default)]
pub struct Hasher {
    bytes: u64,
    hash: Sha256,
}

impl Hasher {
    /// Takes the next bytes.
    pub fn update(&mut self, data: &[u8]) {
        self.hash.update(data);
        self.bytes += data.len() as u64;
    }

    /// What it has taken so far.
    pub fn measured(&self) -> Measured {
        Measured {
            bytes: self.bytes,
            sha256: <[u8; 32]>::from(self.hash.clone().finalize()).into(),
        }
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hasher")
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

/// Size and hash of content that was seen. Only a [`Hasher`] makes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measured {
    bytes: u64,
    sha256: Sha256Digest,
}

impl Measured {
    /// How many bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Their SHA-256.
    pub fn sha256(&self) -> Sha256Digest {
        self.sha256
    }

    /// The proof that this is what was sent; an error where the sender's hash is another.
    pub fn prove(self, reported: Sha256Digest) -> Result<Proof, Differs> {
        if self.sha256 == reported {
            Ok(Proof(self))
        } else {
            Err(Differs {
                reported,
                computed: self.sha256,
            })
        }
    }
}

/// Content that arrived is not the content that was sent, or not yet all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("what has arrived has the SHA-256 {computed}, what was sent {reported}")]
pub struct Differs {
    /// The sender's.
    pub reported: Sha256Digest,
    /// That of what is here.
    pub computed: Sha256Digest,
}

/// Proof that content is here as it was sent.
#[derive(Debug)]
pub struct Proof(Measured);

impl Proof {
    /// Of content that is made here, so that there is no sender to ask.
    pub fn of_own(content: &[u8]) -> Self {
        let mut hasher = Hasher::default();
        hasher.update(content);
        Self(hasher.measured())
    }

    /// How many bytes.
    pub fn bytes(&self) -> u64 {
        self.0.bytes
    }

    /// Their SHA-256.
    pub fn sha256(&self) -> Sha256Digest {
        self.0.sha256
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn pieces_are_measured_as_the_whole() {
        let mut hasher = Hasher::default();
        assert_eq!(hasher.measured().sha256().to_string(), EMPTY);
        hasher.update(b"a");
        hasher.update(b"");
        hasher.update(b"bc");
        let measured = hasher.measured();
        assert_eq!(measured.bytes(), 3);
        assert_eq!(measured.sha256().to_string(), ABC);
    }

    #[test]
    fn only_the_hash_of_what_is_here_proves_it() {
        let mut hasher = Hasher::default();
        hasher.update(b"abc");
        let reported = EMPTY.parse().unwrap();
        let differs = hasher.measured().prove(reported).unwrap_err();
        assert_eq!(differs.reported, reported);
        assert_eq!(differs.computed.to_string(), ABC);
        let proof = hasher.measured().prove(ABC.parse().unwrap()).unwrap();
        assert_eq!((proof.bytes(), proof.sha256().to_string()), (3, ABC.into()));
    }

    #[test]
    fn what_is_made_here_is_hashed_here() {
        let proof = Proof::of_own(b"abc");
        assert_eq!((proof.bytes(), proof.sha256().to_string()), (3, ABC.into()));
    }
}
