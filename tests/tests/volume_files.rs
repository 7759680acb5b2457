//! What may be on the backup volume beside good dumps: any name, links, broken and unfinished dumps, odd keys.

#![expect(
    clippy::unwrap_used,
    reason = "what cannot be unwrapped here fails the test"
)]

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use end_to_end::{Outcome, Placed, World, fetched, sets, wait_until};
use kube_sandbox::faults::{Effect, Matcher};
use serde_json::Value;

#[test]
fn any_name_is_listed_and_fetched_and_none_reaches_the_terminal_raw() {
    let world = World::shared();
    let dump = world.newest_dump();
    let names = [
        "store.dump_by hand",
        "-rf --no-preserve-root",
        "two\nlines and a \"quote\"",
        "\u{1b}[31mred\u{1b}]0;title\u{7}",
        "$(reboot) `id` * ü",
    ];
    let placed: Vec<Placed> = names
        .iter()
        .zip(1..)
        .map(|(name, age)| Placed::file(&world, name, &dump).aged(Duration::from_mins(age)))
        .collect();
    let scratch = world.scratch();
    let listed = world.pvc(scratch.path(), &["list"]).expect_code(0);
    assert!(!listed.everything().contains('\u{1b}'), "{}", listed.stdout);
    // A header, and a line for each file.
    let files = fs::read_dir(world.volume_directory()).unwrap().count();
    assert_eq!(
        listed.stdout.lines().count(),
        1 + files,
        "{}",
        listed.stdout
    );
    let listed = world
        .pvc(scratch.path(), &["list", "-o", "json"])
        .expect_code(0)
        .json();
    for name in names {
        let files = listed["files"].as_array().unwrap();
        assert!(files.iter().any(|file| file["name"] == name), "{name:?}");
    }

    let arguments = [&["-o", "json", "--"], &names[..]].concat();
    let outcome = world.pull(scratch.path(), &arguments).expect_code(0);
    assert!(
        !outcome.everything().contains('\u{1b}'),
        "{}",
        outcome.stderr
    );
    assert_eq!(fetched(&outcome), names);
    for set in sets(scratch.path()) {
        assert!(fs::read(set.join("store.dump")).unwrap() == dump);
    }
    let human = world.pull(scratch.path(), &["--", names[3]]).expect_code(0);
    assert!(!human.everything().contains('\u{1b}'), "{}", human.stdout);
    drop(placed);
    world.expect_nothing_left();
}

#[test]
fn dumps_of_the_same_second_are_two_sets() {
    let world = World::shared();
    let scratch = world.scratch();
    let names = ["store.dump_one", "store.dump_other"];
    let then = SystemTime::now() - Duration::from_mins(10);
    let placed =
        names.map(|name| Placed::file(&world, name, &world.newest_dump()).written_at(then));
    world.pull(scratch.path(), &names).expect_code(0);
    assert_eq!(sets(scratch.path()).len(), 2);
    drop(placed);
    world.expect_nothing_left();
}

#[test]
fn what_is_no_file_is_listed_as_what_it_is_and_never_followed() {
    let world = World::shared();
    let scratch = world.scratch();
    let link = Placed::link(&world, "store.dump_29991231-230000", "/etc/passwd");
    let lost = Placed::directory(&world, "lost+found");
    let notes = Placed::file(&world, "notes.txt", b"hello");

    let listed = world
        .pvc(scratch.path(), &["list", "-o", "json"])
        .expect_code(0)
        .json();
    let kind = |name: &str| {
        let files = listed["files"].as_array().unwrap();
        let file = files.iter().find(|file| file["name"] == name).unwrap();
        file["kind"].clone()
    };
    assert_eq!(kind("store.dump_29991231-230000"), "symlink");
    assert_eq!(kind("lost+found"), "directory");
    assert_eq!(kind("notes.txt"), "other");
    let newest = world
        .pull(scratch.path(), &["--latest", "-o", "json"])
        .expect_code(0);
    assert_eq!(fetched(&newest), world.dumps()[1..2]);
    let refused = world.scratch();
    world
        .pull(
            refused.path(),
            &["store.dump_29991231-230000", "lost+found", "nowhere"],
        )
        .expect_code(1)
        .expect_error(&[
            "\"store.dump_29991231-230000\" is a symlink",
            "\"lost+found\" is a directory",
            "\"nowhere\" is not on the volume",
            "nothing was fetched",
        ]);
    assert_eq!(sets(refused.path()), Vec::<PathBuf>::new());
    drop((link, lost, notes));
    world.expect_nothing_left();
}

