//! Sets that are encrypted: what is on the disk, what is read with a key and without, and every kind of damage.

use super::*;

/// Made for these tests.
const KEY: &str = "AGE-SECRET-KEY-1Q0KA87M57FEG5TFJSE8GDDP7K6YKHHFS9WLN543MZ0XFUGEGE36S5Z4RME";
const RECIPIENT: &str = "age1dra64a87cdwa9ltujqthsht3n07g4g9p4ukcpmukqugk5sx3aujqsw4fn4";
const OTHER_KEY: &str =
    "AGE-SECRET-KEY-184JMZMVQH3E6U0PSL869004Y3U2NYV7R30EU99CSEDNPH02YUVFSZW44VU";

fn identities(directory: &Path, key: &str) -> Identities {
    let file = directory.join("key.txt");
    fs::write(&file, key).unwrap();
    Identities::read(&[file]).unwrap().unwrap()
}

/// An encrypted set of `dump`, and its key.
fn encrypted_set(dump: &[u8]) -> (TempDir, PathBuf, Identities) {
    let parent = tempfile::tempdir().unwrap();
    let recipients = Recipients::read(&[RECIPIENT.to_owned()], &[]).unwrap();
    let store = DirectoryStore::new(parent.path().join("sets"));
    let store = EncryptedStore::new(store, recipients.unwrap());
    let set = SetWriter::create(&store, "wa-cpd-20261122T205500Z").unwrap();
    let mut file = set.file(DUMP_FILE, FileRole::StoreDump).unwrap();
    for piece in dump.chunks(1000) {
        file.write_all(piece).unwrap();
    }
    let dump = file.complete(Proof::of_own(dump)).unwrap();
    let key = set.write(
        AUTH_ENCRYPTION_FILE,
        FileRole::AuthEncryption,
        b"kind: Secret\n",
    );
    let manifest = Manifest {
        instances: vec![ServiceInstance {
            id: "1".into(),
            name: Some("Customer Care".into()),
            region: None,
            deleted: false,
        }],
        ..some_manifest()
    };
    let sealed = set.seal(dump, vec![key.unwrap()], manifest).unwrap();
    let path = sealed.path().to_owned();
    let identities = identities(parent.path(), KEY);
    (parent, path, identities)
}

fn verify(path: &Path, keys: &Identities) -> Result<Intact, BackupError> {
    Backup::open_with(path, Some(keys))?.verify()
}

#[track_caller]
fn damage(path: &Path, keys: &Identities) -> String {
    match verify(path, keys) {
        Err(BackupError::Failed(failed)) => failed.to_string(),
        other => panic!("{other:?}"),
    }
}

fn holds(content: &[u8], part: &[u8]) -> bool {
    content.windows(part.len()).any(|window| window == part)
}

#[test]
fn how_much_room_an_encrypted_file_takes_is_known_before() {
    let parent = tempfile::tempdir().unwrap();
    let recipients = Recipients::read(&vec![RECIPIENT.to_owned(); 20], &[]).unwrap();
    let store = DirectoryStore::new(parent.path());
    let store = EncryptedStore::new(store, recipients.unwrap());
    let set = SetWriter::create(&store, "wa-cpd-20261122T205500Z").unwrap();
    let files = ["a", "b", "c", "d", "e"].into_iter();
    for (name, bytes) in files.zip([0, 1, 65_536, 65_537, 1_000_000]) {
        let file = set.write(name, FileRole::StoreDump, &vec![7; bytes]);
        let stored = fs::metadata(set.location().join(format!("{name}.age"))).unwrap();
        let known = store.stored_bytes(bytes as u64);
        assert!(file.unwrap().bytes() == bytes as u64 && stored.len() <= known);
        assert!(known <= stored.len() + 4096, "{bytes}: {known}");
    }
}

#[test]
fn with_the_key_an_encrypted_set_is_what_was_stored() {
    let (_parent, path, keys) = encrypted_set(DUMP);
    let intact = verify(&path, &keys).unwrap();
    assert_eq!(intact.bytes, DUMP.len() as u64);
    assert_eq!(intact.sha256, Proof::of_own(DUMP).sha256().to_string());
    let backup = Backup::open_with(&path, Some(&keys)).unwrap();
    let manifest = backup.manifest().unwrap();
    assert_eq!(manifest.instances.len(), 1);
    assert_eq!(
        manifest.pg_dump.database.as_deref(),
        Some("conversation_pprd_wa")
    );
    let table = &intact.verified.contents.tables[0];
    let name = format!("{}.{}", table.schema.as_deref().unwrap(), table.name);
    assert_eq!(
        backup.rows(&intact, &name).unwrap().count() as u64,
        table.rows.unwrap()
    );
}

