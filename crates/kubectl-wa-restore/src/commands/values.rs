//! Values that a shell completes: releases, and words for backups.

use std::path::Path;

use backup_set::resolve_backup;
use store_restore::release::table;
use wa_common::cli::{Asked, Candidate};

/// The values that the help calls `name`.
pub(super) fn named(name: &str, asked: &Asked) -> Vec<Candidate> {
    match name {
        "BACKUP" => latest(asked.current()),
        // Of `upgrade-path`.
        "FROM" | "TO" | "RELEASE" => releases(),
        _ => Vec::new(),
    }
}

/// The words that stand for a set that is there; the sets themselves are told for every plugin.
fn latest(typed: &str) -> Vec<Candidate> {
    let directory = typed.rsplit_once('/').map(|(directory, _)| directory);
    let prefix = directory.map_or(String::new(), |directory| format!("{directory}/"));
    let words = ["latest", "latest~1"].into_iter();
    words
        .filter_map(|word| {
            let word = format!("{prefix}{word}");
            let set = resolve_backup(Path::new(&word)).ok()?;
            let name = set.file_name()?.to_string_lossy().into_owned();
            Some(Candidate::new(word).help(name))
        })
        .collect()
}

/// Those of IBM's table; one that was installed has another number in the place of `x`.
fn releases() -> Vec<Candidate> {
    let rows = table();
    let all = rows
        .iter()
        .flat_map(|row| std::iter::once(&row.from).chain(&row.to));
    let mut releases: Vec<String> = all.map(ToString::to_string).collect();
    releases.sort();
    releases.dedup();
    releases.into_iter().map(Candidate::new).collect()
}
