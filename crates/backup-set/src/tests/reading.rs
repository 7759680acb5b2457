//! Sets damaged in every way there is a check for, and read again.

use std::os::unix::fs::symlink;

use super::*;

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
fn every_file_that_is_listed_is_read_also_a_second_dump() {
    let (_parent, path) = complete_set();
    edit_manifest(&path, |json| json["files"][1]["role"] = "store-dump".into());
    Backup::open(&path).unwrap().verify().unwrap();
    fs::write(path.join(AUTH_ENCRYPTION_FILE), "kind: Sekret\n").unwrap();
    assert!(problem(&path).contains("auth-encryption.yaml: its SHA-256 is"));
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
            "something was added after byte",
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

    let listed = catalog(&DirectoryStore::new(parent.path())).unwrap();
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
    assert!(matches!(error, BackupError::Io { .. }), "{error}");
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
        // Another schema has a table of the same name.
        assert_eq!(verified.live_instances(), Some(1));
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
