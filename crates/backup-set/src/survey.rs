//! The sets of a store with all that matters when some of them go, or the newest good one is asked for.

use std::fmt;

use jiff::Timestamp;

use crate::catalog::{catalog_of_sets, owner_in_name};
use crate::removal::foreign_files;
use crate::retention::{Candidate, Standing};
use crate::store::{Store, StoredSet};
use crate::{
    BackupError, CatalogEntry, MANIFEST_FILE, Manifest, Protected, Purpose, Rehearsal, SetState,
};

/// A set, and what stands beside its manifest.
#[derive(Debug)]
pub struct Surveyed<S> {
    /// The set.
    pub set: S,
    /// What a glance tells of it.
    pub entry: CatalogEntry,
    /// The last trial to restore it.
    pub rehearsal: Option<Rehearsal>,
    /// Whether it is protected.
    pub protected: Protected,
    /// When anything in it was last changed, where that is told.
    pub changed: Option<Timestamp>,
    /// Why it is not to be deleted by any rule: something is in it that is not of it.
    pub untouchable: Option<String>,
}

/// Whose backup a set is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Installation {
    /// The instance.
    pub instance: String,
    /// Its namespace.
    pub namespace: String,
    /// The API server's URL, as it was called when the newest set was made.
    pub server: String,
    /// The WatsonAssistant's uid; none in sets of older versions.
    pub uid: Option<String>,
}

/// The sets in a store, the newest data first.
pub fn survey<S: Store>(store: &S, now: Timestamp) -> Result<Vec<Surveyed<S::Set>>, BackupError> {
    let sets = catalog_of_sets(store)?.into_iter();
    let mut surveyed: Vec<Surveyed<S::Set>> = sets
        .map(|(set, entry)| Surveyed::from_entry(set, entry, now))
        .collect();
    surveyed.sort_by_key(|one| std::cmp::Reverse(one.data_time()));
    Ok(surveyed)
}

impl<S: StoredSet> Surveyed<S> {
    fn from_entry(set: S, entry: CatalogEntry, now: Timestamp) -> Self {
        let manifest = match &entry.state {
            SetState::Complete(manifest) => Some(&**manifest),
            _ => None,
        };
        let rehearsal = manifest.and_then(|manifest| Rehearsal::of_stored(&set, manifest));
        let files = set.files();
        let untouchable = match &files {
            Err(error) => Some(error.to_string()),
            Ok(files) => {
                let foreign = foreign_files(manifest, files).join(", ");
                (!foreign.is_empty()).then(|| format!("something else is in it: {foreign}"))
            }
        };
        let changed = files.ok().and_then(|files| {
            let times = files.into_iter().filter_map(|file| file.changed);
            times.max()
        });
        Self {
            rehearsal,
            protected: Protected::from_set(&set, now),
            changed,
            untouchable,
            entry,
            set,
        }
    }
}

impl<S> Surveyed<S> {
    /// The manifest of a set that is complete.
    pub fn manifest(&self) -> Option<&Manifest> {
        match &self.entry.state {
            SetState::Complete(manifest) => Some(manifest),
            _ => None,
        }
    }

    /// Its name.
    pub fn name(&self) -> String {
        let name = self.entry.path.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// When its data was dumped.
    pub fn data_time(&self) -> Option<Timestamp> {
        self.manifest()
            .map_or(self.entry.time, |manifest| Some(manifest.data_time()))
    }

    /// Whether its dump was verified, and no trial to restore it has failed.
    pub fn is_verified(&self) -> bool {
        let verified = self
            .manifest()
            .is_some_and(|manifest| manifest.verified_at.is_some());
        verified && self.rehearsal.as_ref().is_none_or(Rehearsal::succeeded)
    }

    /// Whether it is no longer what it was when it was looked at.
    pub fn has_changed(&self, now: &dyn StoredSet) -> bool {
        let Ok(files) = now.files() else {
            return true;
        };
        let changed = files.iter().filter_map(|file| file.changed).max();
        let is_sealed = now.look(MANIFEST_FILE).is_ok();
        changed != self.changed || is_sealed == matches!(self.entry.state, SetState::Incomplete)
    }

    /// Whose it is, where it tells.
    pub fn installation(&self) -> Option<Installation> {
        self.manifest().map(Installation::from_manifest)
    }

    /// Whether a set that has no manifest has the name of one of `installation`.
    pub fn is_named_after(&self, installation: &Installation) -> bool {
        let owner = format!("{}-{}", installation.instance, installation.namespace);
        owner_in_name(&self.entry.path) == Some(&owner)
    }

    /// The set as the rules see it.
    pub fn candidate(&self) -> Candidate {
        let standing = match (&self.untouchable, &self.entry.state) {
            (Some(why), _) => Standing::Unclear(why.clone()),
            (None, SetState::Complete(manifest)) if manifest.purpose == Purpose::Other => {
                Standing::Unclear("made for something that a newer version knows".to_owned())
            }
            (None, SetState::Complete(_)) if self.is_verified() => Standing::Verified,
            (None, SetState::Complete(_)) => Standing::Unverified,
            (None, SetState::Incomplete) => Standing::Incomplete,
            (None, SetState::NotJudged { reason }) => Standing::Unclear(reason.clone()),
            (None, SetState::Corrupt { reason }) => Standing::Unclear(format!("corrupt: {reason}")),
        };
        Candidate {
            time: self.data_time(),
            changed: self.changed,
            standing,
            protected: self.protected,
        }
    }
}

impl Installation {
    fn from_manifest(manifest: &Manifest) -> Self {
        Self {
            instance: manifest.instance.clone(),
            namespace: manifest.namespace.clone(),
            server: manifest.cluster.server.clone(),
            uid: manifest.instance_uid.clone(),
        }
    }

    /// Whether both are the same: by the uid where both tell it, else by server and names.
    pub fn is_same(&self, other: &Self) -> bool {
        match (&self.uid, &other.uid) {
            (Some(one), Some(other)) => one == other,
            _ => self.is_called_as(other),
        }
    }

    /// Whether server and names are the same.
    pub fn is_called_as(&self, other: &Self) -> bool {
        let names = |one: &Self| {
            (
                one.server.clone(),
                one.namespace.clone(),
                one.instance.clone(),
            )
        };
        names(self) == names(other)
    }
}

impl fmt::Display for Installation {
    /// `wa in cpd on https://api.example:6443`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} in {} on {}",
            self.instance, self.namespace, self.server
        )
    }
}
