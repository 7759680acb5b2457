//! Sets in a bucket of a real S3 server that goes wrong in the ways that real ones do.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what is not met here has failed"
)]

mod clouds;
mod server;

use std::io::Write as _;
use std::sync::{Arc, Mutex};

use backup_set::{
    AUTH_ENCRYPTION_FILE, Backup, BegunSet as _, CatalogEntry, Copied, CopyError, CopyOptions,
    DUMP_FILE, DirectorySet, DirectoryStore, FileRole, Left, Manifest, PartialFile, RemovalError,
    SetError, SetState, SetWriter, Store as _, TableRecord, catalog, copy_set, remove_set,
};
use object_sets::{BegunObjects, ObjectStore, Teller};
use server::{BUCKET, Fault, Kind, PART_BYTES, Server};
use transfer_proof::Proof;

/// A real archive, written by pg_dump 15.
const DUMP: &[u8] = include_bytes!("../../../pg-archive/tests/fixtures/pg15-gzip.dump");
const NAME: &str = "wa-cpd-20261122T205500Z";

fn manifest() -> Manifest {
    serde_json::from_value(serde_json::json!({
        "formatVersion": 2,
        "tool": {"name": "test", "version": "0"},
        "cluster": {"server": "https://api.example:6443", "context": null},
        "namespace": "cpd", "instance": "wa", "release": "5.1.0", "purpose": "backup", "method": "pg_dump",
        "startedAt": "2026-11-22T20:55:00Z", "finishedAt": "2026-11-22T20:55:00Z",
        "verifiedAt": "2026-11-22T20:55:00Z",
        "pgDump": {"pod": null, "version": null, "serverVersion": null, "database": null},
        "files": [], "tables": [], "instances": [],
    }))
    .unwrap()
}

/// What takes more than one part.
fn in_two_parts() -> Vec<u8> {
    let bytes = usize::try_from(PART_BYTES).unwrap() + 1000;
    (0..=250_u8).cycle().take(bytes).collect()
}

/// Writes a set as a backup does: a small dump, and a file that takes two parts.
fn write(store: &ObjectStore, name: &str) -> Result<(), SetError> {
    let set: SetWriter<BegunObjects> = SetWriter::create(store, name)?;
    let mut file = set.file(DUMP_FILE, FileRole::StoreDump)?;
    for piece in DUMP.chunks(700) {
        file.write_all(piece)
            .map_err(|source| SetError::writing(set.location(), source))?;
    }
    let dump = file.complete(Proof::of_own(DUMP))?;
    let key = set.write(
        AUTH_ENCRYPTION_FILE,
        FileRole::AuthEncryption,
        &in_two_parts(),
    )?;
    set.seal(dump, vec![key], manifest()).map(drop)
}

fn verify(store: &ObjectStore, name: &str) {
    let set = store.set(name).unwrap();
    let backup = Backup::open_set(Box::new(set), None).unwrap();
    let intact = backup.verify().unwrap();
    assert_eq!(intact.sha256, Proof::of_own(DUMP).sha256().to_string());
}

#[test]
fn a_set_in_a_bucket_is_what_was_written_and_is_listed_and_removed() {
    let server = Server::start();
    let store = server.store();
    write(&store, NAME).unwrap();
    write(&store, NAME).unwrap();
    assert_eq!(server.seen(Kind::Part), 4);
    verify(&store, NAME);
    verify(&store, &format!("{NAME}-2"));
    assert_eq!(
        std::fs::read(server.object(&format!("{NAME}/{DUMP_FILE}"))).unwrap(),
        DUMP
    );
    // Other things in the bucket are no sets.
    std::fs::create_dir_all(server.object("photos")).unwrap();
    std::fs::write(server.object("photos/cat.jpg"), "x").unwrap();
    std::fs::write(server.object("readme"), "x").unwrap();
    let listed = catalog(&store).unwrap();
    assert_eq!(listed.len(), 2);
    assert!(
        listed
            .iter()
            .all(|entry| matches!(entry.state, SetState::Complete(_)))
    );
    assert_eq!(
        listed[0].path.to_str(),
        Some(&*format!("s3://{BUCKET}/wa/{NAME}"))
    );
    remove_set(&store.set(NAME).unwrap(), None).unwrap();
    assert_eq!(catalog(&store).unwrap().len(), 1);
    assert_eq!(server.unfinished(), 0);
}

