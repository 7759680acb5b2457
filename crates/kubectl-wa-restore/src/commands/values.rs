//! Values that a shell completes: releases.

use store_restore::release::table;
use wa_common::cli::Candidate;

/// The values that the help calls `name`.
pub(super) fn named(name: &str) -> Vec<Candidate> {
    match name {
        // Of `upgrade-path`.
        "FROM" | "TO" | "RELEASE" => releases(),
        _ => Vec::new(),
    }
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
