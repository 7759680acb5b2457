//! Files put into pods.

use std::{os::unix::fs::PermissionsExt as _, path::PathBuf, sync::Arc};

use kube_transfer::{
    Retries, StreamError,
    file::{FileError, UploadError, UploadOptions, UploadSource, Uploaded},
};
use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};
use tempfile::TempDir;

use crate::support::{
    ApiServer, Behaviour, Fault, Pod, Subprotocol, eventually, names, random_bytes, remote, shells,
    sweep_seed, tools, upload,
};

const BOTH: [Subprotocol; 2] = [Subprotocol::V5, Subprotocol::V4];

/// What an upload takes.
pub(crate) const UPLOAD_TOOLS: [&str; 16] = [
    "sh",
    "env",
    "tee",
    "df",
    "sleep",
    "sha256sum",
    "head",
    "dd",
    "stat",
    "mkdir",
    "chmod",
    "mv",
    "rm",
    "cat",
    "ln",
    "sync",
];

struct Destination {
    directory: TempDir,
    name: &'static str,
}

impl Destination {
    fn new(name: &'static str) -> Self {
        Self {
            directory: TempDir::new().expect("a directory"),
            name,
        }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join(self.name)
    }

    async fn upload(
        &self,
        behaviour: Behaviour,
        content: &[u8],
        replace: bool,
    ) -> Result<Uploaded, UploadError> {
        let server = ApiServer::start(behaviour).await;
        let mut options = UploadOptions::default().with_retries(Retries::new(0));
        options.replace = replace;
        let source = UploadSource::from(content.to_vec());
        upload(
            &server.client(),
            &source,
            &remote(&self.path()),
            &options,
            |_| (),
        )
        .await
    }

    /// Nothing is left, once the pod has seen the end of its input.
    async fn becomes_empty(&self) {
        eventually("something was left in the directory", || {
            names(self.directory.path()).is_empty()
        })
        .await;
    }
}

/// The fault hits the upload itself, not the question about free space before it.
fn with_fault(subprotocol: Subprotocol, fault: Fault) -> Behaviour {
    Behaviour::Choose(
        subprotocol,
        Arc::new(move |number, _| match number {
            0 => Pod::new(),
            _ => Pod::with_fault(fault),
        }),
    )
}

#[tokio::test]
async fn files_arrive_whole_under_any_name_on_every_shell() {
    for (shell, (name, bytes)) in shells().into_iter().cycle().zip([
        ("plain", 1_000_000),
        ("with space", 0),
        ("with\nnewline", 1),
        ("-rf", 32 << 10),
        ("*", (3 << 20) + 17),
        ("$(touch x)'\"", 70_000),
    ]) {
        for subprotocol in BOTH {
            let destination = Destination::new(name);
            let content = random_bytes(bytes, 7);
            let pod = Pod {
                shell: shell.clone(),
                ..Pod::new()
            };
            let behaviour = Behaviour::Run(subprotocol, pod);
            let uploaded = destination
                .upload(behaviour, &content, false)
                .await
                .expect("success");
            assert_eq!(uploaded.bytes(), bytes as u64);
            assert!(
                std::fs::read(destination.path()).expect("a file") == content,
                "{name:?}"
            );
            let mode = std::fs::metadata(destination.path())
                .expect("a file")
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o600);
            eventually("the temporary file stayed", || {
                names(destination.directory.path()) == [name]
            })
            .await;
        }
    }
}

#[tokio::test]
async fn busybox_suffices() {
    let Some(tools) = tools(&["busybox"]) else {
        return;
    };
    let destination = Destination::new("plain");
    let content = random_bytes(1_000_000, 7);
    let behaviour = Behaviour::Run(Subprotocol::V5, tools.pod());
    destination
        .upload(behaviour, &content, false)
        .await
        .expect("success");
    assert!(std::fs::read(destination.path()).expect("a file") == content);
}

#[tokio::test]
async fn what_exists_is_replaced_only_on_demand_and_a_directory_never() {
    let destination = Destination::new("plain");
    std::fs::write(destination.path(), "old").expect("a file");
    let behaviour = || Behaviour::Run(Subprotocol::V5, Pod::new());
    let error = destination.upload(behaviour(), b"new", false).await;
    assert!(
        matches!(error, Err(UploadError::Exists { .. })),
        "{error:?}"
    );
    assert_eq!(std::fs::read(destination.path()).expect("a file"), b"old");
    destination
        .upload(behaviour(), b"new", true)
        .await
        .expect("success");
    assert_eq!(std::fs::read(destination.path()).expect("a file"), b"new");
    std::fs::remove_file(destination.path()).expect("mine");

    std::os::unix::fs::symlink("nowhere", destination.path()).expect("a link");
    let error = destination.upload(behaviour(), b"new", false).await;
    assert!(
        matches!(error, Err(UploadError::Exists { .. })),
        "{error:?}"
    );
    std::fs::remove_file(destination.path()).expect("mine");

    std::fs::create_dir(destination.path()).expect("a directory");
    let error = destination.upload(behaviour(), b"new", true).await;
    assert!(
        matches!(error, Err(UploadError::Exists { .. })),
        "{error:?}"
    );
    assert!(names(&destination.path()).is_empty());
}

