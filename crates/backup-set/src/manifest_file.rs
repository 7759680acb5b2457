//! Reading `backup.json`, which may be anyone's.

use std::io::{self, Read as _};

use human_text::bytes;

use crate::error::{BackupError, io_error};
use crate::listed::Listed;
use crate::manifest::MANIFEST_LIMIT_BYTES;
use crate::store::{FileState, StoredSet};
use crate::verdict::Problem;
use crate::{
    FORMAT_VERSION, FileRole, Identities, MANIFEST_FILE, Manifest, NotJudged, VerificationFailed,
};

/// Why a manifest is of no use.
pub(crate) enum Unusable {
    /// It is not there, or cannot be made out.
    Bad(Problem),
    /// It is of a format that a newer tool knows.
    Newer(String),
}

impl Unusable {
    fn bad(what: impl Into<String>) -> Self {
        Self::Bad(Problem::new(MANIFEST_FILE, what))
    }

    /// As an error about the set.
    pub(crate) fn into_error(self, set: &dyn StoredSet) -> BackupError {
        match self {
            Self::Newer(why) => NotJudged::new(set.location(), why, false).into(),
            Self::Bad(problem) => VerificationFailed::new(set.location(), vec![problem]).into(),
        }
    }

    /// As a part of a sentence: `backup.json cannot be read: …`.
    pub(crate) fn in_words(&self) -> String {
        match self {
            Self::Bad(problem) => format!("{} {}", problem.file, problem.what),
            Self::Newer(reason) => reason.clone(),
        }
    }
}

/// The manifest of a set.
pub(crate) fn read_manifest(
    set: &dyn StoredSet,
) -> Result<Result<Manifest, Unusable>, BackupError> {
    Ok(read_manifest_with_bytes(set)?.map(|(manifest, _)| manifest))
}

/// The manifest of a set, and its text.
pub(crate) fn read_manifest_with_bytes(
    set: &dyn StoredSet,
) -> Result<Result<(Manifest, Vec<u8>), Unusable>, BackupError> {
    Ok(read_manifest_text(set)?
        .and_then(|json| parse_manifest(&json).map(|manifest| (manifest, json))))
}

/// The text of a manifest, whatever it says.
pub(crate) fn read_manifest_text(
    set: &dyn StoredSet,
) -> Result<Result<Vec<u8>, Unusable>, BackupError> {
    let failed = |source| io_error(&set.location().join(MANIFEST_FILE), source);
    match set.look(MANIFEST_FILE) {
        Ok(FileState::File { .. }) => {}
        Ok(FileState::NotAFile) => return Ok(Err(Unusable::bad("is not a regular file"))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(Err(Unusable::bad(
                "is missing: the set is incomplete, or this is no backup set",
            )));
        }
        Err(source) => return Err(failed(source)),
    }
    let mut json = Vec::new();
    // One byte more tells a larger one.
    set.read_range(MANIFEST_FILE, 0..MANIFEST_LIMIT_BYTES as u64 + 1)
        .and_then(|mut file| file.read_to_end(&mut json))
        .map_err(failed)?;
    if json.len() > MANIFEST_LIMIT_BYTES {
        let limit = bytes(MANIFEST_LIMIT_BYTES as u64);
        return Ok(Err(Unusable::bad(format!("is larger than {limit}"))));
    }
    Ok(Ok(json))
}

/// The whole manifest of a set that is encrypted, of which `reduced` is the part that anyone can read; that itself, where
/// there is no other. The inner error is what is wrong with the backup.
pub(crate) fn read_full_manifest(
    set: &dyn StoredSet,
    reduced: Manifest,
    identities: &Identities,
) -> Result<Result<Manifest, Problem>, BackupError> {
    let Some(record) = reduced
        .files
        .iter()
        .find(|one| one.role == FileRole::Manifest)
    else {
        return Ok(Ok(reduced));
    };
    let mut listed = match Listed::open(set, record, Some(identities))? {
        Ok(listed) => listed,
        Err(problem) => return Ok(Err(problem)),
    };
    let mut json = Vec::new();
    // Whether it could be read, its hashes tell.
    let _ = (&mut listed)
        .take(MANIFEST_LIMIT_BYTES as u64)
        .read_to_end(&mut json);
    let (_, problems) = listed.conclude()?;
    if let Some(problem) = problems.into_iter().next() {
        return Ok(Err(problem));
    }
    let bad = |what: String| Ok(Err(Problem::new(&record.name, what)));
    let mut full = match parse_manifest(&json) {
        Ok(full) => full,
        Err(unusable) => return bad(format!("is no manifest: {}", unusable.in_words())),
    };
    full.files.push(record.clone());
    if full.files != reduced.files || full.started_at != reduced.started_at {
        return bad("is the manifest of another set".to_owned());
    }
    Ok(Ok(full))
}

fn parse_manifest(json: &[u8]) -> Result<Manifest, Unusable> {
    let unreadable = |error: serde_json::Error| Unusable::bad(format!("cannot be read: {error}"));
    let value: serde_json::Value = serde_json::from_slice(json).map_err(unreadable)?;
    // Before the rest, which a newer format may have changed.
    let version = value
        .get("formatVersion")
        .and_then(serde_json::Value::as_u64);
    if version.is_some_and(|version| version > u64::from(FORMAT_VERSION)) {
        return Err(Unusable::Newer(format!(
            "{MANIFEST_FILE} has format version {}, newer than this tool knows ({FORMAT_VERSION}): use a newer kubectl wa-backup",
            version.unwrap_or_default()
        )));
    }
    serde_json::from_value(value).map_err(unreadable)
}
