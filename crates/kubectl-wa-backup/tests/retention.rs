//! `prune`, `protect` and `status` on directories of sets.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod plugin;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use plugin::{assert_contains, backup};

/// A set of that many days ago, and what is different about its manifest.
fn set(directory: &Path, days: i64, other: &Value) -> PathBuf {
    let now = jiff::Timestamp::now();
    let time = now - jiff::SignedDuration::from_hours(24 * days);
    let mut manifest = json!({
        "formatVersion": 2,
        "tool": {"name": "test", "version": "0"},
        "cluster": {"server": "https://api.example:6443", "context": null},
        "namespace": "cpd", "instance": "wa", "release": "5.1.0", "purpose": "backup", "method": "pg_dump",
        "startedAt": time, "finishedAt": time, "verifiedAt": time,
        "pgDump": {"pod": null, "version": null, "serverVersion": null, "database": null},
        "files": [{"name": "store.dump", "role": "store-dump", "bytes": 4, "sha256": "00"}],
        "tables": [], "instances": [],
    });
    for (name, value) in other.as_object().into_iter().flatten() {
        manifest[name] = value.clone();
    }
    let names = [&manifest["instance"], &manifest["namespace"]].map(|name| name.as_str().unwrap());
    let [instance, namespace] = names;
    let name = format!("{instance}-{namespace}-{}", time.strftime("%Y%m%dT%H%M%SZ"));
    let set = directory.join("wa-backups").join(name);
    fs::create_dir_all(&set).unwrap();
    fs::write(set.join("store.dump"), "dump").unwrap();
    fs::write(set.join("backup.json"), manifest.to_string()).unwrap();
    set
}

fn sets(directory: &Path) -> usize {
    fs::read_dir(directory.join("wa-backups")).unwrap().count()
}