/// Whether it says that the store does not let the set go, and that all of it is there.
fn is_refused(error: &RemovalError) -> bool {
    let denied = std::io::ErrorKind::PermissionDenied;
    matches!(error, RemovalError::Refused { source, .. } if source.kind() == denied)
}

#[test]
fn a_set_that_is_locked_is_refused_at_once_and_stays_whole() {
    // The manifest, and the first file after it: then the manifest is put back.
    for before in 0..2 {
        let server = Server::start();
        let store = server.store();
        write(&store, NAME).unwrap();
        let manifest = server.object(&format!("{NAME}/backup.json"));
        let sealed = std::fs::read(&manifest).unwrap();
        server.fail(&vec![(Kind::Delete, Fault::Pass); before]);
        server.fail(&[(Kind::Delete, Fault::Denied)]);
        let error = remove_set(&store.set(NAME).unwrap(), None).unwrap_err();
        assert!(is_refused(&error), "{before}: {error:?}");
        assert_eq!(server.seen(Kind::Delete), before + 1);
        assert_eq!(std::fs::read(&manifest).unwrap(), sealed);
        verify(&store, NAME);
    }
    // What has lost more than that is no backup any more.
    let server = Server::start();
    let store = server.store();
    write(&store, NAME).unwrap();
    server.fail(&[(Kind::Delete, Fault::Pass); 2]);
    server.fail(&[(Kind::Delete, Fault::Denied)]);
    let error = remove_set(&store.set(NAME).unwrap(), None).unwrap_err();
    assert!(matches!(error, RemovalError::Begun { .. }), "{error:?}");
    let sets = catalog(&store).unwrap();
    assert!(matches!(sets[0].state, SetState::Incomplete), "{sets:?}");
}

#[test]
fn a_bucket_that_wants_checksums_gets_them() {
    let server = Server::start();
    let store = server.store_with(|options| {
        options.settings.add("AWS_CHECKSUM_ALGORITHM", "SHA256");
    });
    write(&store, NAME).unwrap();
    verify(&store, NAME);
    assert_eq!(server.unfinished(), 0);
}

#[test]
fn a_long_listing_goes_on_behind_what_was_told_before_an_error() {
    let server = Server::start();
    let store = server.store();
    write(&store, NAME).unwrap();
    let photos = server.object("photos");
    std::fs::create_dir_all(&photos).unwrap();
    for number in 0..1500 {
        std::fs::write(photos.join(format!("{number:04}.jpg")), "x").unwrap();
    }
    let before = server.seen(Kind::Other);
    server.fail(&[(Kind::Other, Fault::Pass), (Kind::Other, Fault::Busy)]);
    let sets = catalog(&store).unwrap();
    assert_eq!(sets.len(), 1, "{sets:?}");
    // The first page, the second one in vain, and that once more.
    assert_eq!(server.seen(Kind::Other) - before, 3);
    // A name that is no path is somebody else's, and hides no set.
    server.fail(&[(Kind::Other, Fault::OddName); 100]);
    let sets = catalog(&store).unwrap();
    assert_eq!(sets.len(), 1, "{sets:?}");
    assert!(server.seen(Kind::Other) - before < 50);
}

#[test]
fn what_passes_is_waited_for_and_the_set_is_whole() {
    for kind in [Kind::Create, Kind::Part, Kind::Complete, Kind::Manifest] {
        for fault in [
            Fault::Busy,
            Fault::Failed,
            Fault::Cut,
            Fault::LostAnswer,
            Fault::FailedDone,
        ] {
            let server = Server::start();
            let store = server.store();
            server.fail(&[(kind, fault), (kind, fault)]);
            write(&store, NAME).unwrap_or_else(|error| panic!("{kind:?} {fault:?}: {error:?}"));
            verify(&store, NAME);
            // Of an upload whose beginning nobody heard of, nobody knows the id.
            if kind != Kind::Create {
                assert_eq!(server.unfinished(), 0, "{kind:?} {fault:?}");
            }
        }
    }
}

#[test]
fn after_a_complete_only_a_look_at_the_object_tells_what_came_of_it() {
    for fault in [
        Fault::LostAnswer,
        Fault::ErrorIn200Done,
        Fault::FailedDone,
        Fault::ErrorIn200,
    ] {
        let server = Server::start();
        let store = server.store();
        server.fail(&[(Kind::Complete, fault)]);
        write(&store, NAME).unwrap_or_else(|error| panic!("{fault:?}: {error:?}"));
        verify(&store, NAME);
        // What is whole is not completed once more: stores answer that with 404, 403 or 500.
        let completes = if fault == Fault::ErrorIn200 { 2 } else { 1 };
        assert_eq!(server.seen(Kind::Complete), completes, "{fault:?}");
    }
}

