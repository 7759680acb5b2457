//! The record that a set is to be kept, whatever a rule says: a file beside `backup.json`, which stays as it was sealed.

use std::io;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ToolRecord;
use crate::beside;
use crate::store::StoredSet;

/// The file's name.
pub const PROTECTION_FILE: &str = "protected.json";
/// Of the file's format.
const FORMAT_VERSION: u32 = 1;

/// That a set is to be kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Protection {
    format_version: u32,
    /// What has protected it.
    pub tool: ToolRecord,
    /// When.
    pub protected_at: Timestamp,
    /// Until when; for good where it does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// Whether a set is protected now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protected {
    /// It is not, or is no longer.
    No,
    /// For good; also where the record cannot be read: a mistake must not delete a backup.
    ForGood,
    /// Until then.
    Until(Timestamp),
}

impl Protection {
    /// A protection that begins now.
    pub fn new(tool: ToolRecord, until: Option<Timestamp>) -> Self {
        Self {
            format_version: FORMAT_VERSION,
            tool,
            protected_at: Timestamp::now(),
            until,
        }
    }

    /// Puts the record into the set, in place of an earlier one.
    pub fn write(&self, set: &dyn StoredSet) -> io::Result<()> {
        beside::write(set, PROTECTION_FILE, self)
    }

    /// Removes the record; whether there was one.
    pub fn remove(set: &dyn StoredSet) -> io::Result<bool> {
        match set.look(PROTECTION_FILE) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
            Ok(_) => set.remove_file(PROTECTION_FILE).map(|()| true),
        }
    }
}

impl Protected {
    /// What there is of it in `set`.
    pub fn from_set(set: &dyn StoredSet, now: Timestamp) -> Self {
        let json = match beside::read(set, PROTECTION_FILE) {
            Ok(None) => return Self::No,
            Ok(Some(json)) => json,
            Err(_) => return Self::ForGood,
        };
        match serde_json::from_slice::<Protection>(&json) {
            Ok(found) if found.format_version > FORMAT_VERSION => Self::ForGood,
            Ok(found) => match found.until {
                Some(until) if until <= now => Self::No,
                Some(until) => Self::Until(until),
                None => Self::ForGood,
            },
            Err(_) => Self::ForGood,
        }
    }

    /// Whether it is.
    pub fn is_on(self) -> bool {
        self != Self::No
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::DirectorySet;

    fn tool() -> ToolRecord {
        ToolRecord {
            name: "test".to_owned(),
            version: "0".to_owned(),
        }
    }

    #[test]
    fn a_protection_ends_at_its_time_and_is_kept_where_it_cannot_be_read() {
        let directory = tempfile::tempdir().unwrap();
        let set = DirectorySet::new(directory.path());
        let now = Timestamp::now();
        let hour = jiff::SignedDuration::from_hours(1);
        assert_eq!(Protected::from_set(&set, now), Protected::No);
        Protection::new(tool(), Some(now + hour))
            .write(&set)
            .unwrap();
        assert_eq!(Protected::from_set(&set, now), Protected::Until(now + hour));
        assert_eq!(Protected::from_set(&set, now + hour), Protected::No);
        Protection::new(tool(), None).write(&set).unwrap();
        assert_eq!(Protected::from_set(&set, now), Protected::ForGood);
        let path = directory.path().join(PROTECTION_FILE);
        for unclear in ["", "{", "{\"formatVersion\": 2, \"until\": \"yesterday\"}"] {
            fs::write(&path, unclear).unwrap();
            assert_eq!(
                Protected::from_set(&set, now),
                Protected::ForGood,
                "{unclear}"
            );
        }
        assert!(Protection::remove(&set).unwrap());
        assert!(!Protection::remove(&set).unwrap());
        assert_eq!(Protected::from_set(&set, now), Protected::No);
    }
}