#[test]
fn what_no_rule_keeps_goes_once_it_is_confirmed_and_the_table_says_why() {
    let scratch = tempfile::tempdir().unwrap();
    let here = scratch.path();
    let made: Vec<PathBuf> = (0..5).map(|days| set(here, days, &json!({}))).collect();
    let keep = ["prune", "--keep-last", "2"];
    let dry = backup(here, &[&keep[..], &["--dry-run"]].concat(), 0);
    assert_contains(&dry.stdout, "last 1, newest verified");
    assert_contains(&dry.stdout, "no rule keeps it");
    assert_contains(&dry.stdout, "2 stay, 3 go: ");
    let unasked = backup(here, &keep, 4);
    assert_contains(
        &unasked.stderr,
        "nothing was deleted: it was not confirmed; --yes",
    );
    assert_eq!(sets(here), 5);
    let json = backup(here, &[&keep[..], &["--yes", "-o", "json"]].concat(), 0);
    let json: Value = serde_json::from_str(&json.stdout).unwrap();
    let deleted: Vec<bool> = json["backups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["deleted"].as_bool().unwrap())
        .collect();
    assert_eq!(deleted, [false, false, true, true, true]);
    let left: Vec<bool> = made.iter().map(|path| path.exists()).collect();
    assert_eq!(left, [true, true, false, false, false]);
    // There is nothing to be asked about.
    let again = backup(here, &keep, 0);
    assert_contains(&again.stdout, "2 stay, 0 go");
}

#[test]
fn a_policy_that_keeps_nothing_is_refused() {
    let scratch = tempfile::tempdir().unwrap();
    set(scratch.path(), 1, &json!({}));
    for empty in [
        &["prune", "--yes"][..],
        &["prune", "--yes", "--keep-last", "0"],
    ] {
        let refused = backup(scratch.path(), empty, 4);
        assert_contains(
            &refused.stderr,
            "no rule says which backups are to be kept; give --keep-last",
        );
    }
    backup(scratch.path(), &["prune", "--weekly-day", "1"], 1);
    backup(
        scratch.path(),
        &["prune", "--keep-weekly", "1", "--weekly-day", "7"],
        1,
    );
    assert_eq!(sets(scratch.path()), 1);
}

#[test]
fn sets_of_others_and_what_is_no_set_are_left_alone() {
    let scratch = tempfile::tempdir().unwrap();
    let here = scratch.path();
    set(here, 1, &json!({}));
    let old = set(here, 50, &json!({}));
    let safety = set(here, 51, &json!({"purpose": "safety"}));
    let other = set(here, 60, &json!({"instance": "wo-wa"}));
    let newer = set(here, 61, &json!({"formatVersion": 99}));
    let noted = set(here, 62, &json!({}));
    fs::write(noted.join("notes.txt"), "why this one matters").unwrap();
    let photos = here.join("wa-backups/photos-20200101T000000Z");
    fs::create_dir(&photos).unwrap();
    let several = backup(here, &["prune", "--keep-last", "1", "--yes"], 4);
    assert_contains(
        &several.stderr,
        "backups of several installations: wa in cpd on https://api.example:6443; wo-wa in cpd",
    );
    assert_contains(&several.stderr, "-i INSTANCE");
    let pruned = backup(here, &["prune", "--keep-last", "1", "--yes", "-i", "wa"], 0);
    assert_contains(&pruned.stdout, "something else is in it: notes.txt");
    assert_contains(&pruned.stdout, "2 other sets in ./wa-backups left alone");
    assert!(!old.exists());
    for left in [safety, other, newer, noted, photos] {
        assert!(left.exists(), "{}", left.display());
    }
}

#[test]
fn another_name_of_a_set_is_no_second_one() {
    let scratch = tempfile::tempdir().unwrap();
    let here = scratch.path();
    let newest = set(here, 1, &json!({}));
    let second = set(here, 2, &json!({}));
    std::os::unix::fs::symlink(&newest, here.join("wa-backups/current")).unwrap();
    let pruned = backup(here, &["prune", "--keep-last", "2", "--yes"], 0);
    assert_contains(&pruned.stdout, "it is a symbolic link");
    assert!(newest.join("store.dump").exists() && second.exists());
}

#[test]
fn a_set_that_was_never_finished_goes_after_a_day() {
    let scratch = tempfile::tempdir().unwrap();
    let here = scratch.path();
    set(here, 1, &json!({}));
    let unfinished = here.join("wa-backups/wa-cpd-20200101T000000Z");
    fs::create_dir(&unfinished).unwrap();
    let file = fs::File::create(unfinished.join("store.dump.partial")).unwrap();
    let young = backup(here, &["prune", "--keep-last", "1", "--yes"], 0);
    assert_contains(&young.stdout, "incomplete, for less than a day");
    let days = std::time::Duration::from_hours(48);
    file.set_modified(std::time::SystemTime::now() - days)
        .unwrap();
    backup(here, &["prune", "--keep-last", "1", "--yes"], 0);
    assert!(!unfinished.exists());
}

#[test]
fn a_protected_set_stays_until_the_protection_ends() {
    let scratch = tempfile::tempdir().unwrap();
    let here = scratch.path();
    set(here, 1, &json!({}));
    let old = set(here, 50, &json!({}));
    let path = old.to_str().unwrap();
    let until = backup(here, &["protect", path, "--until", "2999-12-31"], 0);
    assert_contains(&until.stdout, "is protected until 3000-01-01 00:00 UTC");
    let manifest = fs::read(old.join("backup.json")).unwrap();
    let pruned = backup(here, &["prune", "--keep-last", "1", "--yes"], 0);
    assert_contains(&pruned.stdout, "protected until 3000-01-01");
    assert!(old.exists());
    assert_contains(&backup(here, &["list"], 0).stdout, "complete, protected");
    assert_eq!(fs::read(old.join("backup.json")).unwrap(), manifest);
    backup(here, &["protect", path, "--until", "2001-01-01"], 1);
    backup(here, &["protect", path, "--remove"], 0);
    backup(here, &["prune", "--keep-last", "1", "--yes"], 0);
    assert!(!old.exists());
    fs::write(here.join("alone.dump"), "PGDMP").unwrap();
    let alone = backup(here, &["protect", "alone.dump"], 1);
    assert_contains(&alone.stderr, "only a backup set can be protected");
}

#[test]
fn a_dump_from_the_volume_is_as_old_as_it_was_there() {
    let scratch = tempfile::tempdir().unwrap();
    let here = scratch.path();
    let modified = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(100);
    let volume = json!({"claim": "c", "file": "f", "modified": modified, "via": "pod"});
    set(here, 0, &json!({"method": "volume", "volume": volume}));
    let status = backup(here, &["status", "--max-age", "26h"], 3);
    assert_contains(
        &status.stderr,
        "the newest good backup of wa in cpd is 4d old, more than 26h",
    );
    backup(here, &["status", "--max-age", "5d"], 0);
}

#[test]
fn status_tells_the_newest_good_backup_and_is_3_where_that_is_too_old() {
    let scratch = tempfile::tempdir().unwrap();
    let here = scratch.path();
    let none = backup(here, &["status"], 3);
    assert_contains(&none.stderr, "there is no backup in ./wa-backups");
    set(here, 1, &json!({"purpose": "safety"}));
    let failed = set(here, 2, &json!({}));
    fs::write(
        failed.join("rehearsal.json"),
        json!({
            "formatVersion": 1, "tool": {"name": "t", "version": "0"}, "rehearsedAt": "2026-01-01T00:00:00Z",
            "dumpSha256": "00", "place": "pod", "postgres": "16", "restoreMilliseconds": 1, "tables": 0, "rows": 0,
            "instances": null, "problems": ["the table a is missing"],
        })
        .to_string(),
    )
    .unwrap();
    set(here, 3, &json!({"verifiedAt": null}));
    let report = backup(here, &["status", "-o", "json", "--max-age", "4d"], 0);
    let report: Value = serde_json::from_str(&report.stdout).unwrap();
    let newest = &report["installations"][0]["newest"];
    assert_eq!(newest["ageSeconds"].as_i64().unwrap() / 86_400, 3);
    assert_eq!(newest["verified"], false);
    backup(here, &["status", "--max-age", "2d"], 3);
    let of_other = backup(here, &["status", "-i", "other"], 3);
    assert_contains(&of_other.stderr, "there is no backup in");
}

#[test]
fn an_installation_that_was_made_anew_under_its_names_is_one_to_monitoring() {
    let scratch = tempfile::tempdir().unwrap();
    let here = scratch.path();
    set(here, 40, &json!({"instanceUid": "before"}));
    set(here, 1, &json!({"instanceUid": "after"}));
    let arguments = ["status", "--max-age", "2d", "--metrics", "wa.prom"];
    backup(here, &arguments, 0);
    let text = fs::read_to_string(here.join("wa.prom")).unwrap();
    // node_exporter reads nothing of a file in which a series is told twice.
    let mut series: Vec<_> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.rsplit_once(' ').unwrap().0)
        .collect();
    let all = series.len();
    series.sort_unstable();
    series.dedup();
    assert_eq!(series.len(), all, "{text}");
    assert!(text.contains("wa_backup_sets{instance_name=\"wa\""));
}

