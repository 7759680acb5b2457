//! `pg_restore --list --create`, which says what is in the head of an archive.

use std::io::Read;

use pg_archive::{Archive, TocEntry};

pub(crate) fn assert_listed<R: Read>(archive: &Archive<R>, list: &str) {
    let expected: Vec<_> = list.lines().filter(|line| !line.starts_with(';')).collect();
    // pg_restore leaves out what is no object of its own.
    let entries: Vec<_> = archive
        .entries()
        .iter()
        .filter(|entry| !matches!(&*entry.kind, "ENCODING" | "STDSTRINGS" | "SEARCHPATH"))
        .map(listed)
        .collect();
    assert_eq!(entries, expected);
    let header = archive.header();
    for line in [
        format!("; Archive created at {}", header.created),
        format!(";     dbname: {}", header.database.as_deref().unwrap()),
        format!(";     TOC Entries: {}", archive.entries().len()),
        format!(";     Dump Version: {}-0", header.version),
        format!(
            ";     Dumped from database version: {}",
            header.server_version.as_deref().unwrap()
        ),
        format!(
            ";     Dumped by pg_dump version: {}",
            header.pg_dump_version.as_deref().unwrap()
        ),
    ] {
        assert!(
            list.lines().any(|listed| listed.starts_with(&line)),
            "{line:?} is not in\n{list}"
        );
    }
}

fn listed(entry: &TocEntry) -> String {
    let TocEntry {
        dump_id,
        catalog_oid,
        oid,
        kind,
        tag,
        ..
    } = entry;
    let schema = entry.schema.as_deref().unwrap_or("-");
    let owner = entry.owner.as_deref().unwrap_or_default();
    format!("{dump_id}; {catalog_oid} {oid} {kind} {schema} {tag} {owner}")
}
