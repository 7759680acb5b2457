//! Sets written, damaged in every way there is a check for, and read again.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use tempfile::TempDir;
use transfer_proof::Proof;

use crate::*;

/// A real archive, written by pg_dump 15.
const DUMP: &[u8] = include_bytes!("../../pg-archive/tests/fixtures/pg15-gzip.dump");

fn manifest() -> Manifest {
    let time: Timestamp = "2026-11-22T20:55:00Z".parse().unwrap();
    Manifest {
        format_version: FORMAT_VERSION,
        tool: ToolRecord {
            name: "test".into(),
            version: "0".into(),
        },
        cluster: ClusterRecord {
            server: "https://api.example:6443".into(),
            context: None,
        },
        namespace: "cpd".into(),
        instance: "wa".into(),
        release: Some("4.8.8".into()),
        purpose: Purpose::Backup,
        method: Method::PgDump,
        started_at: time,
        finished_at: time,
        verified_at: Some(time),
        not_judged: None,
        pg_dump: PgDumpRecord {
            pod: Some("wa-postgres-16-1".into()),
            version: Some("15.18".into()),
            server_version: Some("15.18".into()),
            database: Some("conversation_pprd_wa".into()),
        },
        volume: None,
        files: Vec::new(),
        tables: Vec::new(),
        instances: Vec::new(),
        abridged: false,
    }
}

/// A complete set in a directory of its own.
fn complete_set() -> (TempDir, PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let set = SetWriter::create(parent.path(), "wa-cpd-20261122T205500Z").unwrap();
    let dump = store_dump(&set, DUMP);
    let key = set
        .write(
            AUTH_ENCRYPTION_FILE,
            FileRole::AuthEncryption,
            b"kind: Secret\n",
        )
        .unwrap();
    let sealed = set.seal(dump, vec![key], manifest()).unwrap();
    (parent, sealed.path().to_owned())
}

fn store_dump(set: &SetWriter, content: &[u8]) -> CompletedFile {
    let mut file = set.file(DUMP_FILE, FileRole::StoreDump).unwrap();
    file.write_all(content).unwrap();
    file.complete(Proof::of_own(content)).unwrap()
}

/// Changes the manifest's JSON.
fn edit_manifest(set: &Path, edit: impl FnOnce(&mut serde_json::Value)) {
    let path = set.join(MANIFEST_FILE);
    let mut json = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    edit(&mut json);
    fs::write(path, serde_json::to_vec(&json).unwrap()).unwrap();
}

fn problem(path: &Path) -> String {
    match Backup::open(path).and_then(|backup| backup.verify()) {
        Ok(_) => panic!("{} was found intact", path.display()),
        Err(BackupError::Failed(failed)) => failed.to_string(),
        Err(other) => panic!("not a verdict on the backup: {other}"),
    }
}

#[test]
fn a_complete_set_is_intact_and_a_bare_dump_too() {
    let (_parent, path) = complete_set();
    let intact = Backup::open(&path).unwrap().verify().unwrap();
    assert_eq!(intact.bytes, DUMP.len() as u64);
    assert_eq!(intact.sha256, Proof::of_own(DUMP).sha256().to_string());
    let bare = Backup::open(&path.join(DUMP_FILE)).unwrap();
    assert!(bare.manifest().is_none());
    let bare = bare.verify().unwrap();
    assert_eq!(bare.verified.contents, intact.verified.contents);
}

#[test]
fn only_the_owner_can_read_a_set() {
    let (_parent, path) = complete_set();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o700);
    for file in [DUMP_FILE, AUTH_ENCRYPTION_FILE, MANIFEST_FILE] {
        assert_eq!(mode(&path.join(file)), 0o600, "{file}");
    }
}

#[test]
fn a_set_that_is_not_sealed_removes_itself_and_the_directories_made_for_it() {
    let parent = tempfile::tempdir().unwrap();
    let target = parent.path().join("new/backups");
    let set = SetWriter::create(&target, "wa-cpd-x").unwrap();
    store_dump(&set, DUMP);
    drop(set);
    assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
}

#[test]
fn directories_that_were_there_before_stay() {
    let parent = tempfile::tempdir().unwrap();
    fs::write(parent.path().join("other"), "").unwrap();
    drop(SetWriter::create(parent.path(), "wa-cpd-x").unwrap());
    assert!(parent.path().join("other").exists());
}