#[test]
fn an_object_whose_etag_is_of_something_else_is_no_part_of_a_set() {
    // Of the small file, and of the one in parts.
    for before in 0..2 {
        let server = Server::start();
        let store = server.store();
        server.fail(&vec![(Kind::Head, Fault::Pass); before]);
        server.fail(&[(Kind::Head, Fault::OtherTag)]);
        write(&store, NAME).unwrap_err();
        let sets = catalog(&store).unwrap();
        let is_sealed = |entry: &CatalogEntry| !matches!(entry.state, SetState::Incomplete);
        assert!(!sets.iter().any(is_sealed), "{before}: {sets:?}");
        assert_eq!(server.unfinished(), 0, "{before}");
    }
}

#[test]
fn what_is_recorded_of_a_dump_is_told_without_reading_all_of_it() {
    let server = Server::start();
    let store = server.store();
    // So large that it is read in several requests.
    let mut dump = DUMP.to_vec();
    dump.resize(20 << 20, 0);
    let write = |name: &str, dump: &[u8], manifest: Manifest| {
        let set: SetWriter<BegunObjects> = SetWriter::create(&store, name).unwrap();
        let mut file = set.file(DUMP_FILE, FileRole::StoreDump).unwrap();
        file.write_all(dump).unwrap();
        let file = file.complete(Proof::of_own(dump)).unwrap();
        set.seal(file, Vec::new(), manifest).unwrap();
        Backup::open_set(Box::new(store.set(name).unwrap()), None).unwrap()
    };
    // Nothing is told of the tables: all of it must be read.
    let backup = write(NAME, &dump, manifest());
    assert!(backup.recorded().unwrap().is_none());
    let contents = backup.verify().unwrap().verified.contents;
    let mut told = manifest();
    told.tables = TableRecord::from_contents(&contents);
    let backup = write("wa-cpd-20261122T205501Z", &dump, told.clone());
    let before = server.seen(Kind::Dump);
    let recorded = backup.recorded().unwrap().unwrap();
    assert_eq!(recorded.bytes, dump.len() as u64);
    assert_eq!(recorded.header, contents.header);
    assert!(server.seen(Kind::Dump) - before <= 2, "of three pieces");
    // A dump that the manifest is not of.
    told.tables[0].name = "elsewhere".to_owned();
    let other = write("wa-cpd-20261122T205502Z", &dump, told);
    let said = other.recorded().unwrap_err().to_string();
    assert!(said.contains("elsewhere"), "{said}");
    // From the middle on.
    let from = backup.open_dump_from(19 << 20).unwrap().unwrap();
    assert_eq!(std::io::Read::bytes(from).count(), 1 << 20);
}

#[test]
fn what_is_read_back_is_compared_with_what_was_written() {
    let server = Server::start();
    let store = server.store();
    let set: SetWriter<BegunObjects> = SetWriter::create(&store, NAME).unwrap();
    let mut file = set.file(DUMP_FILE, FileRole::StoreDump).unwrap();
    file.write_all(DUMP).unwrap();
    let dump = file.complete(Proof::of_own(DUMP)).unwrap();
    let mut read = 0;
    set.read_back([&dump], |bytes| read = bytes).unwrap();
    assert_eq!(read, DUMP.len() as u64);
    let mut rotten = DUMP.to_vec();
    rotten[1000] ^= 1;
    std::fs::write(server.object(&format!("{NAME}/{DUMP_FILE}")), rotten).unwrap();
    let error = set.read_back([&dump], |_| {}).unwrap_err();
    assert!(matches!(error, SetError::ReadBack { .. }), "{error}");
}

/// What a copy from the store into a directory came to.
fn copy_here(store: &ObjectStore, directory: &std::path::Path) -> Result<Copied, CopyError> {
    let set = store.set(NAME).unwrap();
    copy_set(
        &set,
        &DirectoryStore::new(directory),
        CopyOptions { read_back: true },
        &mut |_| {},
    )
}

