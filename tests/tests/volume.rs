//! The dumps on the backup volume, listed and fetched.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::time::{Duration, SystemTime};

use end_to_end::{FETCH, Placed, World, fetched, run, sets};
use kube_sandbox::faults::{Effect, Matcher};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::Value;

#[test]
fn the_newest_dump_becomes_a_set_that_holds_it_byte_for_byte() {
    let world = World::shared();
    let scratch = world.scratch();
    let outcome = world
        .pull(scratch.path(), &["--latest"])
        .expect_code(0)
        .expect_error(&["via debug", "CronJob", "SHA-256", "verified"]);
    assert!(outcome.stdout.contains("fetched"), "{}", outcome.stdout);
    let set = world.only_set(&scratch.path().join("sets"));
    assert!(fs::read(set.join("store.dump")).unwrap() == world.newest_dump());
    let key = fs::read_to_string(set.join("auth-encryption.yaml")).unwrap();
    assert!(key.contains("authorization_encryption_key"), "{key}");
    let manifest: Value =
        serde_json::from_slice(&fs::read(set.join("backup.json")).unwrap()).unwrap();
    let volume = &manifest["volume"];
    assert_eq!(volume["file"], world.dumps()[0]);
    assert_eq!(volume["claim"], "wa-store-db-backup-pvc");
    assert_eq!(volume["via"], "debug");
    assert_eq!(manifest["method"], "volume");
    assert_eq!(manifest["release"], "5.2.1");
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
fn what_is_in_the_place_of_a_set_is_reported_and_the_dump_fetched_beside_it() {
    let world = World::shared();
    let scratch = world.scratch();
    world.pull(scratch.path(), &["--latest"]).expect_code(0);
    let set = world.only_set(&scratch.path().join("sets"));
    let manifest = set.join("backup.json");
    let newer = fs::read_to_string(&manifest).unwrap();
    let newer = newer.replace("\"formatVersion\": 2", "\"formatVersion\": 99");
    let numbered = |number: usize| format!("{}-{number}", set.display());
    for (number, put) in [(2, &newer[..]), (3, "not JSON")] {
        // Each of them stays; the one before has the name that the next would get.
        fs::write(&manifest, put).unwrap();
        world
            .pull(scratch.path(), &["--latest"])
            .expect_code(0)
            .expect_error(&[
                "whose backup.json",
                "it is left as it is",
                &format!("Z-{number}"),
            ]);
        assert_eq!(fs::read_to_string(&manifest).unwrap(), put);
        if number == 2 {
            fs::remove_dir_all(numbered(2)).unwrap();
            symlink("nowhere", numbered(2)).unwrap();
        }
    }
    fs::remove_dir_all(numbered(3)).unwrap();
    fs::write(numbered(3), "a file").unwrap();
    world
        .pull(scratch.path(), &["--latest"])
        .expect_code(0)
        .expect_error(&["is a symbolic link", "is no directory"]);
    assert!(fs::read(format!("{}/store.dump", numbered(4))).unwrap() == world.newest_dump());
    let again = world.pull(scratch.path(), &["--latest"]).expect_code(0);
    assert!(
        again.stdout.contains("is there already"),
        "{}",
        again.stdout
    );
    world.expect_nothing_left();
}

#[test]
fn a_dump_that_is_here_already_is_not_fetched_again() {
    let world = World::shared();
    let scratch = world.scratch();
    world.pull(scratch.path(), &["--latest"]).expect_code(0);
    let again = world.pull(scratch.path(), &["--latest"]).expect_code(0);
    assert!(
        again.stdout.contains("is there already"),
        "{}",
        again.stdout
    );
    let again = world
        .pull(scratch.path(), &["--latest", "-o", "json"])
        .expect_code(0);
    assert_eq!(again.json()["sets"][0]["fetched"], false);
    let set = world.only_set(&scratch.path().join("sets"));
    // One that has lost its end does not count.
    let dump = File::options().write(true).open(set.join("store.dump"));
    dump.unwrap().set_len(1000).unwrap();
    let repaired = world
        .pull(scratch.path(), &["--latest", "-o", "json"])
        .expect_code(0);
    assert_eq!(repaired.json()["sets"][0]["fetched"], true);
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
        let outcome = world.pull(scratch.path(), &arguments).expect_code(0);
        assert_eq!(fetched(&outcome), expected);
        assert_eq!(sets(scratch.path()).len(), expected.len());
        for (set, name) in outcome.json()["sets"]
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
fn a_pull_that_broke_off_goes_on_with_what_is_here() {
    const BYTES: usize = 12 << 20;
    let world = World::shared();
    let scratch = world.scratch();
    let mut content = vec![0; BYTES];
    StdRng::seed_from_u64(3).fill_bytes(&mut content);
    let placed = Placed::file(&world, "large", &content).aged(Duration::from_mins(1));
    let streams = Matcher {
        path: Some(FETCH.to_owned()),
        ..Matcher::default()
    };
    let arguments = ["large", "--no-verify", "--streams", "1", "--retries", "0"];
    world.fault(streams, None, Effect::CutAfter { bytes: 9 << 20 });
    world
        .pull(scratch.path(), &arguments)
        .expect_code(1)
        .expect_error(&["--resume", "kept in"]);
    world.sandbox().faults().clear();
    world.expect_nothing_left();
    let partial = world.only_set(&scratch.path().join("sets"));
    world
        .backup(scratch.path(), &["verify", partial.to_str().unwrap()])
        .expect_code(3);

    world
        .pull(scratch.path(), &[&arguments[..], &["--resume"]].concat())
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
fn where_the_newest_dump_is_broken_the_next_one_worth_a_try_is_named_with_its_command() {
    let world = World::shared();
    let dumps = world.dumps();
    let directory = world.volume_directory();
    let written = fs::metadata(directory.join(&dumps[0])).unwrap();
    let after = |seconds| written.modified().unwrap() + Duration::from_secs(seconds);
    let whole = world.newest_dump();
    // Of nights on which the disk was full: half a dump, nothing, a tenth of one, and no dump at all.
    let _broken = [
        ("store.dump_99990104-1", &whole[..whole.len() / 2]),
        ("store.dump_99990103-1", b""),
        ("store.dump_99990102-1", &whole[..whole.len() / 10]),
        ("store.dump_99990101-1", &vec![b'x'; whole.len()][..]),
    ]
    .into_iter()
    .zip([4, 3, 2, 1])
    .map(|((name, content), age)| Placed::file(&world, name, content).written_at(after(age)))
    .collect::<Vec<_>>();
    let scratch = world.scratch();
    let outcome = world
        .pvc(scratch.path(), &["pull", "--latest", "--to", "my sets"])
        .expect_code(3)
        .expect_error(&["store.dump_99990104-1", "is broken there"]);
    let line = outcome
        .stderr
        .lines()
        .find(|line| line.contains("worth a try"));
    let (text, command) = line.unwrap().split_once(": kubectl ").unwrap();
    assert!(text.contains(&dumps[0]), "{text}");
    let mut shell = world.command("sh");
    shell.arg("-c").arg(format!("kubectl {command}"));
    run(shell.current_dir(scratch.path())).expect_code(0);
    let set = scratch.path().join("my sets");
    let set = fs::read_dir(set).unwrap().find_map(|set| {
        let dump = set.unwrap().path().join("store.dump");
        fs::read(dump).ok()
    });
    assert!(set.unwrap() == whole);
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
    let outcome = world
        .pull(scratch.path(), &["--latest", "--dry-run"])
        .expect_code(0);
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