#[test]
fn what_was_written_can_be_kept_and_is_then_listed_as_incomplete() {
    let parent = tempfile::tempdir().unwrap();
    let mut set = SetWriter::create(parent.path(), "wa-cpd-20261122T205500Z").unwrap();
    set.keep_partial();
    set.file(DUMP_FILE, FileRole::StoreDump)
        .unwrap()
        .write_all(b"PGDMP")
        .unwrap();
    drop(set);
    let listed = catalog(parent.path()).unwrap();
    assert!(matches!(listed[0].state, SetState::Incomplete));
    assert_eq!(listed[0].bytes, 5);
    assert!(problem(&listed[0].path).contains("incomplete"));
}

#[test]
fn a_set_that_was_begun_is_gone_on_with() {
    const NAME: &str = "wa-cpd-20261122T205500Z";
    let parent = tempfile::tempdir().unwrap();
    let mut begun = SetWriter::resume_or_create(parent.path(), NAME).unwrap();
    begun.keep_partial();
    fs::write(begun.path("store.dump.partial"), &DUMP[..100]).unwrap();
    drop(begun);

    let resumed = SetWriter::resume_or_create(parent.path(), NAME).unwrap();
    assert_eq!(
        fs::read(resumed.path("store.dump.partial")).unwrap(),
        &DUMP[..100]
    );
    // Nothing that was there before is removed, asked for or not.
    drop(resumed);
    let resumed = SetWriter::resume_or_create(parent.path(), NAME).unwrap();
    fs::write(resumed.path(DUMP_FILE), DUMP).unwrap();
    let dump = resumed
        .adopt(DUMP_FILE, FileRole::StoreDump, Proof::of_own(DUMP))
        .unwrap();
    let sealed = resumed.seal(dump, Vec::new(), manifest()).unwrap();
    Backup::open(sealed.path()).unwrap().verify().unwrap();
    let error = SetWriter::resume_or_create(parent.path(), NAME).unwrap_err();
    assert!(error.to_string().contains("is a backup set"), "{error}");
}

#[test]
fn a_set_that_another_process_has_just_begun_is_not_removed() {
    let parent = tempfile::tempdir().unwrap();
    let mut first = SetWriter::create(parent.path(), "wa-cpd-x").unwrap();
    first.keep_partial();
    fs::write(first.path("store.dump.partial"), "").unwrap();
    drop(SetWriter::resume_or_create(parent.path(), "wa-cpd-x").unwrap());
    assert!(first.path("store.dump.partial").exists());
    fs::remove_file(first.path("store.dump.partial")).unwrap();
    drop(SetWriter::resume_or_create(parent.path(), "wa-cpd-x").unwrap());
    assert!(!first.directory().exists(), "what is empty is nobody's");
}

#[test]
fn a_set_that_holds_no_data_is_not_kept() {
    let parent = tempfile::tempdir().unwrap();
    let mut set = SetWriter::create(&parent.path().join("new"), "wa-cpd-x").unwrap();
    set.keep_data();
    let partial = set.path("store.dump.partial");
    fs::write(&partial, "").unwrap();
    fs::write(format!("{}.json", partial.display()), "{}").unwrap();
    drop(set);
    assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
}

#[test]
fn a_file_that_is_not_what_was_received_is_not_adopted() {
    let parent = tempfile::tempdir().unwrap();
    let set = SetWriter::create(parent.path(), "wa-cpd-x").unwrap();
    fs::write(set.path(DUMP_FILE), "short").unwrap();
    let adopt = || set.adopt(DUMP_FILE, FileRole::StoreDump, Proof::of_own(b"longer"));
    assert!(matches!(adopt().unwrap_err(), SetError::Changed { .. }));
    fs::remove_file(set.path(DUMP_FILE)).unwrap();
    symlink("/etc/passwd", set.path(DUMP_FILE)).unwrap();
    assert!(matches!(adopt().unwrap_err(), SetError::Changed { .. }));
}

