//! Directories, files and free space as a real shell shows them.

use std::{
    ffi::OsStr,
    os::unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    path::Path,
};

use kube_transfer::{
    TransferOptions,
    file::{Entry, EntryKind, FileError},
};
use tempfile::TempDir;

use crate::support::{
    ApiServer, Behaviour, Pod, RemoteFile, Subprotocol, handle, remote, shells, stat, tools,
};

async fn listed(pod: Pod, directory: &Path) -> Result<Vec<Entry>, FileError> {
    let server = ApiServer::start(Behaviour::Run(Subprotocol::V5, pod)).await;
    let directory = directory.to_str().expect("UTF-8");
    let options = TransferOptions::default();
    let mut entries = handle(&server.client(), &options).list(directory).await?;
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

async fn looked_at(pod: Pod, file: &RemoteFile) -> Result<Entry, FileError> {
    let server = ApiServer::start(Behaviour::Run(Subprotocol::V5, pod)).await;
    stat(&server.client(), file).await
}

/// A directory of names that upset scripts, and what is expected of a list of it.
fn odd_names() -> (TempDir, Vec<(String, EntryKind)>) {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path();
    let mut expected = Vec::new();
    for name in [
        "store.dump_20240801-230000",
        "with space",
        "with\nnewline",
        "-n",
        "--help",
        "*",
        "$(touch x)",
        ".hidden",
        "..two dots",
        "81a4 5 1 1 .",
        "Ümlaut",
        "'\"\\",
    ] {
        std::fs::write(path.join(name), name).expect("a file");
        expected.push((name.to_owned(), EntryKind::File));
    }
    std::fs::create_dir(path.join("directory")).expect("a directory");
    expected.push(("directory".to_owned(), EntryKind::Directory));
    for (name, destination) in [("link out", "/etc/passwd"), ("dangling", "nowhere")] {
        std::os::unix::fs::symlink(destination, path.join(name)).expect("a link");
        expected.push((name.to_owned(), EntryKind::Symlink));
    }
    std::fs::write(path.join(OsStr::from_bytes(b"not \xff UTF-8")), "").expect("a file");
    expected.push(("not \u{fffd} UTF-8".to_owned(), EntryKind::File));
    expected.sort_by(|a, b| a.0.cmp(&b.0));
    (directory, expected)
}

#[tokio::test]
async fn every_name_is_listed_as_it_is_on_every_shell() {
    let (directory, expected) = odd_names();
    for shell in shells() {
        let pod = Pod {
            shell: shell.clone(),
            ..Pod::new()
        };
        let entries = listed(pod, directory.path()).await.expect("a list");
        let found: Vec<_> = entries
            .iter()
            .map(|entry| (entry.name.clone(), entry.kind))
            .collect();
        assert_eq!(found, expected, "{shell:?}");
        for entry in entries
            .iter()
            .filter(|entry| !entry.name.contains('\u{fffd}'))
        {
            let metadata =
                std::fs::symlink_metadata(directory.path().join(&entry.name)).expect("a file");
            assert_eq!(entry.version.bytes, metadata.len());
            assert_eq!(entry.version.inode, metadata.ino());
            assert_eq!(
                i64::try_from(entry.version.modified),
                Ok(metadata.mtime()),
                "{}",
                entry.name
            );
        }
    }
}

#[tokio::test]
async fn busybox_suffices() {
    let Some(tools) = tools(&["busybox"]) else {
        return;
    };
    let (directory, expected) = odd_names();
    let entries = listed(tools.pod(), directory.path()).await.expect("a list");
    assert_eq!(entries.len(), expected.len());
    let file = remote(&directory.path().join("with\nnewline"));
    let entry = looked_at(tools.pod(), &file).await.expect("a file");
    assert_eq!((entry.kind, entry.version.bytes), (EntryKind::File, 12));
}

#[tokio::test]
async fn three_thousand_files_and_none_are_listed() {
    let directory = TempDir::new().expect("a directory");
    assert_eq!(
        listed(Pod::new(), directory.path()).await.expect("a list"),
        []
    );
    for number in 0..3000 {
        std::fs::write(
            directory.path().join(format!("store.dump_{number:0200}")),
            "",
        )
        .expect("a file");
    }
    let entries = listed(Pod::new(), directory.path()).await.expect("a list");
    assert_eq!(entries.len(), 3000);
}

#[tokio::test]
async fn what_is_not_there_or_no_directory_is_reported() {
    let directory = TempDir::new().expect("a directory");
    let file = directory.path().join("file");
    std::fs::write(&file, "").expect("a file");
    for shell in shells() {
        let pod = Pod {
            shell,
            ..Pod::new()
        };
        let error = listed(pod.clone(), &directory.path().join("none")).await;
        assert!(
            matches!(error, Err(FileError::NotFound { .. })),
            "{error:?}"
        );
        let error = listed(pod.clone(), &file).await;
        assert!(
            matches!(error, Err(FileError::NotADirectory { .. })),
            "{error:?}"
        );
        let error = looked_at(pod, &remote(&directory.path().join("none"))).await;
        assert!(
            matches!(error, Err(FileError::NotFound { .. })),
            "{error:?}"
        );
    }
    let error = listed(Pod::new(), Path::new("etc")).await;
    assert!(
        matches!(error, Err(FileError::InvalidPath { .. })),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_container_without_stat_is_reported() {
    let tools = tools(&["sh", "tee", "sleep", "sha256sum", "env"]).expect("installed");
    let error = listed(tools.pod(), Path::new("/"))
        .await
        .expect_err("must fail");
    assert_eq!(
        error.to_string(),
        "the container has no stat; use a container that has it"
    );
    let error = looked_at(tools.pod(), &remote(Path::new("/"))).await;
    assert!(
        matches!(error, Err(FileError::MissingTool { .. })),
        "{error:?}"
    );
}

#[tokio::test]
async fn free_space_is_that_of_the_file_system() {
    let directory = TempDir::new().expect("a directory");
    let server = ApiServer::start(Behaviour::Run(Subprotocol::V4, Pod::new())).await;
    let path = directory.path().to_str().expect("UTF-8");
    let space = handle(&server.client(), &TransferOptions::default())
        .space(path)
        .await
        .expect("a file system");
    assert!(
        space.available > 0 && space.total >= space.available,
        "{space:?}"
    );
    assert!(space.used <= space.total, "{space:?}");
}