#[test]
fn a_copy_that_was_interrupted_goes_on_where_it_was() {
    let server = Server::start();
    let store = server.store();
    write(&store, NAME).unwrap();
    let here = tempfile::tempdir().unwrap();
    let partial = here
        .path()
        .join(NAME)
        .join(format!("{AUTH_ENCRYPTION_FILE}.partial"));

    // The manifest, and the key, of which the beginning has arrived.
    server.fail(&[(Kind::Get, Fault::Pass), (Kind::Get, Fault::Denied)]);
    copy_here(&store, here.path()).unwrap_err();
    std::fs::write(&partial, &in_two_parts()[..1 << 20]).unwrap();
    let copied = copy_here(&store, here.path()).unwrap();
    assert_eq!(copied.kept_bytes, DUMP.len() as u64 + (1 << 20));
    Backup::open(&copied.path).unwrap().verify().unwrap();

    // What is of something else is of no use and no harm.
    std::fs::remove_file(copied.path.join("backup.json")).unwrap();
    std::fs::remove_file(copied.path.join(AUTH_ENCRYPTION_FILE)).unwrap();
    std::fs::write(&partial, "something else").unwrap();
    let copied = copy_here(&store, here.path()).unwrap();
    assert_eq!(copied.kept_bytes, DUMP.len() as u64);
    Backup::open(&copied.path).unwrap().verify().unwrap();
    assert_eq!(std::fs::read_dir(here.path()).unwrap().count(), 1);

    // Into the bucket: a file that is there is not sent again, and compared.
    let from = DirectorySet::new(&copied.path);
    let there = server.store_with(|options| options.least_part_bytes *= 2);
    let copy = || copy_set(&from, &there, CopyOptions { read_back: true }, &mut |_| {});
    std::fs::remove_dir_all(server.object(NAME)).unwrap();
    server.fail(&[(Kind::Manifest, Fault::Denied)]);
    copy().unwrap_err();
    assert!(
        catalog(&there)
            .unwrap()
            .iter()
            .all(|entry| matches!(entry.state, SetState::Incomplete))
    );
    let kept = copy().unwrap().kept_bytes;
    assert_eq!(kept, (DUMP.len() + in_two_parts().len()) as u64);
    verify(&there, NAME);
}

#[test]
fn keys_that_may_list_only_below_a_prefix_will_do_for_a_copy() {
    let server = Server::start();
    let store = server.store();
    // So S3 answers such keys for what is not there.
    server.fail(&[(Kind::Head, Fault::Denied)]);
    let left = store.begin(NAME).unwrap().left(DUMP_FILE).unwrap();
    assert!(matches!(left, Left::Nothing));
}

#[test]
fn what_does_not_pass_ends_in_an_error_and_nothing_is_left() {
    for kind in [Kind::Part, Kind::Complete, Kind::Manifest] {
        let server = Server::start();
        let store = server.store();
        server.fail(&[(kind, Fault::Denied)]);
        write(&store, NAME).unwrap_err();
        assert_eq!(server.unfinished(), 0, "{kind:?}");
        assert!(catalog(&store).unwrap().is_empty(), "{kind:?}");
    }
}

#[test]
fn an_outage_that_is_too_long_is_an_error() {
    let server = Server::start();
    let store = server.store();
    server.fail(&vec![(Kind::Part, Fault::Busy); 10_000]);
    let error = write(&store, NAME).unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("the store is busy"), "{cause}");
    server.recover();
    assert_eq!(server.unfinished(), 0);
    assert!(catalog(&store).unwrap().is_empty());
}

#[test]
fn wrong_keys_and_a_bucket_that_is_not_there_are_errors_at_once() {
    let server = Server::start();
    let wrong = server.store_with(|options| {
        options.settings.add("AWS_SECRET_ACCESS_KEY", "other");
    });
    let error = wrong.begin(NAME).unwrap_err();
    let kind = |error: &SetError| match error {
        SetError::Io { source, .. } => source.kind(),
        other => panic!("{other}"),
    };
    assert_eq!(
        kind(&error),
        std::io::ErrorKind::PermissionDenied,
        "{error:?}"
    );
    std::fs::remove_dir(server.root.path().join(BUCKET)).unwrap();
    let error = server.store().begin(NAME).unwrap_err();
    assert_eq!(kind(&error), std::io::ErrorKind::NotFound, "{error:?}");
    let said = server.store().look().unwrap_err().to_string();
    assert!(said.contains("there is no such bucket"), "{said}");
}

