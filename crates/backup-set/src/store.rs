//! The boundary between sets and what keeps them.
//!
//! What a set is (its manifest, when it is complete, what makes it intact) is the same wherever it is kept; a [`Store`]
//! says how bytes get there and back. It is synchronous, as the reader of archives and the sinks of transfers are: a store
//! that is asynchronous inside brings its own bridge. [`DirectoryStore`](crate::DirectoryStore) is one, and the crate
//! `object-sets` has another.
//!
//! A store whose sets have a path on this machine while they are written says so by its type, [`LocalSet`]: a parallel
//! fetch, which writes a file at many places at once, asks for that. Any other gets a file as one stream, in order.

use std::fmt::Debug;
use std::io::{self, Read, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use transfer_proof::Measured;

use crate::SetError;

/// A place that holds sets.
pub trait Store {
    /// A set in it, finished or not.
    type Set: StoredSet + Send + 'static;
    /// A set that is being written.
    type Begun: BegunSet + 'static;

    /// Where it is, for messages.
    fn location(&self) -> &Path;

    /// What is in it that may be a set, in no order.
    fn list(&self) -> io::Result<Vec<Self::Set>>;

    /// How much room there is for new files; none where that has no end.
    fn available_bytes(&self) -> Result<Option<u64>, SetError> {
        Ok(None)
    }

    /// How much room a file of so many bytes takes.
    fn stored_bytes(&self, bytes: u64) -> u64 {
        bytes
    }

    /// Begins a set of this name; a number is added where that is taken, by a backup of the same second.
    fn begin(&self, name: &str) -> Result<Self::Begun, SetError>;

    /// Goes on with the set of this name where an earlier attempt left it without a manifest, else begins it. What is there
    /// already is kept, even where it holds no data: it may be another process's.
    fn resume(&self, name: &str) -> Result<Self::Begun, SetError>;
}

/// A set to be read. Nothing in it is trusted: it may have come from anyone.
pub trait StoredSet: Debug {
    /// Where it is, for messages.
    fn location(&self) -> &Path;

    /// What there is under this name; an error of the kind `NotFound` where there is nothing.
    fn look(&self, file: &str) -> io::Result<FileState>;

    /// The file's path on this machine, for programs that take one; none where it is not here.
    fn local_path(&self, _file: &str) -> Option<PathBuf> {
        None
    }

    /// The size of everything in it in bytes, finished or not.
    fn bytes(&self) -> u64;

    /// Reads a file from its beginning.
    fn read(&self, file: &str) -> io::Result<Box<dyn Read + Send>>;

    /// Reads a part of a file; less where the file ends before.
    fn read_range(&self, file: &str, range: Range<u64>) -> io::Result<Box<dyn Read + Send>>;

    /// The set as it is now: a store may have told at once what was in it when it was listed.
    fn again(&self) -> io::Result<Box<dyn StoredSet + Send>>;

    /// Everything that is in it, in no order.
    fn files(&self) -> io::Result<Vec<StoredFile>>;

    /// Puts a small file beside the others, whole or not at all, in place of an earlier one.
    fn put(&self, file: &str, content: &[u8]) -> io::Result<()>;

    /// Removes a file; that it is gone already is no error.
    fn remove_file(&self, file: &str) -> io::Result<()>;

    /// Removes the place of the set, where a store has one apart from the files; refused while something is in it.
    fn remove_place(&self) -> io::Result<()>;
}

/// One thing in a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFile {
    /// Its name.
    pub name: String,
    /// What it is.
    pub state: FileState,
    /// When it was last changed, where that is told.
    pub changed: Option<Timestamp>,
}

/// What there is under the name of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileState {
    /// A file of this many bytes.
    File {
        /// Its size.
        bytes: u64,
    },
    /// Something else, which is not to be read: a link leads anywhere, a pipe never ends.
    NotAFile,
}

/// A set that is being written.
pub trait BegunSet: Debug {
    /// A file that is being written.
    type File: BegunFile;

    /// Where it is, for messages.
    fn location(&self) -> &Path;

    /// Begins a file; what an earlier attempt wrote of it is discarded.
    fn begin_file(&self, name: &str) -> Result<Self::File, SetError>;

    /// Reads a file that is complete, from where it is stored.
    fn read_back(&self, name: &str) -> io::Result<Box<dyn Read + Send>>;

    /// What an earlier attempt has left of a file.
    fn left(&self, _name: &str) -> Result<Left<Self::File>, SetError> {
        Ok(Left::Nothing)
    }

    /// Whether only who has a key can read the files: then the manifest tells in plain text no more than it has to.
    fn hides_content(&self) -> bool {
        false
    }

    /// Puts the manifest beside the files, so that it is there only if they are.
    fn seal(&self, manifest: &[u8]) -> Result<(), SetError>;

    /// Removes what is not kept of a set that is not sealed.
    fn remove(&self, keep: Keep);
}

/// A file that is being written, as one stream. Not there before it is completed.
pub trait BegunFile: Write + Debug + Send + 'static {
    /// Makes sure that the file is there for good, with this size of what was written to it. Returns what it is stored as,
    /// where that is not what was written.
    fn complete(self, bytes: u64) -> Result<Option<Encoded>, SetError>;
}

/// What an earlier attempt has left of a file. Whether it is of the same file, only its content tells.
pub enum Left<F> {
    /// Nothing of use.
    Nothing,
    /// Its beginning, to be continued, and what that is.
    Part(F, Box<dyn Read + Send>),
    /// All of it, and what that is.
    Whole(Box<dyn Read + Send>),
}

/// What a file is stored as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// Its name.
    pub name: String,
    /// Its size and hash.
    pub measured: Measured,
}

/// A set that has a path on this machine while it is written, so that others can write its files, in any order.
pub trait LocalSet: BegunSet {
    /// Where the file `name` belongs once it is whole.
    fn path(&self, name: &str) -> PathBuf;

    /// Takes the file there, which somebody else wrote, into the set, for good and with this size.
    fn adopt(&self, name: &str, bytes: u64) -> Result<(), SetError>;
}

/// What stays of a set that is not sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Nothing that this attempt made.
    Nothing,
    /// The set, if there is data in it.
    Data,
    /// Everything.
    Everything,
}
