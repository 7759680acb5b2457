//! The names inside, and of, a backup set.

use jiff::Timestamp;

/// The database dump, in PostgreSQL's custom format: what pgmig takes as it is.
pub const DUMP_FILE: &str = "store.dump";
/// The auth-encryption secret.
pub const AUTH_ENCRYPTION_FILE: &str = "auth-encryption.yaml";
/// The manifest, written last.
pub const MANIFEST_FILE: &str = "backup.json";
/// A file that is still being written.
pub(super) const PARTIAL_SUFFIX: &str = ".partial";

/// The name of a set: `wa-cpd-20261122T205500Z`.
pub fn set_name(instance: &str, namespace: &str, time: Timestamp) -> String {
    format!("{instance}-{namespace}-{}", time.strftime("%Y%m%dT%H%M%SZ"))
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