#[tokio::test]
async fn a_missing_directory_and_a_relative_path_are_reported() {
    let destination = Destination::new("none/plain");
    let behaviour = || Behaviour::Run(Subprotocol::V5, Pod::new());
    let error = destination.upload(behaviour(), b"x", false).await;
    let Err(UploadError::File(FileError::NotFound { path })) = error else {
        panic!("{error:?}")
    };
    assert!(path.ends_with("none"), "{path}");
    let destination = Destination::new("plain/");
    let error = destination.upload(behaviour(), b"x", false).await;
    assert!(
        matches!(error, Err(UploadError::File(FileError::InvalidPath { .. }))),
        "{error:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_cut_anywhere_gives_half_a_file_its_name() {
    let seed = sweep_seed();
    let mut random = SmallRng::seed_from_u64(seed);
    let content = random_bytes(300_000, seed);
    for attempt in 0..60 {
        let fault = match attempt % 3 {
            // "take 0", the data, the nonce: the last cut is before the pod may rename.
            0 => Fault::CutInput(random.random_range(0..7 + 300_000 + 33)),
            1 => Fault::Cut(random.random_range(0..39 + 33 + 72 + 38)),
            _ => Fault::CutInput(7 + 300_000 + random.random_range(0..33)),
        };
        let destination = Destination::new("plain");
        let behaviour = with_fault(BOTH[attempt % 2], fault);
        match destination.upload(behaviour, &content, false).await {
            Ok(_) => panic!("{fault:?} was no loss"),
            Err(UploadError::Unconfirmed { .. }) => {
                if let Ok(found) = std::fs::read(destination.path()) {
                    assert!(found == content, "{fault:?} left a wrong file");
                }
            }
            Err(UploadError::Stream(StreamError::Lost { .. })) => {
                assert!(!destination.path().exists(), "{fault:?}");
            }
            Err(error) => panic!("{fault:?}: {error:?}"),
        }
    }
}

#[tokio::test]
async fn a_volume_without_room_is_refused_before_anything_is_sent() {
    let tools = tools(&UPLOAD_TOOLS).expect("installed");
    tools.replace(
        "df",
        "#!/bin/sh\necho 'Filesystem 1024-blocks Used Available Capacity Mounted on'\necho 'x 9999999 0 100 0% /'\n",
    );
    let destination = Destination::new("plain");
    let behaviour = Behaviour::Run(Subprotocol::V5, tools.pod());
    let error = destination.upload(behaviour, b"x", false).await;
    let expected = 100 << 10;
    assert!(
        matches!(error, Err(UploadError::NoSpace { available, .. }) if available == expected),
        "{error:?}"
    );
    destination.becomes_empty().await;
}

#[tokio::test]
async fn a_volume_that_fills_up_meanwhile_is_reported_and_nothing_is_left() {
    for subprotocol in BOTH {
        // What `head` then gets is the same as from a full disk: an error of a write.
        let pod = Pod {
            shell: [
                "sh",
                "-c",
                "trap '' XFSZ; ulimit -f 200; exec sh \"$@\"",
                "sh",
            ]
            .map(ToOwned::to_owned)
            .to_vec(),
            ..Pod::new()
        };
        let destination = Destination::new("plain");
        let behaviour = Behaviour::Run(subprotocol, pod);
        let error = destination
            .upload(behaviour, &vec![b'\n'; 3_000_000], false)
            .await
            .expect_err("must fail");
        let UploadError::Failed { action, said } = &error else {
            panic!("{error:?}")
        };
        assert_eq!(action, "write");
        assert!(said.contains("too large"), "{said}");
        destination.becomes_empty().await;
    }
}

#[tokio::test]
async fn a_container_that_lacks_a_tool_is_reported() {
    let tools = tools(&UPLOAD_TOOLS).expect("installed");
    // It is there for the question about free space, and gone afterwards.
    let df = std::fs::canonicalize("/bin/df").expect("installed");
    tools.replace(
        "df",
        &format!(
            "#!/bin/sh\n{} \"$@\"\n/bin/rm \"${{0%/*}}/head\"\n",
            df.display()
        ),
    );
    let destination = Destination::new("plain");
    let behaviour = Behaviour::Run(Subprotocol::V5, tools.pod());
    let error = destination.upload(behaviour, b"x", false).await;
    assert!(
        matches!(&error, Err(UploadError::File(FileError::MissingTool { tool })) if tool == "head"),
        "{error:?}"
    );
}
