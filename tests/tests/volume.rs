//! The dumps on the backup volume, listed and fetched.

#![expect(
    clippy::unwrap_used,
    reason = "what cannot be unwrapped here fails the test"
)]

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use end_to_end::{Outcome, World, run};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::Value;
use wa_sandbox::faults::{Effect, Matcher};

/// A file that a test puts on the volume, gone with the test.
struct Placed(PathBuf);

impl Placed {
    fn new(world: &World, name: &str, content: &[u8]) -> Self {
        let path = world.volume_directory().join(name);
        fs::write(&path, content).unwrap();
        Self(path)
    }

    /// As if written that long ago.
    fn aged(self, seconds: u64) -> Self {
        let then = SystemTime::now() - Duration::from_secs(seconds);
        let file = File::options().write(true).open(&self.0).unwrap();
        file.set_modified(then).unwrap();
        self
    }
}

impl Drop for Placed {
    fn drop(&mut self) {
        if self.0.symlink_metadata().unwrap().is_dir() {
            fs::remove_dir(&self.0).unwrap();
        } else {
            fs::remove_file(&self.0).unwrap();
        }
    }
}

fn newest_dump(world: &World) -> Vec<u8> {
    fs::read(world.volume_directory().join(&world.dumps()[0])).unwrap()
}

/// Runs `pull --to sets` with more arguments.
fn pull(world: &World, directory: &Path, arguments: &[&str]) -> Outcome {
    world.pvc(directory, &[&["pull", "--to", "sets"], arguments].concat())
}

/// The backup sets in `sets`, complete or not.
fn sets(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory.join("sets")) else {
        return Vec::new();
    };
    entries.map(|entry| entry.unwrap().path()).collect()
}

fn json(outcome: &Outcome) -> Value {
    serde_json::from_str(&outcome.stdout).unwrap()
}

