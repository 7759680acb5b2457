//! A store whose sets are encrypted on their way into it.

use std::fmt;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use age::stream::StreamWriter;
use transfer_proof::{Hasher, Measured};

use super::{Recipients, SUFFIX};
use crate::SetError;
use crate::error::OnPath as _;
use crate::store::{BegunFile, BegunSet, Encoded, Keep, Store};

/// age encrypts in chunks of this size, and adds a tag to each.
const CHUNK_BYTES: u64 = 64 << 10;
const TAG_BYTES: u64 = 16;
/// In front of them is a header, with some lines for each recipient. This is enough for 30 of them.
const MOST_HEADER_BYTES: u64 = 4 << 10;

/// A store in which new sets are encrypted.
#[derive(Debug)]
pub struct EncryptedStore<S> {
    store: S,
    recipients: Recipients,
}

/// A set that is being written, encrypted.
#[derive(Debug)]
pub struct EncryptedSet<B> {
    set: B,
    recipients: Recipients,
}

/// A file that is being written, encrypted.
pub struct EncryptedFile<F> {
    stream: StreamWriter<Hashed<F>>,
    name: String,
    path: PathBuf,
    /// Of what was written to it.
    bytes: u64,
}

/// Hashes what is stored.
struct Hashed<F> {
    file: F,
    hasher: Hasher,
}

impl<S> EncryptedStore<S> {
    /// Encrypts what goes into `store`, so that each of `recipients` can read it.
    pub fn new(store: S, recipients: Recipients) -> Self {
        Self { store, recipients }
    }

    fn wrap<B>(&self, set: B) -> EncryptedSet<B> {
        EncryptedSet {
            set,
            recipients: self.recipients.clone(),
        }
    }
}

impl<S: Store> Store for EncryptedStore<S> {
    type Set = S::Set;
    type Begun = EncryptedSet<S::Begun>;

    fn location(&self) -> &Path {
        self.store.location()
    }

    fn list(&self) -> io::Result<Vec<S::Set>> {
        self.store.list()
    }

    fn available_bytes(&self) -> Result<Option<u64>, SetError> {
        self.store.available_bytes()
    }

    fn stored_bytes(&self, bytes: u64) -> u64 {
        let tags = bytes.div_ceil(CHUNK_BYTES) * TAG_BYTES;
        self.store.stored_bytes(bytes + tags + MOST_HEADER_BYTES)
    }

    fn begin(&self, name: &str) -> Result<Self::Begun, SetError> {
        Ok(self.wrap(self.store.begin(name)?))
    }

    fn resume(&self, name: &str) -> Result<Self::Begun, SetError> {
        Ok(self.wrap(self.store.resume(name)?))
    }
}

impl<B: BegunSet> BegunSet for EncryptedSet<B> {
    type File = EncryptedFile<B::File>;

    fn location(&self) -> &Path {
        self.set.location()
    }

    fn begin_file(&self, name: &str) -> Result<Self::File, SetError> {
        let name = format!("{name}{SUFFIX}");
        let path = self.location().join(&name);
        let encryptor = self.recipients.encryptor();
        let encryptor = encryptor.map_err(io::Error::other).on("encrypt", &path)?;
        let file = Hashed {
            file: self.set.begin_file(&name)?,
            hasher: Hasher::default(),
        };
        Ok(EncryptedFile {
            stream: encryptor.wrap_output(file).on("write", &path)?,
            name,
            path,
            bytes: 0,
        })
    }

    fn read_back(&self, name: &str) -> io::Result<Box<dyn Read + Send>> {
        self.set.read_back(name)
    }

    fn hides_content(&self) -> bool {
        true
    }

    fn seal(&self, manifest: &[u8]) -> Result<(), SetError> {
        self.set.seal(manifest)
    }

    fn remove(&self, keep: Keep) {
        self.set.remove(keep);
    }
}

impl<F: BegunFile> BegunFile for EncryptedFile<F> {
    fn complete(self, bytes: u64) -> Result<Option<Encoded>, SetError> {
        let path = self.path;
        if self.bytes != bytes {
            return Err(SetError::Changed { path, bytes });
        }
        let Hashed { file, hasher } = self.stream.finish().on("write", &path)?;
        let measured: Measured = hasher.measured();
        file.complete(measured.bytes())?;
        Ok(Some(Encoded {
            name: self.name,
            measured,
        }))
    }
}

impl<F: BegunFile> Write for EncryptedFile<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.stream.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

impl<F> fmt::Debug for EncryptedFile<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EncryptedFile")
            .field("path", &self.path)
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

impl<F: Write> Write for Hashed<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