#[test]
fn a_link_is_not_taken_for_a_set_that_was_begun() {
    let parent = tempfile::tempdir().unwrap();
    fs::create_dir(parent.path().join("elsewhere")).unwrap();
    symlink("elsewhere", parent.path().join("wa-cpd-x")).unwrap();
    let error = SetWriter::resume_or_create(parent.path(), "wa-cpd-x").unwrap_err();
    assert!(matches!(error, SetError::InTheWay { .. }), "{error}");
}

#[test]
fn whatever_has_the_name_of_a_new_set_stays_and_the_set_gets_a_number() {
    const NAME: &str = "wa-cpd-20261122T205500Z";
    let (parent, path) = complete_set();
    let second = SetWriter::create(parent.path(), NAME).unwrap();
    fs::write(parent.path().join(format!("{NAME}-3")), "a file").unwrap();
    symlink("nowhere", parent.path().join(format!("{NAME}-4"))).unwrap();
    let third = SetWriter::create(parent.path(), NAME).unwrap();
    let names = [&second, &third].map(|set| set.directory().to_owned());
    let expected = ["-2", "-5"].map(|number| parent.path().join(format!("{NAME}{number}")));
    assert_eq!(names, expected);
    let times: Vec<_> = catalog(parent.path()).unwrap();
    assert!(times.iter().all(|set| set.time.is_some()), "{times:?}");
    drop((second, third));
    Backup::open(&path).unwrap().verify().unwrap();
    assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 3);
}

#[test]
fn what_is_in_the_place_of_a_set_is_told() {
    let (parent, set) = complete_set();
    let path = |name: &str| parent.path().join(name);
    let look = |name: &str| match Place::look(&path(name)) {
        Place::InTheWay { what } => what,
        other => format!("{other:?}"),
    };
    assert!(matches!(Place::look(&set), Place::Set(_)));
    assert!(matches!(Place::look(&path("nothing")), Place::Free));
    fs::create_dir(path("begun")).unwrap();
    assert!(matches!(Place::look(&path("begun")), Place::Unfinished));

    fs::write(path("file"), "").unwrap();
    assert_eq!(look("file"), "is no directory");
    symlink("nowhere", path("dangling")).unwrap();
    assert!(look("dangling").starts_with("is a symbolic link"));
    symlink("begun", path("link")).unwrap();
    assert!(look("link").contains("leads to no backup set"));
    symlink(&set, path("link to a set")).unwrap();
    assert!(matches!(Place::look(&path("link to a set")), Place::Set(_)));

    edit_manifest(&set, |json| json["formatVersion"] = 99.into());
    let newer = match Place::look(&set) {
        Place::InTheWay { what } => what,
        other => format!("{other:?}"),
    };
    assert!(newer.contains("format version 99"), "{newer}");
    fs::write(set.join(MANIFEST_FILE), "not JSON").unwrap();
    assert!(look("link to a set").contains("cannot be read"));
    fs::remove_file(set.join(MANIFEST_FILE)).unwrap();
    fs::create_dir(set.join(MANIFEST_FILE)).unwrap();
    assert!(look("link to a set").contains("not a regular file"));
}

#[test]
fn a_manifest_that_would_be_too_large_to_read_is_written_without_its_lists() {
    let parent = tempfile::tempdir().unwrap();
    let table = |number: usize| TableRecord {
        schema: Some("public".to_owned()),
        name: format!("{number:060}"),
        rows: Some(1),
        bytes: 1,
    };
    for (tables, kept) in [(10_000, true), (80_000, false)] {
        let set = SetWriter::create(parent.path(), "wa-cpd-x").unwrap();
        let dump = store_dump(&set, DUMP);
        let written = Manifest {
            tables: (0..tables).map(table).collect(),
            ..manifest()
        };
        let sealed = set.seal(dump, Vec::new(), written).unwrap();
        let read = Backup::open(sealed.path()).unwrap();
        read.verify().unwrap();
        let read = read.manifest().unwrap();
        assert_eq!(read.abridged, !kept);
        assert_eq!(read.tables.len(), if kept { tables } else { 0 });
    }
}

#[test]
fn a_file_that_is_too_large_for_a_manifest_is_not_taken_for_one() {
    let (_parent, path) = complete_set();
    let mut json = fs::read(path.join(MANIFEST_FILE)).unwrap();
    json.resize(9 << 20, b' ');
    fs::write(path.join(MANIFEST_FILE), json).unwrap();
    assert!(problem(&path).contains("is larger than 8.0 MiB"));
}

