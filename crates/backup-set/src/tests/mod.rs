//! Sets written, damaged in every way there is a check for, and read again.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use tempfile::TempDir;
use transfer_proof::Proof;

use crate::*;

mod encryption;
mod manifest;
mod reading;
mod store;
mod writing;

/// A real archive, written by pg_dump 15.
const DUMP: &[u8] = include_bytes!("../../../pg-archive/tests/fixtures/pg15-gzip.dump");

fn some_manifest() -> Manifest {
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
        instance_uid: None,
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
    let set = SetWriter::create(
        &DirectoryStore::new(parent.path()),
        "wa-cpd-20261122T205500Z",
    )
    .unwrap();
    let dump = store_dump(&set, DUMP);
    let key = set
        .write(
            AUTH_ENCRYPTION_FILE,
            FileRole::AuthEncryption,
            b"kind: Secret\n",
        )
        .unwrap();
    let sealed = set.seal(dump, vec![key], some_manifest()).unwrap();
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

/// The set that a dump of another version is in.
fn set_of(dump: &[u8]) -> (TempDir, PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let set = SetWriter::create(
        &DirectoryStore::new(parent.path()),
        "wa-cpd-20261122T205500Z",
    )
    .unwrap();
    let dump = store_dump(&set, dump);
    let sealed = set.seal(dump, Vec::new(), some_manifest()).unwrap();
    (parent, sealed.path().to_owned())
}

fn not_judged(path: &Path) -> String {
    match Backup::open(path).and_then(|backup| backup.verify()) {
        Err(BackupError::NotJudged(not)) => not.to_string(),
        other => panic!("{other:?}"),
    }
}
