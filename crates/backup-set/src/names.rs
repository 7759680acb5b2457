//! The names inside, and of, a backup set, and of where sets are.

use std::path::Path;

use jiff::Timestamp;

/// The database dump, in PostgreSQL's custom format: what pgmig takes as it is.
pub const DUMP_FILE: &str = "store.dump";
/// The auth-encryption secret.
pub const AUTH_ENCRYPTION_FILE: &str = "auth-encryption.yaml";
/// The manifest, written last.
pub const MANIFEST_FILE: &str = "backup.json";
/// A file that is still being written.
pub(crate) const PARTIAL_SUFFIX: &str = ".partial";

/// The name of a set: `wa-cpd-20261122T205500Z`.
pub fn set_name(instance: &str, namespace: &str, time: Timestamp) -> String {
    format!("{instance}-{namespace}-{}", time.strftime("%Y%m%dT%H%M%SZ"))
}

/// What stands before `://` in it, where it is a URL.
pub fn scheme_of(given: &Path) -> Option<&str> {
    let (scheme, _) = given.to_str()?.split_once("://")?;
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.chars().all(|one| one.is_ascii_alphanumeric());
    is_scheme.then_some(scheme)
}

/// How many sets may have the same name.
const MOST_NUMBERED: u32 = 100;

/// The names for a set in the order in which they are tried: `name`, `name-2`, `name-3`, …
pub fn numbered_names(name: &str) -> impl Iterator<Item = String> {
    (1..=MOST_NUMBERED).map(move |number| match number {
        1 => name.to_owned(),
        number => format!("{name}-{number}"),
    })
}

/// A set's name without the number.
pub(crate) fn without_number(name: &str) -> &str {
    match name.rsplit_once('-') {
        Some((before, number)) if number.len() < 4 && number.parse::<u32>().is_ok() => before,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_named_after_instance_namespace_and_utc_time() {
        let time: Timestamp = "2026-11-22T21:55:00+01:00".parse().unwrap();
        assert_eq!(set_name("wa", "cpd", time), "wa-cpd-20261122T205500Z");
    }
}