#[test]
fn a_second_attempt_discards_what_the_first_wrote() {
    let parent = tempfile::tempdir().unwrap();
    let set = SetWriter::create(parent.path(), "wa-cpd-x").unwrap();
    let mut first = set.file(DUMP_FILE, FileRole::StoreDump).unwrap();
    first.write_all(&vec![b'x'; 100_000]).unwrap();
    drop(first);
    store_dump(&set, DUMP);
    assert_eq!(fs::read(set.directory().join(DUMP_FILE)).unwrap(), DUMP);
}

#[test]
fn what_a_first_attempt_writes_late_is_not_in_the_file_of_the_second() {
    let parent = tempfile::tempdir().unwrap();
    let set = SetWriter::create(parent.path(), "wa-cpd-x").unwrap();
    let mut first = set.file(DUMP_FILE, FileRole::StoreDump).unwrap();
    let mut second = set.file(DUMP_FILE, FileRole::StoreDump).unwrap();
    second.write_all(DUMP).unwrap();
    first.write_all(&vec![b'x'; 1_000_000]).unwrap();
    drop(first);
    second.complete(Proof::of_own(DUMP)).unwrap();
    assert_eq!(fs::read(set.directory().join(DUMP_FILE)).unwrap(), DUMP);
}

#[test]
fn a_file_of_another_length_than_what_was_hashed_is_not_completed() {
    let parent = tempfile::tempdir().unwrap();
    for other in [&DUMP[1..], &[DUMP, b"x"].concat()] {
        let set = SetWriter::create(parent.path(), "wa-cpd-x").unwrap();
        let mut file = set.file(DUMP_FILE, FileRole::StoreDump).unwrap();
        file.write_all(DUMP).unwrap();
        let completed = file.complete(Proof::of_own(other));
        assert!(matches!(completed, Err(SetError::Changed { .. })));
        assert!(!set.directory().join(DUMP_FILE).exists());
    }
}

#[test]
fn a_set_is_sealed_with_its_own_files_and_lists_those() {
    let parent = tempfile::tempdir().unwrap();
    let set = |name: &str| SetWriter::create(parent.path(), name).unwrap();
    let key = |set: &SetWriter| {
        set.write(AUTH_ENCRYPTION_FILE, FileRole::AuthEncryption, b"key")
            .unwrap()
    };
    let foreign = |sealed: Result<SealedSet, SetError>| match sealed {
        Err(SetError::Foreign { what, .. }) => what,
        other => panic!("{other:?}"),
    };

    let (first, second) = (set("first"), set("second"));
    let dump = store_dump(&first, DUMP);
    let sealed = second.seal(dump, Vec::new(), manifest());
    assert_eq!(foreign(sealed), "a file of another set");
    let no_dump = key(&first);
    assert_eq!(
        foreign(first.seal(no_dump, Vec::new(), manifest())),
        "not its dump"
    );
    assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);

    let whole = set("whole");
    let (dump, key) = (store_dump(&whole, DUMP), key(&whole));
    let (path, written) = whole
        .seal(dump, vec![key], manifest())
        .unwrap()
        .into_parts();
    let listed: Vec<_> = written.files().iter().map(|file| &file.name).collect();
    assert_eq!(listed, [DUMP_FILE, AUTH_ENCRYPTION_FILE]);
    assert_eq!(Backup::open(&path).unwrap().manifest(), Some(&written));
}

/// As the tools of that version wrote it, about [`complete_set`].
const MANIFEST_1: &str = include_str!("../tests/fixtures/manifest-1.json");

