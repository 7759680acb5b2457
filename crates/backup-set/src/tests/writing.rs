//! Sets are whole or not there.

use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::*;

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
    let set = SetWriter::create(&DirectoryStore::new(target), "wa-cpd-x").unwrap();
    store_dump(&set, DUMP);
    drop(set);
    assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
}

#[test]
fn directories_that_were_there_before_stay() {
    let parent = tempfile::tempdir().unwrap();
    fs::write(parent.path().join("other"), "").unwrap();
    drop(SetWriter::create(&DirectoryStore::new(parent.path()), "wa-cpd-x").unwrap());
    assert!(parent.path().join("other").exists());
}

#[test]
fn what_was_written_can_be_kept_and_is_then_listed_as_incomplete() {
    let parent = tempfile::tempdir().unwrap();
    let mut set = SetWriter::create(
        &DirectoryStore::new(parent.path()),
        "wa-cpd-20261122T205500Z",
    )
    .unwrap();
    set.keep_partial();
    set.file(DUMP_FILE, FileRole::StoreDump)
        .unwrap()
        .write_all(b"PGDMP")
        .unwrap();
    drop(set);
    let listed = catalog(&DirectoryStore::new(parent.path())).unwrap();
    assert!(matches!(listed[0].state, SetState::Incomplete));
    assert_eq!(listed[0].bytes, 5);
    assert!(problem(&listed[0].path).contains("incomplete"));
}

#[test]
fn a_set_that_was_begun_is_gone_on_with() {
    const NAME: &str = "wa-cpd-20261122T205500Z";
    let parent = tempfile::tempdir().unwrap();
    let mut begun = SetWriter::resume_or_create(&DirectoryStore::new(parent.path()), NAME).unwrap();
    begun.keep_partial();
    fs::write(begun.path("store.dump.partial"), &DUMP[..100]).unwrap();
    drop(begun);

    let resumed = SetWriter::resume_or_create(&DirectoryStore::new(parent.path()), NAME).unwrap();
    assert_eq!(
        fs::read(resumed.path("store.dump.partial")).unwrap(),
        &DUMP[..100]
    );
    // Nothing that was there before is removed, asked for or not.
    drop(resumed);
    let resumed = SetWriter::resume_or_create(&DirectoryStore::new(parent.path()), NAME).unwrap();
    fs::write(resumed.path(DUMP_FILE), DUMP).unwrap();
    let dump = resumed
        .adopt(DUMP_FILE, FileRole::StoreDump, Proof::of_own(DUMP))
        .unwrap();
    let sealed = resumed.seal(dump, Vec::new(), some_manifest()).unwrap();
    Backup::open(sealed.path()).unwrap().verify().unwrap();
    let error = SetWriter::resume_or_create(&DirectoryStore::new(parent.path()), NAME).unwrap_err();
    assert!(error.to_string().contains("is a backup set"), "{error}");
}

#[test]
fn a_set_that_another_process_has_just_begun_is_not_removed() {
    let parent = tempfile::tempdir().unwrap();
    let mut first = SetWriter::create(&DirectoryStore::new(parent.path()), "wa-cpd-x").unwrap();
    first.keep_partial();
    fs::write(first.path("store.dump.partial"), "").unwrap();
    drop(SetWriter::resume_or_create(&DirectoryStore::new(parent.path()), "wa-cpd-x").unwrap());
    assert!(first.path("store.dump.partial").exists());
    fs::remove_file(first.path("store.dump.partial")).unwrap();
    drop(SetWriter::resume_or_create(&DirectoryStore::new(parent.path()), "wa-cpd-x").unwrap());
    assert!(!first.location().exists(), "what is empty is nobody's");
}

#[test]
fn a_set_that_holds_no_data_is_not_kept() {
    let parent = tempfile::tempdir().unwrap();
    let mut set =
        SetWriter::create(&DirectoryStore::new(parent.path().join("new")), "wa-cpd-x").unwrap();
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
    let set = SetWriter::create(&DirectoryStore::new(parent.path()), "wa-cpd-x").unwrap();
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
    let error =
        SetWriter::resume_or_create(&DirectoryStore::new(parent.path()), "wa-cpd-x").unwrap_err();
    assert!(matches!(error, SetError::InTheWay { .. }), "{error}");
}