#[test]
fn what_the_store_says_is_told_in_words() {
    let server = Server::start();
    server.fail(&[(Kind::Other, Fault::Skewed)]);
    let said = server.store().look().unwrap_err().to_string();
    assert!(said.contains("clock of this machine"), "{said}");
    let refused = server.store_with(|options| options.allow_http = false);
    let said = refused.look().unwrap_err().to_string();
    assert!(said.contains("http://"), "{said}");
    let nobody = server.store_with(|options| {
        let nowhere = "http://127.0.0.1:1";
        options.settings.add("AWS_ENDPOINT_URL", nowhere);
    });
    let said = nobody.look().unwrap_err().to_string();
    assert!(
        said.contains("AWS_ENDPOINT_URL") && said.contains("refused"),
        "{said}"
    );
    server.store().look().unwrap();
}

/// A file of which the first part is on its way.
fn begun(store: &ObjectStore) -> (SetWriter<BegunObjects>, PartialFile<BegunObjects>) {
    let set = SetWriter::create(store, NAME).unwrap();
    let mut file = set.file(DUMP_FILE, FileRole::StoreDump).unwrap();
    file.write_all(&in_two_parts()).unwrap();
    (set, file)
}

#[test]
fn what_is_given_up_is_aborted_at_once_though_the_store_hangs() {
    let server = Server::start();
    let store = server.store();
    server.fail(&[(Kind::Part, Fault::Hang)]);
    let (set, file) = begun(&store);
    let waiting = std::thread::spawn(move || file.complete(Proof::of_own(&in_two_parts())));
    while server.seen(Kind::Part) == 0 {
        std::thread::yield_now();
    }
    store.stop();
    waiting.join().unwrap().unwrap_err();
    drop(set);
    assert_eq!(server.unfinished(), 0);
    assert_eq!(server.seen(Kind::Abort), 1);
}

#[test]
fn an_upload_that_is_not_aborted_is_told_with_its_id() {
    let server = Server::start();
    let told = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&told);
    let store = server.store_with(|options| {
        options.teller = Teller::new(move |message| log.lock().unwrap().push(message));
    });
    server.fail(&[(Kind::Abort, Fault::Denied)]);
    drop(begun(&store));
    let told = told.lock().unwrap().join("\n");
    let ids = server.upload_ids();
    assert!(
        ids.len() == 1 && told.contains(&ids[0]) && told.contains("these keys may not"),
        "{told} {ids:?}"
    );
}

#[test]
fn a_file_that_another_command_replaced_keeps_the_set_from_being_sealed() {
    let server = Server::start();
    let store = server.store();
    let set: SetWriter<BegunObjects> = SetWriter::create(&store, NAME).unwrap();
    let mut file = set.file(DUMP_FILE, FileRole::StoreDump).unwrap();
    file.write_all(DUMP).unwrap();
    let dump = file.complete(Proof::of_own(DUMP)).unwrap();
    let other: SetWriter<BegunObjects> = SetWriter::resume_or_create(&store, NAME).unwrap();
    let mut file = other.file(DUMP_FILE, FileRole::StoreDump).unwrap();
    file.write_all(&DUMP[1..]).unwrap();
    let _replaced = file.complete(Proof::of_own(&DUMP[1..])).unwrap();
    let error = set.seal(dump, Vec::new(), manifest()).unwrap_err();
    assert!(matches!(error, SetError::Changed { .. }), "{error}");
}

/// Whole or an error; never a sealed set that does not verify.
#[test]
fn whatever_goes_wrong_there_is_a_whole_set_or_none() {
    let seed: u64 = std::env::var("SWEEP_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(rand::random);
    println!("SWEEP_SEED={seed}");
    let is_full = std::env::var_os("WA_FULL_SWEEP").is_some_and(|value| value == "1");
    let rounds = if is_full { 200 } else { 12 };
    let server = Server::start();
    let store = server.store_with(|options| {
        options.patience.outage = std::time::Duration::from_millis(100);
    });
    let mut whole = 0;
    for round in 0..rounds {
        let name = format!("wa-cpd-20261122T2055{round:03}Z");
        server.fail_at_random(seed.wrapping_add(round), 12);
        let written = write(&store, &name);
        server.recover();
        let sets = catalog(&store).unwrap();
        let found = sets.iter().find(|entry| entry.path.ends_with(&name));
        match (&written, found.map(|entry| &entry.state)) {
            (Ok(()), _) => whole += 1,
            // Sealed, and nobody heard of it.
            (Err(_), Some(SetState::Complete(_))) => {}
            (Err(_), None | Some(SetState::Incomplete)) => continue,
            (written, state) => panic!("round {round}: {written:?}, {state:?}"),
        }
        verify(&store, &name);
        remove_set(&store.set(&name).unwrap(), None).unwrap();
    }
    assert!(whole * 10 > rounds, "{whole} of {rounds} rounds");
}
