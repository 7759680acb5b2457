//! A set is the same thing in a store that knows no directories.

use std::collections::BTreeMap;
use std::io::{self, Cursor, Read, Write};
use std::ops::Range;
use std::sync::{Arc, Mutex};

use super::*;

/// What is in the store, by set and file.
type Content = Arc<Mutex<BTreeMap<PathBuf, BTreeMap<String, Vec<u8>>>>>;

#[derive(Debug, Default)]
struct MemoryStore(Content);

#[derive(Debug)]
struct MemorySet {
    location: PathBuf,
    content: Content,
}

#[derive(Debug)]
struct MemoryFile {
    set: PathBuf,
    name: String,
    written: Vec<u8>,
    content: Content,
}

impl MemoryStore {
    fn set(&self, name: &str) -> MemorySet {
        MemorySet {
            location: name.into(),
            content: Arc::clone(&self.0),
        }
    }
}

impl Store for MemoryStore {
    type Set = MemorySet;
    type Begun = MemorySet;

    fn location(&self) -> &Path {
        Path::new("memory")
    }

    fn list(&self) -> io::Result<Vec<MemorySet>> {
        let content = self.0.lock().unwrap();
        let names = content.keys().filter_map(|path| path.to_str());
        Ok(names.map(|name| self.set(name)).collect())
    }

    fn begin(&self, name: &str) -> Result<MemorySet, SetError> {
        self.0.lock().unwrap().entry(name.into()).or_default();
        Ok(self.set(name))
    }

    fn resume(&self, name: &str) -> Result<MemorySet, SetError> {
        self.begin(name)
    }
}

impl MemorySet {
    fn file(&self, name: &str) -> io::Result<Vec<u8>> {
        let content = self.content.lock().unwrap();
        let set = content.get(&self.location);
        let file = set.and_then(|set| set.get(name));
        file.cloned().ok_or(io::ErrorKind::NotFound.into())
    }
}

impl StoredSet for MemorySet {
    fn location(&self) -> &Path {
        &self.location
    }

    fn look(&self, file: &str) -> io::Result<FileState> {
        let bytes = self.file(file)?.len() as u64;
        Ok(FileState::File { bytes })
    }

    fn bytes(&self) -> u64 {
        let content = self.content.lock().unwrap();
        content[&self.location]
            .values()
            .map(|file| file.len() as u64)
            .sum()
    }

    fn read(&self, file: &str) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(Cursor::new(self.file(file)?)))
    }

    fn read_range(&self, file: &str, range: Range<u64>) -> io::Result<Box<dyn Read + Send>> {
        let mut content = Cursor::new(self.file(file)?);
        content.set_position(range.start);
        Ok(Box::new(content.take(range.end - range.start)))
    }

    fn again(&self) -> io::Result<Box<dyn StoredSet + Send>> {
        Ok(Box::new(Self {
            location: self.location.clone(),
            content: Arc::clone(&self.content),
        }))
    }

    fn files(&self) -> io::Result<Vec<StoredFile>> {
        let content = self.content.lock().unwrap();
        let files = content[&self.location]
            .iter()
            .map(|(name, file)| StoredFile {
                name: name.clone(),
                state: FileState::File {
                    bytes: file.len() as u64,
                },
                changed: None,
            });
        Ok(files.collect())
    }

    fn put(&self, file: &str, put: &[u8]) -> io::Result<()> {
        let mut content = self.content.lock().unwrap();
        let set = content.entry(self.location.clone()).or_default();
        set.insert(file.to_owned(), put.to_vec());
        Ok(())
    }

    /// A manifest beside a key is locked.
    fn remove_file(&self, file: &str) -> io::Result<()> {
        let mut content = self.content.lock().unwrap();
        let set = content.entry(self.location.clone()).or_default();
        if set.contains_key(AUTH_ENCRYPTION_FILE) && file == MANIFEST_FILE {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        set.remove(file);
        Ok(())
    }

    fn remove_place(&self) -> io::Result<()> {
        self.content.lock().unwrap().remove(&self.location);
        Ok(())
    }
}

impl BegunSet for MemorySet {
    type File = MemoryFile;

    fn location(&self) -> &Path {
        &self.location
    }

    fn begin_file(&self, name: &str) -> Result<MemoryFile, SetError> {
        Ok(MemoryFile {
            set: self.location.clone(),
            name: name.to_owned(),
            written: Vec::new(),
            content: Arc::clone(&self.content),
        })
    }

    fn read_back(&self, name: &str) -> io::Result<Box<dyn Read + Send>> {
        self.read(name)
    }