#[test]
fn a_dump_that_is_broken_on_the_volume_is_no_backup() {
    let world = World::shared();
    let whole = world.newest_dump();
    let cut = &whole[..whole.len() / 2];
    let placed = Placed::file(&world, "store.dump_broken", cut).aged(Duration::from_mins(1));
    let name = "store.dump_broken";
    let scratch = world.scratch();
    let outcome = world
        .pull(scratch.path(), &[name])
        .expect_code(3)
        .expect_error(&["broken there", "--no-verify"]);
    assert_eq!(outcome.stdout, "");
    assert_eq!(sets(scratch.path()), Vec::<PathBuf>::new());
    // The others are fetched all the same, and the exit code tells.
    let both = world.scratch();
    let arguments = [name, &world.dumps()[1], "-o", "json"];
    let outcome = world.pull(both.path(), &arguments).expect_code(3);
    assert_eq!(fetched(&outcome), world.dumps()[1..2]);

    let unverified = world.scratch();
    let outcome = world
        .pull(unverified.path(), &[name, "--no-verify"])
        .expect_code(0);
    assert!(
        outcome.stdout.contains("not verified"),
        "{}",
        outcome.stdout
    );
    let set = world.only_set(&unverified.path().join("sets"));
    assert!(fs::read(set.join("store.dump")).unwrap() == cut);
    world
        .backup(unverified.path(), &["verify", set.to_str().unwrap()])
        .expect_code(3);
    drop(placed);
    world.expect_nothing_left();
}

#[test]
fn the_dump_that_a_backup_is_writing_is_left_out() {
    let world = World::shared();
    let scratch = world.scratch();
    let earlier = world.dumps()[0].clone();
    // A job's start is told in whole seconds: what is written in the same one may be its own.
    let written = world.volume_directory().join(&earlier);
    let written = written.metadata().unwrap().modified().unwrap();
    wait_until("the newest dump is of an earlier second", || {
        written
            .elapsed()
            .is_ok_and(|age| age > Duration::from_secs(1))
    });
    world.start_job_on_volume("slow-backup");
    let placed = Placed::file(&world, "store.dump_half-written", b"PGDMP");
    let outcome = world.pull(scratch.path(), &["--latest", "-o", "json"]);
    let all = world.pull(scratch.path(), &["--all", "-o", "json"]);
    world.kubectl(&["delete", "job", "slow-backup", "--wait", "--timeout=60s"]);
    drop(placed);
    let warning = "\"message\":\"store.dump_half-written is left out: a backup is running";
    let outcome = outcome.expect_code(0).expect_error(&[warning]);
    assert_eq!(fetched(&outcome), [earlier]);
    let all = all.expect_code(0).expect_error(&[warning]);
    assert_eq!(fetched(&all).len(), world.dumps().len());
    world.expect_nothing_left();
}

/// Pulls a dump that has this beside it as its key, and returns what the set consists of.
#[track_caller]
fn set_with_key(world: &World, key: &[u8]) -> (Vec<String>, Outcome) {
    let scratch = world.scratch();
    let dump = Placed::file(world, "store.dump_20200102-030405", &world.newest_dump());
    let dump = dump.aged(Duration::from_hours(1));
    let key = Placed::file(world, "auth-encryption-wa_20200102-030405.yaml", key);
    let outcome = world.pull(scratch.path(), &["store.dump_20200102-030405"]);
    drop((dump, key));
    world.expect_nothing_left();
    let set = world.only_set(&scratch.path().join("sets"));
    let set = set.to_str().unwrap();
    world
        .backup(scratch.path(), &["verify", set])
        .expect_code(0);
    let files = fs::read_dir(set).unwrap();
    let mut files: Vec<String> = files
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    (files, outcome.expect_code(0))
}

#[test]
fn a_key_that_cannot_be_used_is_reported_and_the_dump_fetched_all_the_same() {
    let world = World::shared();
    let huge = vec![b'#'; 8 << 20];
    let other =
        b"apiVersion: v1\nkind: Secret\nmetadata:\n  name: other\ndata:\n  hunter2: aHVudGVyMg==\n";
    for key in [&b""[..], b"{", b"\xff\xfe", other, &huge] {
        let (files, outcome) = set_with_key(&world, key);
        assert_eq!(files, ["backup.json", "store.dump"], "{}", outcome.stderr);
        let outcome = outcome.expect_error(&["warning: the set has no auth-encryption.yaml"]);
        assert!(
            !outcome.everything().contains("hunter2"),
            "{}",
            outcome.stderr
        );
    }
}

#[test]
fn a_key_that_is_a_link_is_not_followed() {
    let world = World::shared();
    let scratch = world.scratch();
    let dump = Placed::file(&world, "store.dump_20200102-030405", &world.newest_dump());
    let dump = dump.aged(Duration::from_hours(1));
    let newest = world.dumps()[0].replace("store.dump_", "auth-encryption-wa_") + ".yaml";
    let key = Placed::link(&world, "auth-encryption-wa_20200102-030405.yaml", &newest);
    let arguments = ["store.dump_20200102-030405", "-o", "json"];
    let outcome = world.pull(scratch.path(), &arguments).expect_code(0);
    drop((dump, key));
    assert_eq!(
        outcome.json()["sets"][0]["files"].as_array().unwrap().len(),
        1
    );
    world.expect_nothing_left();
}

