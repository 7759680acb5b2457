//! Reading an encrypted file: what is stored is hashed on the way, in the same pass.

use std::io::{self, BufReader, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use age::DecryptError;
use age::stream::StreamReader;
use transfer_proof::{Hasher, Measured};

use super::Identities;

const BUFFER_BYTES: usize = 256 * 1024;

/// An encrypted file that is being read: yields its plaintext.
pub(crate) struct Decrypted {
    stream: StreamReader<BufReader<Stored>>,
    stored: Stored,
}

/// Why a file cannot be decrypted, and what was stored.
pub(crate) enum Broken {
    /// None of the keys is one that it was encrypted to.
    NoKey(Measured),
    /// It is not what age wrote.
    Damaged(String, Measured),
    /// The store could not be read.
    Unread(io::Error),
}

/// What is stored, shared by what decrypts it and what hashes the rest of it in the end.
#[derive(Clone)]
struct Stored(Arc<Mutex<Source>>);

struct Source {
    reader: Box<dyn Read + Send>,
    hasher: Hasher,
    /// An error of the store, as opposed to one of the content.
    failed: Option<io::Error>,
}

impl Decrypted {
    /// Begins to decrypt.
    pub(crate) fn new(
        reader: Box<dyn Read + Send>,
        identities: &Identities,
    ) -> Result<Self, Broken> {
        let stored = Stored(Arc::new(Mutex::new(Source {
            reader,
            hasher: Hasher::default(),
            failed: None,
        })));
        let buffered = BufReader::with_capacity(BUFFER_BYTES, stored.clone());
        match identities.decrypt(buffered) {
            Ok(stream) => Ok(Self { stream, stored }),
            Err(error) => {
                let measured = stored.finish().map_err(Broken::Unread)?;
                Err(match error {
                    DecryptError::NoMatchingKeys => Broken::NoKey(measured),
                    error => Broken::Damaged(error.to_string(), measured),
                })
            }
        }
    }

    /// What is stored, of which the rest is read; an error where the store failed, now or before.
    pub(crate) fn finish(self) -> io::Result<Measured> {
        self.stored.finish()
    }
}

impl Read for Decrypted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.read(buffer)
    }
}

impl Stored {
    fn source(&self) -> MutexGuard<'_, Source> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn finish(&self) -> io::Result<Measured> {
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut source = self.source();
        while source.failed.is_none() && source.read(&mut buffer)? > 0 {}
        match source.failed.take() {
            Some(error) => Err(error),
            None => Ok(source.hasher.measured()),
        }
    }
}

impl Read for Stored {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.source().read(buffer)
    }
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.reader.read(buffer) {
            Ok(read) => {
                self.hasher.update(&buffer[..read]);
                Ok(read)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                let told = io::Error::new(error.kind(), error.to_string());
                self.failed = Some(error);
                Err(told)
            }
        }
    }
}