    fn seal(&self, manifest: &[u8]) -> Result<(), SetError> {
        let mut content = self.content.lock().unwrap();
        let set = content.entry(self.location.clone()).or_default();
        set.insert(MANIFEST_FILE.to_owned(), manifest.to_vec());
        Ok(())
    }

    fn remove(&self, keep: Keep) {
        if keep == Keep::Nothing {
            self.content.lock().unwrap().remove(&self.location);
        }
    }
}

impl BegunFile for MemoryFile {
    fn complete(self, bytes: u64) -> Result<Option<Encoded>, SetError> {
        assert_eq!(self.written.len() as u64, bytes);
        let mut content = self.content.lock().unwrap();
        let set = content.entry(self.set).or_default();
        set.insert(self.name, self.written);
        Ok(None)
    }
}

impl Write for MemoryFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.written.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn written(set: &SetWriter<MemorySet>) -> CompletedFile {
    let mut file = set.file(DUMP_FILE, FileRole::StoreDump).unwrap();
    file.write_all(DUMP).unwrap();
    file.complete(Proof::of_own(DUMP)).unwrap()
}

#[test]
fn a_set_in_any_store_is_listed_as_what_it_is() {
    let store = MemoryStore::default();
    let set = SetWriter::create(&store, "wa-cpd-20261122T205500Z").unwrap();
    let dump = written(&set);
    let states = || -> Vec<SetState> {
        let listed = catalog(&store).unwrap();
        listed.into_iter().map(|entry| entry.state).collect()
    };
    assert!(matches!(states()[..], [SetState::Incomplete]));
    let sealed = set.seal(dump, Vec::new(), some_manifest()).unwrap();
    let (_, manifest) = sealed.into_parts();
    let states = states();
    let [SetState::Complete(listed)] = &states[..] else {
        panic!("{states:?}");
    };
    assert_eq!(**listed, manifest);
}

#[test]
fn a_set_that_is_not_sealed_is_removed_from_any_store() {
    let store = MemoryStore::default();
    let set = SetWriter::create(&store, "wa-cpd-x").unwrap();
    written(&set);
    drop(set);
    assert!(catalog(&store).unwrap().is_empty());
    let mut kept = SetWriter::create(&store, "wa-cpd-x").unwrap();
    kept.keep_partial();
    written(&kept);
    drop(kept);
    assert_eq!(catalog(&store).unwrap().len(), 1);
}

#[test]
fn a_set_whose_manifest_is_locked_stays_as_it_was() {
    let store = MemoryStore::default();
    let set = SetWriter::create(&store, "wa-cpd-20261122T205500Z").unwrap();
    let dump = written(&set);
    set.seal(dump, Vec::new(), some_manifest()).unwrap();
    let set = store.set("wa-cpd-20261122T205500Z");
    set.put(AUTH_ENCRYPTION_FILE, b"key").unwrap();
    let error = remove_set(&set, None).unwrap_err();
    assert!(matches!(error, RemovalError::Refused { .. }), "{error}");
    assert!(set.look(MANIFEST_FILE).is_ok() && set.look(DUMP_FILE).is_ok());
    set.content
        .lock()
        .unwrap()
        .get_mut(&set.location)
        .unwrap()
        .remove(AUTH_ENCRYPTION_FILE);
    remove_set(&set, None).unwrap();
    assert!(catalog(&store).unwrap().is_empty());
}

#[test]
fn whose_a_set_is_the_uid_tells_and_in_older_ones_server_and_names() {
    let store = MemoryStore::default();
    let make = |name: &str, uid: Option<&str>, server: &str| {
        let set = SetWriter::create(&store, name).unwrap();
        let dump = written(&set);
        let mut manifest = some_manifest();
        manifest.instance_uid = uid.map(str::to_owned);
        manifest.cluster.server = server.to_owned();
        set.seal(dump, Vec::new(), manifest).unwrap();
    };
    make("a", Some("1"), "https://inside");
    make("b", Some("1"), "https://outside");
    make("c", Some("2"), "https://outside");
    make("d", None, "https://outside");
    let surveyed = survey(&store, Timestamp::now()).unwrap();
    let of = |name: &str| {
        let found = surveyed.iter().find(|one| one.name() == name).unwrap();
        found.installation().unwrap()
    };
    assert!(of("a").is_same(&of("b")) && !of("b").is_same(&of("c")));
    assert!(of("d").is_same(&of("b")) && !of("d").is_same(&of("a")));
}