#[test]
fn a_set_of_version_1_is_read_as_what_it_meant() {
    let (parent, path) = complete_set();
    fs::write(path.join(MANIFEST_FILE), MANIFEST_1).unwrap();
    let backup = Backup::open(&path).unwrap();
    let intact = backup.verify().unwrap();
    let manifest = backup.manifest().unwrap();
    assert_eq!(manifest.format_version, 1);
    assert_eq!(manifest.purpose, Purpose::Backup);
    assert_eq!(manifest.method, Method::Volume);
    assert_eq!(manifest.instances, intact.verified.instances);
    assert_eq!(
        manifest.tables,
        TableRecord::of(&intact.verified.contents),
        "counted then as now"
    );
    assert!(manifest.files().iter().all(|file| file.plaintext.is_none()));
    let listed = catalog(parent.path()).unwrap();
    assert!(matches!(listed[0].state, SetState::Complete(_)));
    // And held to what it says.
    fs::write(path.join(AUTH_ENCRYPTION_FILE), "kind: Sekret\n").unwrap();
    assert!(problem(&path).contains("auth-encryption.yaml: its SHA-256 is"));
}

#[test]
fn a_manifest_tells_of_each_file_what_is_stored_and_its_plaintext() {
    let (_parent, path) = complete_set();
    let json: serde_json::Value =
        serde_json::from_slice(&fs::read(path.join(MANIFEST_FILE)).unwrap()).unwrap();
    assert_eq!(json["formatVersion"], 2);
    assert_eq!(json["purpose"], "backup");
    let proof = Proof::of_own(DUMP);
    let sha256 = proof.sha256().to_string();
    assert_eq!(
        json["files"][0],
        serde_json::json!({
            "name": DUMP_FILE, "role": "store-dump", "bytes": proof.bytes(), "sha256": sha256,
            "plaintext": {"bytes": proof.bytes(), "sha256": sha256},
        })
    );
}

#[test]
fn a_dump_that_is_not_stored_as_its_plaintext_is_not_judged() {
    let (parent, path) = complete_set();
    let encrypted = b"age-encryption.org/v1 and so on";
    fs::rename(path.join(DUMP_FILE), path.join("store.dump.age")).unwrap();
    fs::write(path.join("store.dump.age"), encrypted).unwrap();
    let stored = Proof::of_own(encrypted);
    edit_manifest(&path, |json| {
        let file = &mut json["files"][0];
        file["name"] = "store.dump.age".into();
        file["bytes"] = stored.bytes().into();
        file["sha256"] = stored.sha256().to_string().into();
    });
    let said = not_judged(&path);
    assert!(said.contains("store.dump.age is not stored as"), "{said}");
    assert!(said.contains("its size and SHA-256 are those"), "{said}");
    let listed = catalog(parent.path()).unwrap();
    assert!(matches!(listed[0].state, SetState::Complete(_)));
    // What is stored is held to what the manifest says of it, all the same.
    fs::write(
        path.join("store.dump.age"),
        b"age-encryption.org/v1 and so ON",
    )
    .unwrap();
    assert!(problem(&path).contains("store.dump.age: its SHA-256 is"));
}

#[test]
fn every_file_that_is_listed_is_read_also_a_second_dump() {
    let (_parent, path) = complete_set();
    edit_manifest(&path, |json| json["files"][1]["role"] = "store-dump".into());
    Backup::open(&path).unwrap().verify().unwrap();
    fs::write(path.join(AUTH_ENCRYPTION_FILE), "kind: Sekret\n").unwrap();
    assert!(problem(&path).contains("auth-encryption.yaml: its SHA-256 is"));
}

