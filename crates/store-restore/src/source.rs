//! The backup that is to be restored.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use backup_set::{
    AUTH_ENCRYPTION_FILE, Backup, BackupError, CatalogEntry, DUMP_FILE, DirectoryStore, Intact,
    Manifest, Purpose, ServiceInstance, SetState, catalog,
};

/// Where sets are when no directory is named.
pub const DEFAULT_DIRECTORY: &str = "wa-backups";
/// The word for the newest set of a directory.
const LATEST: &str = "latest";

/// A backup that was read from end to end, and is intact.
#[derive(Debug)]
pub struct Source {
    /// The set's directory, or the dump.
    pub path: PathBuf,
    /// The dump itself.
    pub dump: PathBuf,
    /// What is known of it, where it is a set.
    pub manifest: Option<Manifest>,
    /// What is in it.
    pub intact: Intact,
}

/// The path that `given` means: `latest` and `latest~1` are the newest set of `./wa-backups` and the one before it,
/// `DIR/latest` the newest one of `DIR`. What is there under that very name is meant first.
///
/// Safety backups are passed over, and so are sets that are not complete. Where a directory holds sets of several
/// instances, the newest one might be anyone's, and is not guessed.
pub fn resolve(given: &Path) -> anyhow::Result<PathBuf> {
    let word = given.file_name().and_then(|name| name.to_str());
    let Some(back) = word.and_then(steps_back) else {
        return Ok(given.to_owned());
    };
    if given.symlink_metadata().is_ok() {
        return Ok(given.to_owned());
    }
    let directory = match given.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new(DEFAULT_DIRECTORY),
    };
    let sets = complete(catalog(&DirectoryStore::new(directory)).with_context(|| {
        format!(
            "cannot look for the latest backup in {}",
            directory.display()
        )
    })?);
    let mut owners: Vec<String> = sets.iter().map(|(_, manifest)| owner(manifest)).collect();
    owners.sort();
    owners.dedup();
    ensure!(
        owners.len() < 2,
        "{} holds backups of several installations ({}): name the set",
        directory.display(),
        owners.join(", ")
    );
    let count = sets.len();
    let Some((path, _)) = sets.into_iter().nth(back) else {
        bail!(
            "there {} in {}; list them with `kubectl wa-backup list {}`",
            match count {
                0 => "is no complete backup set".to_owned(),
                1 => "is only one complete backup set".to_owned(),
                count => format!("are only {count} complete backup sets"),
            },
            directory.display(),
            directory.display()
        );
    };
    Ok(path)
}

/// 0 for `latest`, 1 for `latest~` and `latest~1`.
fn steps_back(word: &str) -> Option<usize> {
    match word.strip_prefix(LATEST)? {
        "" => Some(0),
        "~" => Some(1),
        rest => rest.strip_prefix('~')?.parse().ok(),
    }
}

fn complete(entries: Vec<CatalogEntry>) -> Vec<(PathBuf, Box<Manifest>)> {
    let sets = entries.into_iter().filter_map(|entry| match entry.state {
        SetState::Complete(manifest) => Some((entry.path, manifest)),
        _ => None,
    });
    sets.filter(|(_, manifest)| manifest.purpose == Purpose::Backup)
        .collect()
}

fn owner(manifest: &Manifest) -> String {
    format!(
        "{} in {} on {}",
        manifest.instance, manifest.namespace, manifest.cluster.server
    )
}

impl Source {
    /// Opens and reads it, from the first byte to the last.
    pub fn read(path: &Path) -> Result<Self, BackupError> {
        let backup = Backup::open(path)?;
        let manifest = backup.manifest().cloned();
        Ok(Self {
            path: path.to_owned(),
            dump: match &manifest {
                Some(_) => path.join(DUMP_FILE),
                None => path.to_owned(),
            },
            intact: backup.verify()?,
            manifest,
        })
    }

    /// The release it was taken on, where it tells.
    pub fn release(&self) -> Option<&str> {
        self.manifest.as_ref()?.release.as_deref()
    }

    /// Its service instances that need a target; an error where they cannot be told.
    pub fn instances(&self) -> anyhow::Result<Vec<ServiceInstance>> {
        let verified = &self.intact.verified;
        ensure!(
            verified.live_instances().is_some(),
            "{} does not tell which service instances are in it: the rows of its table \"tenant\" cannot be read",
            self.dump.display()
        );
        let live = verified.instances.iter().filter(|one| one.is_live());
        Ok(live.cloned().collect())
    }

    /// The file of the set with the auth-encryption secret, where it has one.
    pub fn auth_encryption_file(&self) -> Option<PathBuf> {
        let files = self.manifest.as_ref()?.files();
        let has = files.iter().any(|file| file.name == AUTH_ENCRYPTION_FILE);
        has.then(|| self.path.join(AUTH_ENCRYPTION_FILE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latest_is_a_word_only_where_nothing_has_that_name() {
        let directory = tempfile::tempdir().unwrap();
        let latest = directory.path().join("latest");
        let error = resolve(&latest).unwrap_err().to_string();
        assert!(error.contains("is no complete backup set"), "{error}");
        std::fs::create_dir(&latest).unwrap();
        assert_eq!(resolve(&latest).unwrap(), latest);
        for plain in ["store.dump", "latest.dump", "latest~x"] {
            assert_eq!(resolve(Path::new(plain)).unwrap(), Path::new(plain));
        }
    }

    #[test]
    fn steps_back_are_counted_from_the_newest() {
        assert_eq!(steps_back("latest"), Some(0));
        assert_eq!(steps_back("latest~"), Some(1));
        assert_eq!(steps_back("latest~3"), Some(3));
        assert_eq!(steps_back("latest~-1"), None);
    }
}
