//! Small records beside `backup.json`, which stays as it was sealed.

use std::io::{self, Read as _};

use serde::Serialize;

use crate::store::{FileState, StoredSet};

/// More than any record takes.
const LIMIT_BYTES: u64 = 1 << 20;

/// The record's content; none where there is no such file. It may be anyone's.
pub(crate) fn read(set: &dyn StoredSet, name: &str) -> io::Result<Option<Vec<u8>>> {
    match set.look(name) {
        Ok(FileState::File { .. }) => {}
        // A pipe would be waited for.
        Ok(FileState::NotAFile) => return Err(io::Error::other("is not a regular file")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    }
    let mut content = Vec::new();
    set.read_range(name, 0..LIMIT_BYTES)?
        .read_to_end(&mut content)?;
    Ok(Some(content))
}

/// Puts the record into the set, in place of an earlier one.
pub(crate) fn write(set: &dyn StoredSet, name: &str, record: &impl Serialize) -> io::Result<()> {
    let mut json = serde_json::to_vec_pretty(record)?;
    json.push(b'\n');
    set.put(name, &json)
}