#[test]
fn whatever_has_the_name_of_a_new_set_stays_and_the_set_gets_a_number() {
    const NAME: &str = "wa-cpd-20261122T205500Z";
    let (parent, path) = complete_set();
    let second = SetWriter::create(&DirectoryStore::new(parent.path()), NAME).unwrap();
    fs::write(parent.path().join(format!("{NAME}-3")), "a file").unwrap();
    symlink("nowhere", parent.path().join(format!("{NAME}-4"))).unwrap();
    let third = SetWriter::create(&DirectoryStore::new(parent.path()), NAME).unwrap();
    let names = [&second, &third].map(|set| set.location().to_owned());
    let expected = ["-2", "-5"].map(|number| parent.path().join(format!("{NAME}{number}")));
    assert_eq!(names, expected);
    let times: Vec<_> = catalog(&DirectoryStore::new(parent.path())).unwrap();
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
fn a_second_attempt_discards_what_the_first_wrote() {
    let parent = tempfile::tempdir().unwrap();
    let set = SetWriter::create(&DirectoryStore::new(parent.path()), "wa-cpd-x").unwrap();
    let mut first = set.file(DUMP_FILE, FileRole::StoreDump).unwrap();
    first.write_all(&vec![b'x'; 100_000]).unwrap();
    drop(first);
    store_dump(&set, DUMP);
    assert_eq!(fs::read(set.location().join(DUMP_FILE)).unwrap(), DUMP);
}

#[test]
fn what_a_first_attempt_writes_late_is_not_in_the_file_of_the_second() {
    let parent = tempfile::tempdir().unwrap();
    let set = SetWriter::create(&DirectoryStore::new(parent.path()), "wa-cpd-x").unwrap();
    let mut first = set.file(DUMP_FILE, FileRole::StoreDump).unwrap();
    let mut second = set.file(DUMP_FILE, FileRole::StoreDump).unwrap();
    second.write_all(DUMP).unwrap();
    first.write_all(&vec![b'x'; 1_000_000]).unwrap();
    drop(first);
    second.complete(Proof::of_own(DUMP)).unwrap();
    assert_eq!(fs::read(set.location().join(DUMP_FILE)).unwrap(), DUMP);
}

#[test]
fn a_file_of_another_length_than_what_was_hashed_is_not_completed() {
    let parent = tempfile::tempdir().unwrap();
    for other in [&DUMP[1..], &[DUMP, b"x"].concat()] {
        let set = SetWriter::create(&DirectoryStore::new(parent.path()), "wa-cpd-x").unwrap();
        let mut file = set.file(DUMP_FILE, FileRole::StoreDump).unwrap();
        file.write_all(DUMP).unwrap();
        let completed = file.complete(Proof::of_own(other));
        assert!(matches!(completed, Err(SetError::Changed { .. })));
        assert!(!set.location().join(DUMP_FILE).exists());
    }
}

#[test]
fn a_set_is_sealed_with_its_own_files_and_lists_those() {
    let parent = tempfile::tempdir().unwrap();
    let set = |name: &str| SetWriter::create(&DirectoryStore::new(parent.path()), name).unwrap();
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
    let sealed = second.seal(dump, Vec::new(), some_manifest());
    assert_eq!(foreign(sealed), "a file of another set");
    let no_dump = key(&first);
    assert_eq!(
        foreign(first.seal(no_dump, Vec::new(), some_manifest())),
        "not its dump"
    );
    assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);

    let whole = set("whole");
    let (dump, key) = (store_dump(&whole, DUMP), key(&whole));
    let (path, written) = whole
        .seal(dump, vec![key], some_manifest())
        .unwrap()
        .into_parts();
    let listed: Vec<_> = written.files().iter().map(|file| &file.name).collect();
    assert_eq!(listed, [DUMP_FILE, AUTH_ENCRYPTION_FILE]);
    assert_eq!(Backup::open(&path).unwrap().manifest(), Some(&written));
}