/// The files that were fetched, by their names on the volume and in the order of the output.
fn fetched(outcome: &Outcome) -> Vec<String> {
    let sets = json(outcome)["sets"].as_array().unwrap().clone();
    sets.iter()
        .map(|set| set["volume"]["file"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn the_newest_dump_becomes_a_set_that_holds_it_byte_for_byte() {
    let world = World::shared();
    let scratch = world.scratch();
    let outcome = pull(&world, scratch.path(), &["--latest"])
        .expect_code(0)
        .expect_error(&["via debug", "CronJob", "SHA-256", "verified"]);
    assert!(outcome.stdout.contains("fetched"), "{}", outcome.stdout);
    let set = world.only_set(&scratch.path().join("sets"));
    assert!(fs::read(set.join("store.dump")).unwrap() == newest_dump(&world));
    let key = fs::read_to_string(set.join("auth-encryption.yaml")).unwrap();
    assert!(key.contains("authorization_encryption_key"), "{key}");
    let manifest: Value =
        serde_json::from_slice(&fs::read(set.join("backup.json")).unwrap()).unwrap();
    let volume = &manifest["volume"];
    assert_eq!(volume["file"], world.dumps()[0]);
    assert_eq!(volume["claim"], "wa-store-db-backup-pvc");
    assert_eq!(volume["via"], "debug");
    assert_eq!(manifest["method"], "volume");
    for file in fs::read_dir(&set).unwrap() {
        let mode = file.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "others may read the set");
    }
    world.expect_nothing_left();

    let set = set.to_str().unwrap();
    for command in ["verify", "inspect"] {
        world.backup(scratch.path(), &[command, set]).expect_code(0);
    }
    let listed = ["list", "sets", "-o", "jsonpath={.backups[*].state}"];
    let listed = world.backup(scratch.path(), &listed).expect_code(0);
    assert_eq!(listed.stdout.trim(), "complete");
}

#[test]
fn a_dump_that_is_here_already_is_not_fetched_again() {
    let world = World::shared();
    let scratch = world.scratch();
    pull(&world, scratch.path(), &["--latest"]).expect_code(0);
    let again = pull(&world, scratch.path(), &["--latest"]).expect_code(0);
    assert!(
        again.stdout.contains("is there already"),
        "{}",
        again.stdout
    );
    let again = pull(&world, scratch.path(), &["--latest", "-o", "json"]).expect_code(0);
    assert_eq!(json(&again)["sets"][0]["fetched"], false);
    let set = world.only_set(&scratch.path().join("sets"));
    // One that has lost its end does not count.
    let dump = File::options().write(true).open(set.join("store.dump"));
    dump.unwrap().set_len(1000).unwrap();
    let repaired = pull(&world, scratch.path(), &["--latest", "-o", "json"]).expect_code(0);
    assert_eq!(json(&repaired)["sets"][0]["fetched"], true);
    assert_eq!(sets(scratch.path()).len(), 2);
    world.expect_nothing_left();
}

#[test]
fn all_dumps_or_those_since_a_time_or_the_named_ones_are_fetched() {
    let world = World::shared();
    let dumps = world.dumps();
    let time = |name: &str| {
        let path = world.volume_directory().join(name);
        let modified = fs::metadata(path).unwrap().modified().unwrap();
        let since_epoch = modified.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let ago = SystemTime::now().duration_since(modified).unwrap();
        (since_epoch.as_secs(), ago.as_secs())
    };
    let since = format!("{}s", time(&dumps[2]).1 + 30);
    for (arguments, expected) in [
        (vec!["--all"], &dumps[..]),
        (vec!["--since", &since], &dumps[..3]),
        (
            vec![&*dumps[4], &*dumps[2], &*dumps[4]],
            &[dumps[4].clone(), dumps[2].clone()],
        ),
    ] {
        let scratch = world.scratch();
        let arguments = [&arguments[..], &["-o", "json"]].concat();
        let outcome = pull(&world, scratch.path(), &arguments).expect_code(0);
        assert_eq!(fetched(&outcome), expected);
        assert_eq!(sets(scratch.path()).len(), expected.len());
        for (set, name) in json(&outcome)["sets"]
            .as_array()
            .unwrap()
            .iter()
            .zip(expected)
        {
            let set = scratch.path().join(set["path"].as_str().unwrap());
            let there = fs::read(world.volume_directory().join(name)).unwrap();
            assert!(fs::read(set.join("store.dump")).unwrap() == there);
        }
        world.expect_nothing_left();
    }
}

#[test]
fn any_name_is_listed_and_fetched_and_none_reaches_the_terminal_raw() {
    let world = World::shared();
    let dump = newest_dump(&world);
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
        .map(|(name, age)| Placed::new(&world, name, &dump).aged(age * 60))
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
    let listed = json(
        &world
            .pvc(scratch.path(), &["list", "-o", "json"])
            .expect_code(0),
    );
    for name in names {
        let files = listed["files"].as_array().unwrap();
        assert!(files.iter().any(|file| file["name"] == name), "{name:?}");
    }

    let arguments = [&["-o", "json", "--"], &names[..]].concat();
    let outcome = pull(&world, scratch.path(), &arguments).expect_code(0);
    assert!(
        !outcome.everything().contains('\u{1b}'),
        "{}",
        outcome.stderr
    );
    assert_eq!(fetched(&outcome), names);
    for set in sets(scratch.path()) {
        assert!(fs::read(set.join("store.dump")).unwrap() == dump);
    }
    let human = pull(&world, scratch.path(), &["--", names[3]]).expect_code(0);
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
    let placed = names.map(|name| {
        let placed = Placed::new(&world, name, &newest_dump(&world));
        let file = File::options().write(true).open(&placed.0).unwrap();
        file.set_modified(then).unwrap();
        placed
    });
    pull(&world, scratch.path(), &names).expect_code(0);
    assert_eq!(sets(scratch.path()).len(), 2);
    drop(placed);
    world.expect_nothing_left();
}

#[test]
fn what_is_no_file_is_listed_as_what_it_is_and_never_followed() {
    let world = World::shared();
    let scratch = world.scratch();
    let directory = world.volume_directory();
    let link = Placed(directory.join("store.dump_29991231-230000"));
    symlink("/etc/passwd", &link.0).unwrap();
    let lost = Placed(directory.join("lost+found"));
    fs::create_dir(&lost.0).unwrap();
    let notes = Placed::new(&world, "notes.txt", b"hello");

    let listed = json(
        &world
            .pvc(scratch.path(), &["list", "-o", "json"])
            .expect_code(0),
    );
    let kind = |name: &str| {
        let files = listed["files"].as_array().unwrap();
        let file = files.iter().find(|file| file["name"] == name).unwrap();
        file["kind"].clone()
    };
    assert_eq!(kind("store.dump_29991231-230000"), "symlink");
    assert_eq!(kind("lost+found"), "directory");
    assert_eq!(kind("notes.txt"), "other");
    let newest = pull(&world, scratch.path(), &["--latest", "-o", "json"]).expect_code(0);
    assert_eq!(fetched(&newest), world.dumps()[1..2]);
    let refused = world.scratch();
    pull(
        &world,
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
    let whole = newest_dump(&world);
    let cut = &whole[..whole.len() - 100];
    let placed = Placed::new(&world, "store.dump_broken", cut).aged(60);
    let name = "store.dump_broken";
    let scratch = world.scratch();
    let outcome = pull(&world, scratch.path(), &[name])
        .expect_code(3)
        .expect_error(&["broken there", "--no-verify"]);
    assert_eq!(outcome.stdout, "");
    assert_eq!(sets(scratch.path()), Vec::<PathBuf>::new());
    // The others are fetched all the same, and the exit code tells.
    let both = world.scratch();
    let arguments = [name, &world.dumps()[1], "-o", "json"];
    let outcome = pull(&world, both.path(), &arguments).expect_code(3);
    assert_eq!(fetched(&outcome), world.dumps()[1..2]);

    let unverified = world.scratch();
    let outcome = pull(&world, unverified.path(), &[name, "--no-verify"]).expect_code(0);
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
    world.start_job_on_volume("slow-backup");
    let placed = Placed::new(&world, "store.dump_half-written", b"PGDMP");
    let outcome = pull(&world, scratch.path(), &["--latest", "-o", "json"]);
    let all = pull(&world, scratch.path(), &["--all", "-o", "json"]);
    world.kubectl(&["delete", "job", "slow-backup", "--wait", "--timeout=60s"]);
    drop(placed);
    let warning = "\"message\":\"store.dump_half-written is left out: a backup is running";
    let outcome = outcome.expect_code(0).expect_error(&[warning]);
    assert_eq!(fetched(&outcome), [earlier]);
    let all = all.expect_code(0).expect_error(&[warning]);
    assert_eq!(fetched(&all).len(), world.dumps().len());
    world.expect_nothing_left();
}

#[test]
fn a_pull_that_broke_off_goes_on_with_what_is_here() {
    const BYTES: usize = 12 << 20;
    let world = World::shared();
    let scratch = world.scratch();
    let mut content = vec![0; BYTES];
    StdRng::seed_from_u64(3).fill_bytes(&mut content);
    let placed = Placed::new(&world, "large", &content).aged(60);
    let streams = Matcher {
        path: Some("nonce".to_owned()),
        ..Matcher::default()
    };
    let arguments = ["large", "--no-verify", "--streams", "1", "--retries", "0"];
    world.fault(streams, None, Effect::CutAfter { bytes: 9 << 20 });
    pull(&world, scratch.path(), &arguments)
        .expect_code(1)
        .expect_error(&["--resume", "kept in"]);
    world.sandbox().faults().clear();
    world.expect_nothing_left();
    let partial = world.only_set(&scratch.path().join("sets"));
    world
        .backup(scratch.path(), &["verify", partial.to_str().unwrap()])
        .expect_code(3);

    pull(
        &world,
        scratch.path(),
        &[&arguments[..], &["--resume"]].concat(),
    )
    .expect_code(0)
    .expect_error(&["resuming", "of 12.0 MiB are here", "comparing"]);
    let set = world.only_set(&scratch.path().join("sets"));
    assert!(fs::read(set.join("store.dump")).unwrap() == content);
    let left: Vec<_> = fs::read_dir(&set)
        .unwrap()
        .map(|file| file.unwrap().file_name())
        .collect();
    assert_eq!(left.len(), 2, "{left:?}");
    drop(placed);
    world.expect_nothing_left();
}

#[test]
fn kubectl_finds_the_plugin_by_both_of_its_names() {
    let world = World::shared();
    for words in [&["wa-pvc"][..], &["wa", "pvc"]] {
        let scratch = world.scratch();
        let mut kubectl = world.command("kubectl");
        kubectl
            .args(words)
            .args(["pull", "--latest", "--to", "sets"]);
        run(kubectl.current_dir(scratch.path())).expect_code(0);
        world.only_set(&scratch.path().join("sets"));
    }
    world.expect_nothing_left();
}

#[test]
fn pipes_get_no_colours_and_no_trailing_blanks() {
    let world = World::shared();
    let scratch = world.scratch();
    let listed = world.pvc(scratch.path(), &["list"]).expect_code(0);
    for line in listed.stdout.lines() {
        assert_eq!(line.trim_end(), line);
    }
    let info = world.pvc(scratch.path(), &["info"]).expect_code(0);
    assert!(!info.everything().contains('\u{1b}'));
    let always = ["info", "--color", "always"];
    let info = world.pvc(scratch.path(), &always).expect_code(0);
    assert!(info.stdout.contains('\u{1b}'));
    let mut no_color = world.pvc_command(scratch.path(), &["info"]);
    let info = run(no_color.env("NO_COLOR", "1")).expect_code(0);
    assert!(!info.everything().contains('\u{1b}'));
    world.expect_nothing_left();
}

#[test]
fn a_dry_run_says_the_way_and_goes_none_of_it() {
    let world = World::shared();
    let scratch = world.scratch();
    let before = world.sandbox().requests().len();
    let outcome = pull(&world, scratch.path(), &["--latest", "--dry-run"]).expect_code(0);
    assert!(
        outcome.stdout.contains("via debug") && outcome.stdout.contains("(dry run)"),
        "{}",
        outcome.stdout
    );
    let changes: Vec<String> = world.sandbox().requests()[before..]
        .iter()
        .filter(|request| request.method != "GET")
        .map(|request| format!("{} {}", request.method, request.uri))
        .filter(|request| !request.contains("selfsubjectaccessreviews"))
        .collect();
    assert_eq!(changes, Vec::<String>::new());
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
    world.expect_nothing_left();
}
