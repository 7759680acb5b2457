//! The auth-encryption secret in a file beside a dump that goes to standard output.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

/// A Secret is no larger.
const LIMIT_BYTES: u64 = 2 << 20;

/// A file that gets its name when the dump is whole. Dropped before, it removes itself.
#[derive(Debug)]
pub struct KeyFile {
    path: PathBuf,
    partial: PathBuf,
    saved: bool,
}

impl KeyFile {
    /// Writes `content` beside `path`, synced, under a name that ends in `.partial`; only its owner can read it. `None`
    /// where `path` has that content already. What has another is not replaced: it may be the key of another dump.
    pub fn create(path: &Path, content: &str) -> anyhow::Result<Option<Self>> {
        let shown = path.display();
        match content_of(path).with_context(|| format!("cannot read {shown}"))? {
            Some(found) if found == content.as_bytes() => return Ok(None),
            Some(_) => bail!(
                "{shown} is there and has other content, which may be the key of another dump; nothing was changed: choose another file for the key"
            ),
            None => {}
        }
        let mut partial = path.as_os_str().to_owned();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        let cannot = || format!("cannot write {}", partial.display());
        // What a killed run has left there is unlinked, not opened: others may read it.
        match fs::remove_file(&partial) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).with_context(cannot);
            }
            _ => {}
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&partial)
            .with_context(cannot)?;
        let key_file = Self {
            path: path.to_owned(),
            partial: partial.clone(),
            saved: false,
        };
        file.write_all(content.as_bytes()).with_context(cannot)?;
        file.sync_all().with_context(cannot)?;
        Ok(Some(key_file))
    }

    /// Gives it its name, unless something else has that by now.
    pub fn save(mut self) -> anyhow::Result<()> {
        // Unlike a rename, a link replaces nothing.
        match fs::hard_link(&self.partial, &self.path) {
            Ok(()) => {}
            // Some file systems have no links.
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                fs::rename(&self.partial, &self.path)
                    .with_context(|| format!("cannot rename {}", self.partial.display()))?;
                self.saved = true;
            }
            Err(error) => {
                return Err(error).with_context(|| {
                    format!("cannot give the key the name {}", self.path.display())
                });
            }
        }
        Ok(())
    }
}

impl Drop for KeyFile {
    fn drop(&mut self) {
        if !self.saved {
            // Its other name, if it has got one, stays.
            let _ = fs::remove_file(&self.partial);
        }
    }
}

/// What is in the regular file at `path`; `None` where there is nothing.
fn content_of(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let found = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        found => found?,
    };
    // A pipe would be waited for, and a link may lead nowhere.
    if !found.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut content = Vec::new();
    let file = File::open(path)?;
    file.take(LIMIT_BYTES).read_to_end(&mut content)?;
    Ok(Some(content))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn the_key_gets_its_name_when_it_is_saved_and_is_gone_otherwise() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key.yaml");
        drop(KeyFile::create(&path, "key").unwrap().unwrap());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
        // Left by a run that was killed.
        let partial = directory.path().join("key.yaml.partial");
        fs::write(&partial, "old").unwrap();
        KeyFile::create(&path, "key")
            .unwrap()
            .unwrap()
            .save()
            .unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "key");
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_is_there_is_kept_and_suffices_if_it_is_the_same() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key.yaml");
        fs::write(&path, "key").unwrap();
        assert!(KeyFile::create(&path, "key").unwrap().is_none());
        let error = KeyFile::create(&path, "another key").unwrap_err();
        assert!(error.to_string().contains("has other content"), "{error}");
        assert!(!format!("{error:#}").contains("another key"), "{error:#}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "key");
        let link = directory.path().join("link");
        symlink("nowhere", &link).unwrap();
        assert!(KeyFile::create(&link, "key").is_err());
        assert!(KeyFile::create(directory.path(), "key").is_err());
    }

    #[test]
    fn what_appears_during_the_dump_is_not_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key.yaml");
        let key = KeyFile::create(&path, "key").unwrap().unwrap();
        fs::write(&path, "theirs").unwrap();
        assert!(key.save().is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "theirs");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
