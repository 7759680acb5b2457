//! Which `pg_restore` reads which archive.

use pg_archive::Header;
use thiserror::Error;
use wa_common::report::{Exit, HasExit, printable};

/// A `pg_restore` is older than what an archive needs, which says nothing about the archive.
#[derive(Debug, Error)]
#[error(
    "the dump's archive version 1.{archive_minor} is read from PostgreSQL {needed} on, and {place} has pg_restore {}: {instead}",
    printable(version)
)]
pub struct TooOld {
    archive_minor: u8,
    needed: u32,
    place: String,
    version: String,
    instead: &'static str,
}

impl HasExit for TooOld {
    fn exit(&self) -> Option<Exit> {
        Some(Exit::Refused)
    }
}

/// An error where the `pg_restore` of this version, in `place`, does not read an archive with this header; `instead` is
/// what to do.
pub(crate) fn require_reads(
    version: &str,
    place: &str,
    header: &Header,
    instead: &'static str,
) -> Result<(), TooOld> {
    let minor = header.version.minor;
    let needed = least_major(minor);
    if major(version).is_none_or(|own| own >= needed) {
        return Ok(());
    }
    Err(TooOld {
        archive_minor: minor,
        needed,
        place: place.to_owned(),
        version: version.to_owned(),
        instead,
    })
}

/// `pg_restore (PostgreSQL) 15.18 (Debian …)` → `15.18`
pub(crate) fn version_in(printed: &str) -> Option<String> {
    let mut words = printed.split_whitespace();
    let version = words.find(|word| word.starts_with(|first: char| first.is_ascii_digit()));
    version.map(str::to_owned)
}

/// The major version in a version.
pub(crate) fn major(version: &str) -> Option<u32> {
    let digits = version
        .split(|letter: char| !letter.is_ascii_digit())
        .next()?;
    digits.parse().ok()
}

/// The first PostgreSQL whose pg_restore reads the archive version 1.`minor`.
fn least_major(minor: u8) -> u32 {
    match minor {
        0..=12 => 9,
        13 => 10,
        14 => 12,
        15 => 16,
        _ => 17,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_needs_the_postgresql_that_brought_its_version() {
        assert_eq!([12, 13, 14, 15, 16].map(least_major), [9, 10, 12, 16, 17]);
        let printed = "pg_restore (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n";
        assert_eq!(version_in(printed).as_deref(), Some("15.18"));
        assert!(major("17beta1") > major("16.4"));
    }
}