#[test]
fn metrics_are_written_whole_and_for_anyone_to_read() {
    use std::os::unix::fs::PermissionsExt as _;
    let scratch = tempfile::tempdir().unwrap();
    let here = scratch.path();
    let file = here.join("out/wa_backup.prom");
    fs::create_dir(here.join("out")).unwrap();
    set(here, 1, &json!({}));
    fs::write(&file, "old").unwrap();
    backup(here, &["status", "--metrics", "out/wa_backup.prom"], 0);
    let text = fs::read_to_string(&file).unwrap();
    let labels = "instance_name=\"wa\",namespace=\"cpd\",server=\"https://api.example:6443\",directory=\"./wa-backups\"";
    assert_contains(
        &text,
        "# TYPE wa_backup_last_success_timestamp_seconds gauge\n",
    );
    assert_contains(&text, &format!("wa_backup_verified{{{labels}}} 1\n"));
    assert_contains(&text, &format!("wa_backup_sets{{{labels}}} 1\n"));
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o644
    );
    assert_eq!(fs::read_dir(here.join("out")).unwrap().count(), 1);
    // Without a backup there is no time of one, which `absent()` sees.
    fs::remove_dir_all(here.join("wa-backups")).unwrap();
    backup(here, &["status", "--metrics", "out/wa_backup.prom"], 3);
    let text = fs::read_to_string(&file).unwrap();
    assert!(!text.contains("last_success"), "{text}");
    assert_contains(&text, "wa_backup_checked_timestamp_seconds");
    backup(here, &["status", "--metrics", "nowhere/wa_backup.prom"], 1);
}
