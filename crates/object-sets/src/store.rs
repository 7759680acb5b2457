//! A bucket with sets, and a set that is being written to it.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path as FilePath, PathBuf};
use std::sync::{Arc, MutexGuard, PoisonError};

use backup_set::numbered_names;
use backup_set::{
    BegunSet, Keep, Left, MANIFEST_FILE, PROTECTION_FILE, REHEARSAL_FILE, SetError, Store,
};
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use object_store::ObjectMeta;
use object_store::path::Path;

use crate::client::Client;
use crate::location::Location;
use crate::options::Options;
use crate::set::{ObjectSet, read_object};
use crate::upload::{Finished, ObjectFile, Uploaded, finished, is_as_uploaded};
use crate::whole::put_whole;

/// How many small files are read at a time when sets are listed.
const READS_AT_A_TIME: usize = 64;
/// The name of no set, of which a listing is short.
const NO_SET: &str = "no-set";
/// Larger ones are not read ahead.
const SMALL_BYTES: u64 = 256 << 10;
/// A prefix of a bucket that holds sets.
#[derive(Debug, Clone)]
pub struct ObjectStore {
    client: Client,
    location: Location,
    shown: PathBuf,
}

/// A set that is being written.
#[derive(Debug)]
pub struct BegunObjects {
    client: Client,
    prefix: Path,
    shown: PathBuf,
    finished: Finished,
}

impl ObjectStore {
    /// The sets at `location`; nothing is asked of the store yet.
    pub fn new(location: Location, options: &Options) -> io::Result<Self> {
        Ok(Self {
            client: Client::new(&location, options)?,
            shown: location.to_string().into(),
            location,
        })
    }

    /// Gives up everything that is under way: requests end with an error at once, and uploads are aborted.
    pub fn stop(&self) {
        self.client.open.stop();
    }

    /// An error where the bucket cannot be looked into: no keys, no bucket, nobody there.
    pub fn look(&self) -> io::Result<()> {
        self.set(NO_SET).map(drop)
    }

    /// The set of this name, as it is now.
    pub fn set(&self, name: &str) -> io::Result<ObjectSet> {
        ObjectSet::look_at(
            self.client.clone(),
            self.shown.join(name),
            self.prefix(name),
        )
    }

    /// The same; an outage is waited for.
    pub fn set_patiently(&self, name: &str) -> io::Result<ObjectSet> {
        let prefix = self.prefix(name);
        let listed = self.client.list_patiently(&prefix)?;
        let (client, shown) = (self.client.clone(), self.shown.join(name));
        Ok(ObjectSet::of_listed(client, shown, prefix, listed))
    }

    fn prefix(&self, name: &str) -> Path {
        self.location.prefix.clone().join(name)
    }

    fn begun(&self, name: &str) -> BegunObjects {
        BegunObjects {
            client: self.client.clone(),
            prefix: self.prefix(name),
            shown: self.shown.join(name),
            finished: Finished::default(),
        }
    }
}

impl BegunObjects {
    /// What is there as a whole.
    fn files(&self) -> MutexGuard<'_, Vec<(Path, Uploaded)>> {
        self.finished.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for ObjectStore {
    type Set = ObjectSet;
    type Begun = BegunObjects;

    fn location(&self) -> &FilePath {
        &self.shown
    }

    /// One listing of everything, and the small files of all sets, many at a time.
    fn list(&self) -> io::Result<Vec<ObjectSet>> {
        let mut sets: BTreeMap<String, BTreeMap<String, ObjectMeta>> = BTreeMap::new();
        for meta in self.client.list_at_depth(&self.location.prefix, 2)? {
            let Some(parts) = meta.location.prefix_match(&self.location.prefix) else {
                continue;
            };
            let parts: Vec<String> = parts.map(|part| part.as_ref().to_owned()).collect();
            if let [set, file] = &parts[..] {
                sets.entry(set.clone())
                    .or_default()
                    .insert(file.clone(), meta);
            }
        }
        let client = self.client.clone();
        let sets = sets.into_iter().map(|(name, files)| {
            let shown = self.shown.join(&name);
            ObjectSet::new(client.clone(), shown, self.prefix(&name), files)
        });
        let sets: Vec<ObjectSet> = sets.collect();
        self.client.bridge.run(async move {
            let read = stream::iter(sets).map(read_ahead);
            read.buffered(READS_AT_A_TIME).collect().await
        })
    }

    fn begin(&self, name: &str) -> Result<BegunObjects, SetError> {
        let failed = |source| SetError::writing(&self.shown, source);
        let mut last = name.to_owned();
        for name in numbered_names(name) {
            if self
                .client
                .list(&self.prefix(&name))
                .map_err(failed)?
                .is_empty()
            {
                return Ok(self.begun(&name));
            }
            last = name;
        }
        Err(SetError::InTheWay {
            path: self.shown.join(last),
            what: "is there, and so are all names before it".to_owned(),
        })
    }

    fn resume(&self, name: &str) -> Result<BegunObjects, SetError> {
        let path = || self.shown.join(name);
        let set = self
            .set(name)
            .map_err(|source| SetError::writing(&path(), source))?;
        if set.file(MANIFEST_FILE).is_some() {
            return Err(SetError::InTheWay {
                path: path(),
                what: "is a backup set by now".to_owned(),
            });
        }
        Ok(self.begun(name))
    }
}

/// Reads what a listing needs of a set. What cannot be read now is asked for again where it is needed.
async fn read_ahead(mut set: ObjectSet) -> ObjectSet {
    for name in [MANIFEST_FILE, REHEARSAL_FILE, PROTECTION_FILE] {
        let Some(meta) = set
            .file(name)
            .filter(|meta| meta.size <= SMALL_BYTES)
            .cloned()
        else {
            continue;
        };
        if let Some(content) = set.fetch(&meta).await {
            set.keep(name, content);
        }
    }
    set
}

impl BegunSet for BegunObjects {
    type File = ObjectFile;

