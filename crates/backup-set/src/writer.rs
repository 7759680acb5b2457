//! Writing a set so that it is either whole or not there, whatever store it is in.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use transfer_proof::{Hasher, Proof, Sha256Digest};

use crate::error::OnPath as _;
use crate::store::{BegunFile as _, BegunSet, Encoded, Keep, LocalSet, Store};
use crate::{
    BegunDirectory, FileRecord, FileRole, MANIFEST_FILE, Manifest, PlaintextRecord, SetError,
};

const BUFFER_BYTES: usize = 256 * 1024;

/// A set that is being written. Dropped before [`SetWriter::seal`], it removes itself.
#[derive(Debug)]
pub struct SetWriter<B: BegunSet = BegunDirectory> {
    set: B,
    keep: Keep,
    sealed: bool,
}

/// A file of a set that is being written.
#[derive(Debug)]
pub struct PartialFile<B: BegunSet = BegunDirectory> {
    file: B::File,
    set: PathBuf,
    name: &'static str,
    role: FileRole,
}

/// A file of a set that is complete and there for good: its [`Proof`] is in here.
#[derive(Debug)]
pub struct CompletedFile {
    /// The set that it is of.
    set: PathBuf,
    name: &'static str,
    role: FileRole,
    proof: Proof,
    /// What it is stored as, where that is not what was written.
    encoded: Option<Encoded>,
}

impl CompletedFile {
    /// Its size in bytes.
    pub fn bytes(&self) -> u64 {
        self.proof.bytes()
    }

    /// The name that it is stored under, and its size and hash there.
    fn stored(&self) -> (&str, u64, Sha256Digest) {
        match &self.encoded {
            Some(Encoded { name, measured }) => (name, measured.bytes(), measured.sha256()),
            None => (self.name, self.proof.bytes(), self.proof.sha256()),
        }
    }

    /// What the manifest says of it.
    pub(crate) fn into_record(self) -> FileRecord {
        let (bytes, sha256) = (self.proof.bytes(), self.proof.sha256().to_string());
        let stored = self.encoded;
        let of_stored = stored.as_ref().map(|stored| stored.measured);
        FileRecord {
            bytes: of_stored.map_or(bytes, |stored| stored.bytes()),
            sha256: of_stored.map_or_else(|| sha256.clone(), |stored| stored.sha256().to_string()),
            name: stored.map_or_else(|| self.name.to_owned(), |stored| stored.name),
            role: self.role,
            plaintext: Some(PlaintextRecord { bytes, sha256 }),
        }
    }
}

/// A set that is complete.
#[derive(Debug)]
pub struct SealedSet {
    path: PathBuf,
    manifest: Manifest,
}

impl SealedSet {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where it is, and its manifest, as it was written.
    pub fn into_parts(self) -> (PathBuf, Manifest) {
        (self.path, self.manifest)
    }
}

impl<B: BegunSet> SetWriter<B> {
    /// Begins a set in `store`; a number is added to a name that is taken.
    pub fn create(store: &impl Store<Begun = B>, name: &str) -> Result<Self, SetError> {
        Ok(Self::from_set(store.begin(name)?))
    }

    /// Goes on with a set that an earlier attempt left without a manifest, else begins it.
    pub fn resume_or_create(store: &impl Store<Begun = B>, name: &str) -> Result<Self, SetError> {
        Ok(Self::from_set(store.resume(name)?))
    }

    fn from_set(set: B) -> Self {
        Self {
            set,
            keep: Keep::Nothing,
            sealed: false,
        }
    }

    /// Leaves what was written so far in place if the set is not sealed, for a look at it.
    pub fn keep_partial(&mut self) {
        self.keep = Keep::Everything;
    }

    /// Leaves what was written so far in place if the set is not sealed, to go on with it. Where nothing was written,
    /// nothing is left.
    pub fn keep_data(&mut self) {
        self.keep = Keep::Data;
    }

    /// Where the set is.
    pub fn location(&self) -> &Path {
        self.set.location()
    }

    /// Opens a file of the set for writing; what an earlier attempt wrote is discarded.
    pub fn file(&self, name: &'static str, role: FileRole) -> Result<PartialFile<B>, SetError> {
        Ok(PartialFile {
            file: self.set.begin_file(name)?,
            set: self.location().to_owned(),
            name,
            role,
        })
    }

    /// Writes a small file in one go.
    pub fn write(
        &self,
        name: &'static str,
        role: FileRole,
        content: &[u8],
    ) -> Result<CompletedFile, SetError> {
        let mut file = self.file(name, role)?;
        file.write_all(content)
            .on("write", &self.location().join(name))?;
        file.complete(Proof::of_own(content))
    }

