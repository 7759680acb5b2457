//! What the manifest tells, to this tool, to older and to newer ones.

use super::*;

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
        let set = SetWriter::create(&DirectoryStore::new(parent.path()), "wa-cpd-x").unwrap();
        let dump = store_dump(&set, DUMP);
        let written = Manifest {
            tables: (0..tables).map(table).collect(),
            ..some_manifest()
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

/// As the tools of that version wrote it, about [`complete_set`].
const MANIFEST_1: &str = include_str!("../../tests/fixtures/manifest-1.json");

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
    // It took the rows of another schema's table `tenant` for instances too.
    for instance in &intact.verified.instances {
        assert!(manifest.instances.contains(instance), "{instance:?}");
    }
    assert_eq!(
        manifest.tables,
        TableRecord::from_contents(&intact.verified.contents),
        "counted then as now"
    );
    assert!(manifest.files().iter().all(|file| file.plaintext.is_none()));
    let listed = catalog(&DirectoryStore::new(parent.path())).unwrap();
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
    let encoded = b"of a newer tool, and so on";
    fs::rename(path.join(DUMP_FILE), path.join("store.dump.zst")).unwrap();
    fs::write(path.join("store.dump.zst"), encoded).unwrap();
    let stored = Proof::of_own(encoded);
    edit_manifest(&path, |json| {
        let file = &mut json["files"][0];
        file["name"] = "store.dump.zst".into();
        file["bytes"] = stored.bytes().into();
        file["sha256"] = stored.sha256().to_string().into();
    });
    let said = not_judged(&path);
    assert!(said.contains("store.dump.zst is not stored as"), "{said}");
    assert!(said.contains("its size and SHA-256 are those"), "{said}");
    let listed = catalog(&DirectoryStore::new(parent.path())).unwrap();
    assert!(matches!(listed[0].state, SetState::Complete(_)));
    // What is stored is held to what the manifest says of it, all the same.
    fs::write(path.join("store.dump.zst"), b"of a newer tool, and so ON").unwrap();
    assert!(problem(&path).contains("store.dump.zst: its SHA-256 is"));
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
    let listed = catalog(&DirectoryStore::new(parent.path())).unwrap();
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
    let listed = catalog(&DirectoryStore::new(parent.path())).unwrap();
    assert!(matches!(listed[0].state, SetState::Complete(_)));
    fs::write(path.join(AUTH_ENCRYPTION_FILE), "changed").unwrap();
    assert!(problem(&path).contains(AUTH_ENCRYPTION_FILE));
}

#[test]
fn a_safety_backup_is_distinguished_from_one_to_be_kept_and_version_1_knew_none() {
    let mut json = serde_json::to_value(some_manifest()).unwrap();
    let is_safety = |json: &serde_json::Value| {
        let manifest: Manifest = serde_json::from_value(json.clone()).unwrap();
        manifest.is_safety()
    };
    assert!(!is_safety(&json));
    json["purpose"] = "safety".into();
    assert!(is_safety(&json));
    json.as_object_mut().unwrap().remove("purpose");
    assert!(!is_safety(&json));
}