    fn location(&self) -> &FilePath {
        &self.shown
    }

    fn begin_file(&self, name: &str) -> Result<ObjectFile, SetError> {
        Ok(ObjectFile::new(
            self.client.clone(),
            self.prefix.clone().join(name),
            self.shown.join(name),
            Arc::clone(&self.finished),
        ))
    }

    fn read_back(&self, name: &str) -> io::Result<Box<dyn Read + Send>> {
        let meta = self.client.head(&self.prefix.clone().join(name))?;
        Ok(read_object(&self.client, &meta, 0..meta.size))
    }

    /// A file is there as a whole or not at all: of an upload that was broken off, nothing is kept.
    fn left(&self, name: &str) -> Result<Left<ObjectFile>, SetError> {
        let location = self.prefix.clone().join(name);
        // By its name first: to keys that may list no more than what is below a prefix, S3 says 403 of what is not there.
        let found = || {
            let listed = self.client.list_patiently(&self.prefix)?;
            let mut locations = listed.into_iter().map(|meta| meta.location);
            let is_there = locations.any(|one| one == location);
            is_there.then(|| self.client.head(&location)).transpose()
        };
        let meta = match found() {
            Ok(Some(meta)) => meta,
            Ok(None) => return Ok(Left::Nothing),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Left::Nothing),
            Err(source) => {
                return Err(SetError::Io {
                    action: "look at",
                    path: self.shown.join(name),
                    source,
                });
            }
        };
        let content = read_object(&self.client, &meta, 0..meta.size);
        finished(
            &self.finished,
            location,
            Uploaded {
                bytes: meta.size,
                e_tag: meta.e_tag,
            },
        );
        Ok(Left::Whole(content))
    }

    /// Looks at the files once more: another command that writes a set of this name would have replaced them.
    fn seal(&self, manifest: &[u8]) -> Result<(), SetError> {
        let path = self.shown.join(MANIFEST_FILE);
        let failed = |source| SetError::writing(&path, source);
        let uploads = self.files().clone();
        for (location, uploaded) in &uploads {
            let is_there = match self.client.head(location) {
                Ok(found) => is_as_uploaded(&found, uploaded),
                Err(error) if error.kind() == io::ErrorKind::NotFound => false,
                Err(error) => return Err(failed(error)),
            };
            if !is_there {
                return Err(SetError::Changed {
                    path: self.shown.join(location.filename().unwrap_or_default()),
                    bytes: uploaded.bytes,
                });
            }
        }
        let location = self.prefix.clone().join(MANIFEST_FILE);
        let content = Bytes::copy_from_slice(manifest);
        let Err(error) = put_whole(&self.client, &location, &content) else {
            return Ok(());
        };
        // What may be a whole set, of this command or of another, is not taken apart.
        let looked = self.client.hasty().head(&location);
        if !looked.is_err_and(|look| look.kind() == io::ErrorKind::NotFound) {
            self.files().clear();
        }
        Err(failed(error))
    }

    /// As far as deleting is allowed; what is left has no manifest.
    fn remove(&self, keep: Keep) {
        if keep != Keep::Nothing {
            return;
        }
        let finished = std::mem::take(&mut *self.files());
        let locations = finished.into_iter().map(|(location, _)| location);
        self.client.open.delete(locations.collect());
    }
}