#[test]
fn what_is_on_the_disk_tells_nothing_that_list_does_not_need() {
    let (_parent, path, _) = encrypted_set(DUMP);
    let mut names: Vec<String> = fs::read_dir(&path)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let expected = [
        "auth-encryption.yaml.age",
        "backup.json",
        "backup.json.age",
        "store.dump.age",
    ];
    assert_eq!(names, expected);
    for name in names {
        let content = fs::read(path.join(&name)).unwrap();
        for part in [
            &b"Customer Care"[..],
            b"conversation_pprd",
            b"kind: Secret",
            b"PGDMP",
            b"wa-postgres-16-1",
        ] {
            assert!(!holds(&content, part), "{name}");
        }
    }
    let listed = catalog(&DirectoryStore::new(path.parent().unwrap())).unwrap();
    let SetState::Complete(manifest) = &listed[0].state else {
        panic!("{listed:?}");
    };
    assert_eq!(manifest.release.as_deref(), Some("4.8.8"));
    assert_eq!(manifest.live_instances(), None);
    let dump = &manifest.files()[0];
    assert!(dump.is_encrypted() && dump.bytes > DUMP.len() as u64);
    assert_eq!(dump.plaintext.as_ref().unwrap().bytes, DUMP.len() as u64);
}

#[test]
fn without_a_key_what_is_stored_is_compared_and_the_rest_not_judged() {
    let (parent, path, _) = encrypted_set(DUMP);
    assert!(not_judged(&path).contains("store.dump.age is encrypted, and no key was given"));
    let other = identities(parent.path(), OTHER_KEY);
    let error = verify(&path, &other).unwrap_err();
    assert!(matches!(error, BackupError::NoKey { .. }), "{error}");
    let dump = path.join("store.dump.age");
    let mut content = fs::read(&dump).unwrap();
    *content.last_mut().unwrap() ^= 1;
    fs::write(&dump, content).unwrap();
    assert!(problem(&path).contains("store.dump.age: its SHA-256 is"));
}

#[test]
fn every_kind_of_damage_to_an_encrypted_file_is_found() {
    let (_parent, path, keys) = encrypted_set(DUMP);
    for name in [
        "store.dump.age",
        "auth-encryption.yaml.age",
        "backup.json.age",
    ] {
        let file = path.join(name);
        let whole = fs::read(&file).unwrap();
        for at in [0, 30, 120, whole.len() / 2, whole.len() - 1] {
            let mut content = whole.clone();
            content[at] ^= 0x40;
            fs::write(&file, content).unwrap();
            let said = damage(&path, &keys);
            assert!(
                said.contains(&format!("{name}: its SHA-256")),
                "{at}: {said}"
            );
        }
        for length in [0, 100, whole.len() - 1] {
            fs::write(&file, &whole[..length]).unwrap();
            let said = damage(&path, &keys);
            assert!(
                said.contains(&format!("{name}: is truncated")),
                "{length}: {said}"
            );
        }
        fs::write(&file, [&whole[..], b"x"].concat()).unwrap();
        assert!(damage(&path, &keys).contains("something was added"));
        fs::write(&file, whole).unwrap();
    }
    verify(&path, &keys).unwrap();
}

/// Whoever can write to the store can write a manifest to it as well.
#[test]
fn a_file_that_is_swapped_with_its_record_is_found() {
    let (_first, path, keys) = encrypted_set(DUMP);
    let (_second, other, _) = encrypted_set(&DUMP[..DUMP.len() - 1]);
    let record = |set: &Path, name: &str| {
        let json: serde_json::Value =
            serde_json::from_slice(&fs::read(set.join(MANIFEST_FILE)).unwrap()).unwrap();
        let files = json["files"].as_array().unwrap().iter();
        files
            .clone()
            .position(|file| file["name"] == name)
            .map(|at| (at, json["files"][at].clone()))
    };
    let (at, theirs) = record(&other, "store.dump.age").unwrap();
    fs::copy(other.join("store.dump.age"), path.join("store.dump.age")).unwrap();
    edit_manifest(&path, |json| json["files"][at] = theirs);
    assert!(damage(&path, &keys).contains("backup.json.age: is the manifest of another set"));
    // The truncated plaintext is what its own set has, and no archive.
    assert!(damage(&other, &keys).contains("store.dump.age: "));
}

#[test]
fn a_plaintext_that_was_cut_before_it_was_encrypted_is_found() {
    let (_parent, path, keys) = encrypted_set(DUMP);
    // Encrypted to the same recipient, by anyone: every hash of what is stored is right.
    let (_other, forged, _) = encrypted_set(&DUMP[..DUMP.len() / 2]);
    let content = fs::read(forged.join("store.dump.age")).unwrap();
    fs::write(path.join("store.dump.age"), &content).unwrap();
    fs::remove_file(path.join("backup.json.age")).unwrap();
    let measured = Proof::of_own(&content);
    edit_manifest(&path, |json| {
        json["files"][0]["bytes"] = measured.bytes().into();
        json["files"][0]["sha256"] = measured.sha256().to_string().into();
        json["files"].as_array_mut().unwrap().pop();
    });
    assert!(damage(&path, &keys).contains("what comes out of it has"));
}
