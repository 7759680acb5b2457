//! What a restore is going to change, which the user agrees to.

use store_restore::checks::{Facts, SafetyPlace};
use store_restore::mapping::{Mapping, Pair, named};
use wa_common::report::{Event, Reporter, bytes, count};

/// What every restore costs beside pgmig itself: pods that go and come.
const LEAST_MINUTES: u64 = 5;
/// How much of a dump pgmig restores in a minute, at the least that was seen.
const BYTES_A_MINUTE: u64 = 200 << 20;

/// What is kept of what there is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kept {
    /// The target's encryption key, though the backup's differs.
    pub(super) encryption_key: bool,
    /// The current database, in a backup.
    pub(super) safety_backup: bool,
}

/// What the user agrees to, a line each.
pub(super) struct Changes(Vec<(&'static str, String)>);

impl Changes {
    pub(super) fn new(facts: &Facts, safety: &SafetyPlace, kept: Kept) -> Self {
        let mut changes = Self(Vec::new());
        changes.add_database(facts);
        if let Some(mapping) = &facts.mapping {
            changes.add_instances(mapping);
        }
        for stopped in facts.stores.iter().flatten().chain(&facts.operator) {
            let what = format!("{} in {}", stopped.in_words(), stopped.namespace);
            changes.add("stops", what);
        }
        if facts.key_differs {
            let what = if kept.encryption_key {
                "kept, though the backup's differs: restored data cannot be read"
            } else {
                "replaced by the backup's; the old one is kept"
            };
            changes.add("encryption key", what.to_owned());
        }
        changes.add("safety backup", safety_backup(safety, kept));
        if let Some(source) = &facts.source {
            changes.add("production down", down_time(source.bytes));
        }
        changes
    }

    fn add(&mut self, what: &'static str, detail: String) {
        self.0.push((what, detail));
    }

    fn add_database(&mut self, facts: &Facts) {
        if let (Some(instance), Some(datastore)) = (&facts.instance, &facts.datastore) {
            let erased = format!(
                "database {} of {} in {}",
                datastore.database, instance.name, instance.namespace
            );
            self.add("erased", erased);
        }
        if let Some(source) = &facts.source {
            let restored = format!("{}, {}", source.path.display(), source.counts);
            self.add("restored", restored);
        }
    }

    fn add_instances(&mut self, mapping: &Mapping) {
        for pair in &mapping.pairs {
            self.add("instance", pair_in_words(pair));
        }
        for target in &mapping.targets_left {
            let erased = format!(
                "{} {}, for which the backup has nothing",
                target.id,
                named(target)
            );
            self.add("erased", erased);
        }
    }

    /// Says it, a line each.
    pub(super) fn tell(&self, reporter: &dyn Reporter) {
        for (step, detail) in &self.0 {
            reporter.report(&Event::Step {
                step,
                detail: detail.clone(),
            });
        }
    }
}

fn pair_in_words(pair: &Pair) -> String {
    let Pair { source, target, .. } = pair;
    let from = format!("{} {}", source.id, named(source));
    if source.id == target.id {
        return from;
    }
    format!("{from} -> {} {}", target.id, named(target))
}

fn safety_backup(place: &SafetyPlace, kept: Kept) -> String {
    if !kept.safety_backup {
        return "none: without room for a copy in the server there is no way back".to_owned();
    }
    let keys = place.encrypt_to.len() + place.recipients_files.len();
    let encrypted = if keys > 0 { ", encrypted" } else { "" };
    format!("into {}{encrypted}", place.to.display())
}

fn down_time(dump_bytes: u64) -> String {
    let minutes = LEAST_MINUTES + dump_bytes / BYTES_A_MINUTE;
    format!(
        "about {} for {}, if nothing goes wrong",
        count(minutes, "minute"),
        bytes(dump_bytes)
    )
}