#[test]
fn a_manifest_without_the_newer_fields_is_read() {
    let (_parent, path) = complete_set();
    let text = fs::read_to_string(path.join(MANIFEST_FILE)).unwrap();
    assert!(text.contains(r#""method": "pg_dump""#), "{text}");
    assert!(!text.contains("volume"), "{text}");
    let backup = Backup::open(&path).unwrap();
    assert_eq!(backup.manifest().unwrap().volume, None);
}

#[test]
fn every_kind_of_damage_is_named() {
    type Damage = fn(&Path);
    let cases: [(Damage, &str); 14] = [
        (
            |set| {
                fs::remove_file(set.join(MANIFEST_FILE)).unwrap();
                fs::create_dir(set.join(MANIFEST_FILE)).unwrap();
            },
            "backup.json: is not a regular file",
        ),
        (
            |set| fs::remove_file(set.join(MANIFEST_FILE)).unwrap(),
            "backup.json: is missing",
        ),
        (
            |set| fs::write(set.join(MANIFEST_FILE), "{").unwrap(),
            "backup.json: cannot be read",
        ),
        (
            |set| edit_manifest(set, |json| json["files"] = serde_json::json!([])),
            "does not list store.dump",
        ),
        (
            |set| {
                edit_manifest(set, |json| {
                    json["files"][1]["name"] = "../../etc/passwd".into();
                });
            },
            "no plain name",
        ),
        (
            |set| fs::remove_file(set.join(DUMP_FILE)).unwrap(),
            "store.dump: is missing",
        ),
        (
            |set| fs::write(set.join(DUMP_FILE), "").unwrap(),
            "the file is empty",
        ),
        (
            |set| fs::write(set.join(DUMP_FILE), "-- PostgreSQL database dump\n").unwrap(),
            "not a pg_dump custom-format archive",
        ),
        (
            |set| fs::write(set.join(DUMP_FILE), &DUMP[..DUMP.len() - 7]).unwrap(),
            "store.dump: is truncated: it ends at byte",
        ),
        (
            |set| fs::write(set.join(DUMP_FILE), [DUMP, b"more"].concat()).unwrap(),
            "something was added behind byte",
        ),
        (
            |set| {
                let mut unknown = DUMP.to_vec();
                unknown[6] = 99;
                fs::write(set.join(DUMP_FILE), unknown).unwrap();
            },
            "archive version 1.99",
        ),
        (
            |set| {
                let mut changed = DUMP.to_vec();
                changed[DUMP.len() / 2] ^= 1;
                fs::write(set.join(DUMP_FILE), changed).unwrap();
            },
            "its content has changed",
        ),
        (
            |set| {
                fs::rename(set.join(DUMP_FILE), set.join("elsewhere")).unwrap();
                symlink("elsewhere", set.join(DUMP_FILE)).unwrap();
            },
            "is not a regular file",
        ),
        (
            |set| fs::write(set.join(AUTH_ENCRYPTION_FILE), "kind: Sekret\n").unwrap(),
            "auth-encryption.yaml: its SHA-256 is",
        ),
    ];
    for (damage, expected) in cases {
        let (_parent, set) = complete_set();
        damage(&set);
        let text = problem(&set);
        assert!(text.contains(expected), "expected {expected:?} in:\n{text}");
    }
}

#[test]
fn the_catalog_is_newest_first_and_tells_the_states_apart() {
    let (parent, complete) = complete_set();
    let named = |name: &str| parent.path().join(name);
    fs::create_dir(named("wa-cpd-20261123T000000Z")).unwrap();
    fs::create_dir(named("not-a-set")).unwrap();
    fs::write(named("file"), "").unwrap();
    let corrupt = named("wa-cpd-20261121T000000Z");
    fs::create_dir(&corrupt).unwrap();
    fs::copy(complete.join(MANIFEST_FILE), corrupt.join(MANIFEST_FILE)).unwrap();
    edit_manifest(&corrupt, |json| {
        json["startedAt"] = "2026-11-21T00:00:00Z".into();
    });

    let listed = catalog(parent.path()).unwrap();
    let states: Vec<String> = listed
        .iter()
        .map(|entry| match &entry.state {
            SetState::Complete(manifest) => format!("complete {}", manifest.instance),
            SetState::Incomplete => "incomplete".to_owned(),
            SetState::NotJudged { reason } => format!("not judged: {reason}"),
            SetState::Corrupt { reason } => format!("corrupt: {reason}"),
        })
        .collect();
    assert_eq!(
        states,
        [
            "incomplete",
            "complete wa",
            "corrupt: store.dump is missing"
        ]
    );
}

#[test]
fn a_path_that_is_not_there_is_no_verdict() {
    let error = Backup::open(Path::new("/nowhere/at/all")).unwrap_err();
    assert!(matches!(error, BackupError::Io { .. }));
    assert!(
        error
            .to_string()
            .contains("give the directory of a backup set"),
        "{error}"
    );
}

/// The set that a dump of another version is in.
fn set_of(dump: &[u8]) -> (TempDir, PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let set = SetWriter::create(parent.path(), "wa-cpd-20261122T205500Z").unwrap();
    let dump = store_dump(&set, dump);
    let sealed = set.seal(dump, Vec::new(), manifest()).unwrap();
    (parent, sealed.path().to_owned())
}

fn not_judged(path: &Path) -> String {
    match Backup::open(path).and_then(|backup| backup.verify()) {
        Err(BackupError::NotJudged(not)) => not.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_newer_than_this_tool_is_not_judged() {
    let mut newer = DUMP.to_vec();
    newer[6] = 99;
    let (_parent, path) = set_of(&newer);
    let said = not_judged(&path);
    assert!(said.contains("archive version 1.99"), "{said}");
    assert!(said.contains("its size and SHA-256 are those"), "{said}");
    // What is not as it was stored is damaged all the same.
    newer.push(0);
    fs::write(path.join(DUMP_FILE), &newer).unwrap();
    assert!(problem(&path).contains("something was added"));

    let (parent, path) = complete_set();
    edit_manifest(&path, |json| json["formatVersion"] = 99.into());
    let said = not_judged(&path);
    assert!(
        said.contains("format version 99, newer than this tool knows"),
        "{said}"
    );
    let listed = catalog(parent.path()).unwrap();
    assert!(matches!(listed[0].state, SetState::NotJudged { .. }));
}

#[test]
fn what_a_newer_tool_adds_does_no_harm() {
    let (parent, path) = complete_set();
    edit_manifest(&path, |json| {
        json["method"] = "osmosis".into();
        json["purpose"] = "rehearsal".into();
        json["signature"] = serde_json::json!({"by": "somebody"});
        json["files"][0]["parts"] = 3.into();
        json["files"][1]["role"] = "object-storage".into();
    });
    let backup = Backup::open(&path).unwrap();
    backup.verify().unwrap();
    let manifest = backup.manifest().unwrap();
    assert_eq!(manifest.method, Method::Other);
    assert_eq!(manifest.purpose, Purpose::Other);
    assert_eq!(manifest.files()[1].role, FileRole::Other);

    // Not even words.
    edit_manifest(&path, |json| {
        json["method"] = serde_json::json!({"name": "osmosis"});
        json["purpose"] = 7.into();
        json["files"][1]["role"] = serde_json::json!(["skills", "models"]);
    });
    Backup::open(&path).unwrap().verify().unwrap();
    let listed = catalog(parent.path()).unwrap();
    assert!(matches!(listed[0].state, SetState::Complete(_)));
    fs::write(path.join(AUTH_ENCRYPTION_FILE), "changed").unwrap();
    assert!(problem(&path).contains(AUTH_ENCRYPTION_FILE));
}

/// The verdict on a dump while it arrives, in pieces.
fn verdict(dump: &[u8]) -> Verdict {
    let mut verifier = Verifier::start().unwrap();
    for piece in dump.chunks(1000) {
        verifier.feed(piece);
    }
    verifier.finish().unwrap()
}

#[test]
fn a_dump_that_arrives_gets_the_verdict_that_it_gets_at_rest() {
    let fixture = |name: &str| {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pg-archive/tests/fixtures");
        fs::read(fixtures.join(name).with_extension("dump")).unwrap()
    };
    for name in ["pg15-gzip", "pg16-redirected", "pg18-statistics-redirected"] {
        let Verdict::Intact(verified) = verdict(&fixture(name)) else {
            panic!("{name}");
        };
        assert_eq!(verified.remarks, [], "{name}");
        assert_eq!(verified.live_instances(), Some(3));
    }
    let Verdict::Intact(verified) = verdict(&fixture("pg16-inserts")) else {
        panic!("--inserts");
    };
    assert_eq!(
        verified.to_string(),
        "5 tables, rows not counted, service instances not counted"
    );
    assert!(matches!(
        verdict(&fixture("pg16-schema-only")),
        Verdict::Failed(Fault::NoData { tables: 5 })
    ));
    let mut newer = DUMP.to_vec();
    newer[6] = 99;
    assert!(matches!(verdict(&newer), Verdict::NotJudged(_)));
    let two = [DUMP, DUMP].concat();
    assert!(matches!(
        verdict(&two),
        Verdict::Failed(Fault::TwoDumps { second_at }) if second_at == DUMP.len() as u64
    ));
    assert!(matches!(
        verdict(&DUMP[..500]),
        Verdict::Failed(Fault::Archive(_))
    ));
}