/// The streams that read a key.
fn key_requests() -> Matcher {
    Matcher {
        path: Some("command=cat".to_owned()),
        ..Matcher::default()
    }
}

#[test]
fn a_key_that_cannot_be_read_now_is_read_again_and_no_set_is_made_without_it() {
    let world = World::shared();
    let scratch = world.scratch();
    let cut = Effect::CutAfter { bytes: 0 };
    world.fault(key_requests(), Some(2), cut.clone());
    let outcome = world
        .pull(scratch.path(), &["--latest"])
        .expect_code(0)
        .expect_error(&["auth-encryption.yaml failed", "retry 2 of 2"]);
    world.sandbox().faults().clear();
    assert!(outcome.stdout.contains("fetched"), "{}", outcome.stdout);
    let set = world.only_set(&scratch.path().join("sets"));
    assert!(set.join("auth-encryption.yaml").exists());

    let scratch = world.scratch();
    world.fault(key_requests(), None, cut);
    let arguments = ["--latest", "--retries", "0"];
    world
        .pull(scratch.path(), &arguments)
        .expect_code(1)
        .expect_error(&["cannot read its auth-encryption file", "--without-key"]);
    assert_eq!(sets(scratch.path()), Vec::<PathBuf>::new());
    let arguments = [&arguments[..], &["--without-key"]].concat();
    world
        .pull(scratch.path(), &arguments)
        .expect_code(0)
        .expect_error(&["the set has no auth-encryption.yaml"]);
    world.sandbox().faults().clear();
    let set = world.only_set(&scratch.path().join("sets"));
    assert!(!set.join("auth-encryption.yaml").exists());
    world.expect_nothing_left();
}

#[test]
fn a_set_without_the_key_that_is_on_the_volume_is_not_the_dump() {
    let world = World::shared();
    let scratch = world.scratch();
    let name = "store.dump_20200102-030405";
    let pull = || world.pull(scratch.path(), &[name]).expect_code(0);
    let dump = Placed::file(&world, name, &world.newest_dump()).aged(Duration::from_hours(1));
    pull().expect_error(&["one for other dumps, and none for store.dump_20200102-030405"]);
    let unusable = Placed::file(&world, "auth-encryption-wa_20200102-030405.yaml", b"{");
    let again = pull().expect_error(&["cannot be used"]);
    assert!(
        again.stdout.contains("is there already"),
        "{}",
        again.stdout
    );
    drop(unusable);

    let key = world.dumps().into_iter().find(|dump| dump != name).unwrap();
    let key = key.replace("store.dump_", "auth-encryption-wa_") + ".yaml";
    let key = fs::read(world.volume_directory().join(key)).unwrap();
    let usable = Placed::file(&world, "auth-encryption-wa_20200102-030405.yaml", &key);
    let fetched = pull();
    assert!(fetched.stdout.contains("fetched"), "{}", fetched.stdout);
    let again = pull();
    assert!(
        again.stdout.contains("is there already"),
        "{}",
        again.stdout
    );
    let with_key = |set: &PathBuf| set.join("auth-encryption.yaml").exists();
    let sets = sets(scratch.path());
    assert_eq!(
        (sets.len(), sets.iter().filter(|set| with_key(set)).count()),
        (2, 1)
    );
    drop((dump, usable));
    world.expect_nothing_left();
}

#[test]
fn an_empty_file_is_fetched_and_is_no_dump() {
    let world = World::shared();
    let scratch = world.scratch();
    let empty = Placed::file(&world, "store.dump_empty", b"").aged(Duration::from_hours(1));
    world
        .pull(scratch.path(), &["store.dump_empty"])
        .expect_code(3);
    assert_eq!(sets(scratch.path()), Vec::<PathBuf>::new());
    world
        .pull(scratch.path(), &["store.dump_empty", "--no-verify"])
        .expect_code(0);
    let set = world.only_set(&scratch.path().join("sets"));
    assert_eq!(fs::metadata(set.join("store.dump")).unwrap().len(), 0);
    drop(empty);
    world.expect_nothing_left();
}

#[test]
fn a_volume_without_files_lists_none_and_has_nothing_to_fetch() {
    let world = World::start(wa_sandbox::world::Profile::default());
    for file in fs::read_dir(world.volume_directory()).unwrap() {
        fs::remove_file(file.unwrap().path()).unwrap();
    }
    let scratch = world.scratch();
    let listed = world.pvc(scratch.path(), &["list"]).expect_code(0);
    assert!(
        listed.stdout.starts_with("No files on the volume"),
        "{}",
        listed.stdout
    );
    let listed = world
        .pvc(scratch.path(), &["list", "-o", "json"])
        .expect_code(0);
    assert_eq!(listed.json()["files"], Value::Array(Vec::new()));
    world
        .pull(scratch.path(), &["--latest"])
        .expect_code(1)
        .expect_error(&["there are no dumps on the volume"]);
    assert_eq!(sets(scratch.path()), Vec::<PathBuf>::new());
    world.expect_nothing_left();
}