    /// Reads files of the set back from where they are stored, and compares: for who does not take a store's word for it.
    /// `progress` is told how much was read.
    pub fn read_back<'a>(
        &self,
        files: impl IntoIterator<Item = &'a CompletedFile>,
        mut progress: impl FnMut(u64),
    ) -> Result<(), SetError> {
        let mut before = 0;
        for file in files {
            let (name, bytes, sha256) = file.stored();
            let path = self.location().join(name);
            let mut stored = self.set.read_back(name).on("read back", &path)?;
            let mut hasher = Hasher::default();
            measure(&mut stored, &mut hasher, |bytes| progress(before + bytes))
                .on("read back", &path)?;
            let found = hasher.measured();
            before += found.bytes();
            if (found.bytes(), found.sha256()) != (bytes, sha256) {
                let (found_bytes, found) = (found.bytes(), found.sha256());
                let why = format!(
                    "it has {found_bytes} bytes and the SHA-256 {found}, and not {bytes} and {sha256}"
                );
                return Err(SetError::ReadBack { path, why });
            }
        }
        Ok(())
    }

    /// Writes the manifest, with these files and no others: from here on the set is complete.
    pub fn seal(
        mut self,
        dump: CompletedFile,
        others: Vec<CompletedFile>,
        manifest: Manifest,
    ) -> Result<SealedSet, SetError> {
        if dump.role != FileRole::StoreDump {
            return Err(self.foreign(&dump, "not its dump"));
        }
        let mut files = vec![dump];
        files.extend(others);
        if let Some(other) = files.iter().find(|file| file.set != self.location()) {
            return Err(self.foreign(other, "a file of another set"));
        }
        let files = files.into_iter().map(CompletedFile::into_record);
        let mut manifest = manifest.with_files(files.collect());
        let path = self.location().to_owned();
        let to_json =
            |manifest: &Manifest| manifest.to_json().on("write", &path.join(MANIFEST_FILE));
        let json = to_json(&manifest)?;
        if self.set.hides_content() {
            let full = self.write(MANIFEST_FILE, FileRole::Manifest, &json)?;
            manifest.files.push(full.into_record());
            self.set.seal(&to_json(&manifest.reduced())?)?;
        } else {
            self.set.seal(&json)?;
        }
        self.sealed = true;
        Ok(SealedSet { path, manifest })
    }

    fn foreign(&self, file: &CompletedFile, what: &'static str) -> SetError {
        SetError::Foreign {
            path: self.location().to_owned(),
            file: file.name.to_owned(),
            what,
        }
    }
}

/// Has `hasher` take all that is read.
pub(crate) fn measure(
    reader: &mut impl Read,
    hasher: &mut Hasher,
    mut progress: impl FnMut(u64),
) -> io::Result<()> {
    let (mut bytes, mut buffer) = (0, vec![0; BUFFER_BYTES]);
    loop {
        let read = reader.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        hasher.update(&buffer[..read]);
        bytes += read as u64;
        progress(bytes);
    }
}

impl<B: LocalSet> SetWriter<B> {
    /// Where the file `name` belongs. A transfer that has its own way of writing puts it there once it is whole, for
    /// [`SetWriter::adopt`] to take.
    pub fn path(&self, name: &str) -> PathBuf {
        self.set.path(name)
    }

    /// Takes the file at [`SetWriter::path`], which `proof` is of, into the set.
    pub fn adopt(
        &self,
        name: &'static str,
        role: FileRole,
        proof: Proof,
    ) -> Result<CompletedFile, SetError> {
        self.set.adopt(name, proof.bytes())?;
        Ok(CompletedFile {
            set: self.location().to_owned(),
            name,
            role,
            proof,
            encoded: None,
        })
    }
}

impl<B: BegunSet> Drop for SetWriter<B> {
    fn drop(&mut self) {
        if !self.sealed {
            self.set.remove(self.keep);
        }
    }
}

impl<B: BegunSet> PartialFile<B> {
    /// Makes the file, which `proof` is of, one of the set.
    pub fn complete(self, proof: Proof) -> Result<CompletedFile, SetError> {
        let encoded = self.file.complete(proof.bytes())?;
        Ok(CompletedFile {
            set: self.set,
            name: self.name,
            role: self.role,
            proof,
            encoded,
        })
    }
}

impl<B: BegunSet> Write for PartialFile<B> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
