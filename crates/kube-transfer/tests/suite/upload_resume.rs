//! Uploads over lines that break: continued, and never with what is not right.

use std::{
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use kube_transfer::{
    TransferOptions,
    file::{UploadError, UploadEvent, UploadOptions, UploadSource, Uploaded},
};
use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};
use tempfile::TempDir;

use crate::support::{
    ApiServer, Behaviour, Fault, Pod, Subprotocol, eventually, impatient, names, quick,
    random_bytes, remote, shells, sweep_seed, tools, upload,
};
use crate::upload::UPLOAD_TOOLS;

const MIB: usize = 1 << 20;
/// What one connection may lose: what was written when it broke ends anywhere in a block, and a server drops the rest of
/// the message that it is reading.
const LOST_BYTES: u64 = (64 + 32) << 10;

/// A directory in the pod with room for one file of a name that shells do not like.
pub(crate) struct Destination(pub(crate) TempDir);

impl Destination {
    pub(crate) fn new() -> Self {
        Self(TempDir::new().expect("a directory"))
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.0.path().join("a file\n$(x) *")
    }

    fn partial(&self) -> PathBuf {
        self.0.path().join("a file\n$(x) *.partial")
    }

    #[track_caller]
    pub(crate) fn holds_only(&self, content: &[u8]) {
        assert!(std::fs::read(self.path()).expect("a file") == content);
        assert_eq!(names(self.0.path()).len(), 1, "something else is there");
    }
}

fn options(retries: u32) -> UploadOptions {
    UploadOptions::default().with_retries(quick(retries))
}

async fn uploaded(
    behaviour: Behaviour,
    source: &UploadSource,
    to: &Path,
    options: &UploadOptions,
) -> Result<Uploaded, UploadError> {
    let client = ApiServer::start(behaviour).await.client();
    upload(&client, source, &remote(to), options, |_| ()).await
}

/// The first request, about free space, goes well; then each connection breaks as the next of `faults` says, and when
/// there are none left, none does.
fn breaking(subprotocol: Subprotocol, pod: &Pod, faults: Vec<Fault>) -> Behaviour {
    let pod = pod.clone();
    let choice = move |number: usize, _: &[String]| Pod {
        fault: match number {
            0 => Fault::None,
            number => faults.get(number - 1).copied().unwrap_or(Fault::None),
        },
        ..pod.clone()
    };
    Behaviour::Choose(subprotocol, Arc::new(choice))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_over_a_line_that_breaks_again_and_again_ends_whole_and_sends_little_twice() {
    let seed = sweep_seed();
    let mut random = SmallRng::seed_from_u64(seed);
    let content = random_bytes(12 * MIB + 12_345, seed);
    for (shell, subprotocol) in
        shells()
            .into_iter()
            .zip([Subprotocol::V5, Subprotocol::V4, Subprotocol::V5])
    {
        let faults: Vec<Fault> = (0..12)
            .map(|number| match random.random_range(0..6) {
                // The first breaks for certain; one that sends little back may outlive the others.
                _ if number == 0 => Fault::CutInput(random.random_range(0..2 * MIB)),
                0 => Fault::Cut(random.random_range(0..300)),
                1 => Fault::CutScript(random.random_range(0..3000)),
                _ => Fault::CutInput(random.random_range(0..2 * MIB)),
            })
            .collect();
        let pod = Pod {
            shell,
            ..Pod::new()
        };
        let (server, destination) = (
            ApiServer::start(breaking(subprotocol, &pod, faults.clone())).await,
            Destination::new(),
        );
        let source = UploadSource::from(content.clone());
        let uploaded = upload(
            &server.client(),
            &source,
            &remote(&destination.path()),
            &options(20),
            |_| (),
        )
        .await
        .expect("success");
        assert_eq!(uploaded.bytes(), content.len() as u64);
        destination.holds_only(&content);
        let connections = server.requests().len() as u64 - 1;
        assert!(connections > 1, "nothing broke: {faults:?}");
        let arrived = pod.arrived.load(std::sync::atomic::Ordering::SeqCst) as u64;
        let most = uploaded.bytes() + connections * LOST_BYTES;
        assert!(
            arrived <= most,
            "{arrived} bytes arrived in {connections} connections"
        );
        pod.node.is_clean().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_process_continues_what_one_has_left() {
    let content = random_bytes(5 * MIB + 1, 3);
    for shell in shells() {
        let pod = Pod {
            shell,
            ..Pod::new()
        };
        let destination = Destination::new();
        let source = UploadSource::from(content.clone());
        let broken = breaking(
            Subprotocol::V5,
            &pod,
            vec![Fault::CutInput(3 * MIB + 100_000)],
        );
        let error = uploaded(broken, &source, &destination.path(), &options(0)).await;
        assert!(matches!(error, Err(UploadError::Stream(_))), "{error:?}");
        pod.node.is_clean().await;
        assert!(!destination.path().exists());
        let mode = |path: &Path| {
            let metadata = std::fs::metadata(path).expect("is there");
            metadata.permissions().mode() & 0o777
        };
        assert_eq!(mode(&destination.partial()), 0o700);
        for name in names(&destination.partial()) {
            assert_eq!(mode(&destination.partial().join(&name)), 0o600, "{name}");
        }
        let whole = breaking(Subprotocol::V5, &pod, Vec::new());
        let continued = uploaded(whole, &source, &destination.path(), &options(0))
            .await
            .expect("success");
        assert!(
            continued.sent_bytes() <= 2 * MIB as u64,
            "{} bytes were sent again",
            continued.sent_bytes()
        );
        destination.holds_only(&content);
    }
}

/// What is left of an upload, put there for the next.
fn leave(destination: &Destination, data: &[u8]) {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new()
        .mode(0o700)
        .create(destination.partial())
        .expect("a directory");
    std::fs::write(destination.partial().join("data"), data).expect("data");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_left_of_another_file_is_not_trusted() {
    let content = random_bytes(2 * MIB + 500, 1);
    let mut changed_at_the_end = content[..MIB].to_vec();
    changed_at_the_end[MIB - 1] ^= 1;
    let mut longer = content.clone();
    longer.extend(b"and more");
    for (left, most_sent) in [
        (random_bytes(MIB, 2), content.len()),
        (random_bytes(3 * MIB, 2), content.len()),
        (changed_at_the_end, content.len()),
        (longer, 64 << 10),
        (content.clone(), 0),
        (Vec::new(), content.len()),
    ] {
        let destination = Destination::new();
        leave(&destination, &left);
        let behaviour = Behaviour::Run(Subprotocol::V5, Pod::new());
        let source = UploadSource::from(content.clone());
        let uploaded = uploaded(behaviour, &source, &destination.path(), &options(0))
            .await
            .expect("success");
        destination.holds_only(&content);
        assert!(uploaded.sent_bytes() <= most_sent as u64, "{uploaded:?}");
    }
}

#[tokio::test]
async fn a_place_for_what_arrives_that_is_somebody_elses_is_refused() {
    let destination = Destination::new();
    let elsewhere = TempDir::new().expect("a directory");
    std::os::unix::fs::symlink(elsewhere.path(), destination.partial()).expect("a link");
    let behaviour = Behaviour::Run(Subprotocol::V5, Pod::new());
    let source = UploadSource::from(&b"content"[..]);
    let error = uploaded(behaviour, &source, &destination.path(), &options(0)).await;
    assert!(
        matches!(error, Err(UploadError::ForeignPartial { .. })),
        "{error:?}"
    );
    assert!(names(elsewhere.path()).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bit_that_flips_on_the_way_is_found_and_sent_again() {
    let content = random_bytes(2 * MIB, 9);
    let destination = Destination::new();
    let behaviour = breaking(
        Subprotocol::V5,
        &Pod::new(),
        vec![Fault::CorruptInput(12_345)],
    );
    let client = ApiServer::start(behaviour).await.client();
    let mut retried = Vec::new();
    let observe = |event: UploadEvent<'_>| {
        if let UploadEvent::Retrying { error, .. } = event {
            retried.push(matches!(error, UploadError::HashDiffers { .. }));
        }
    };
    let source = UploadSource::from(content.clone());
    upload(
        &client,
        &source,
        &remote(&destination.path()),
        &options(1),
        observe,
    )
    .await
    .expect("success");
    assert_eq!(retried, [true]);
    destination.holds_only(&content);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_in_its_place_already_is_not_sent_again() {
    let content = random_bytes(MIB + 1, 4);
    let destination = Destination::new();
    let behaviour = || Behaviour::Run(Subprotocol::V5, Pod::new());
    let upload = async |source: &UploadSource, replace| {
        let mut options = options(0);
        options.replace = replace;
        uploaded(behaviour(), source, &destination.path(), &options).await
    };
    let source = UploadSource::from(content.clone());
    upload(&source, false).await.expect("success");
    for replace in [false, true] {
        let again = upload(&source, replace).await.expect("success");
        assert_eq!((again.bytes(), again.sent_bytes()), (MIB as u64 + 1, 0));
    }
    // As large, and not the same.
    let other = random_bytes(MIB + 1, 5);
    let source = UploadSource::from(other.clone());
    let error = upload(&source, false).await;
    assert!(
        matches!(error, Err(UploadError::Exists { .. })),
        "{error:?}"
    );
    assert!(std::fs::read(destination.path()).expect("a file") == content);
    upload(&source, true).await.expect("success");
    destination.holds_only(&other);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_that_breaks_when_the_file_is_put_in_its_place_is_no_doubt() {
    let content = random_bytes(300_000, 6);
    // "take 0" and its line break, the data, the nonce.
    let all = 7 + content.len() + 33;
    let destination = Destination::new();
    let behaviour = breaking(Subprotocol::V5, &Pod::new(), vec![Fault::CutInput(all)]);
    let source = UploadSource::from(content.clone());
    let uploaded = uploaded(behaviour, &source, &destination.path(), &options(3))
        .await
        .expect("success");
    assert_eq!(uploaded.sent_bytes(), 300_000);
    destination.holds_only(&content);
}

type Change = fn(&Path);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_changes_meanwhile_is_noticed_and_gets_no_name() {
    let content = random_bytes(3 * MIB, 8);
    let ways: [(&str, Change); 3] = [
        ("written", |path| {
            use std::os::unix::fs::FileExt as _;
            let file = std::fs::File::options()
                .write(true)
                .open(path)
                .expect("mine");
            file.write_all_at(b"x", 0).expect("room");
        }),
        ("cut", |path| {
            let file = std::fs::File::options()
                .write(true)
                .open(path)
                .expect("mine");
            file.set_len(1000).expect("mine");
        }),
        ("longer", |path| {
            use std::io::Write as _;
            let mut file = std::fs::File::options()
                .append(true)
                .open(path)
                .expect("mine");
            file.write_all(b"more").expect("room");
        }),
    ];
    for (what, change) in ways {
        let here = TempDir::new().expect("a directory");
        let path = here.path().join("source");
        std::fs::write(&path, &content).expect("a file");
        let source = UploadSource::open(&path).expect("a source");
        let destination = Destination::new();
        let client = ApiServer::start(Behaviour::Run(Subprotocol::V5, Pod::new()))
            .await
            .client();
        let done = Mutex::new(false);
        let observe = |event: UploadEvent<'_>| {
            if matches!(event, UploadEvent::Progress { bytes } if bytes > MIB as u64) {
                let mut done = done.lock().expect("not poisoned");
                if !*done {
                    *done = true;
                    change(&path);
                }
            }
        };
        let to = remote(&destination.path());
        let error = upload(&client, &source, &to, &options(2), observe).await;
        assert!(
            matches!(error, Err(UploadError::SourceChanged)),
            "{what}: {error:?}"
        );
        assert!(!destination.path().exists());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_is_missing_must_have_room() {
    let tools = tools(&UPLOAD_TOOLS).expect("installed");
    // 20 MiB are free: the margin and 4.
    tools.replace(
        "df",
        "#!/bin/sh\necho 'Filesystem 1024-blocks Used Available Capacity Mounted on'\necho 'x 9999999 0 20480 0% /'\n",
    );
    let content = random_bytes(6 * MIB, 2);
    let source = UploadSource::from(content.clone());
    let destination = Destination::new();
    let behaviour = || Behaviour::Run(Subprotocol::V5, tools.pod());
    let error = uploaded(behaviour(), &source, &destination.path(), &options(0)).await;
    assert!(
        matches!(error, Err(UploadError::NoSpace { needed, .. }) if needed == 22 * MIB as u64),
        "{error:?}"
    );
    eventually("something was left", || {
        names(destination.0.path()).is_empty()
    })
    .await;
    leave(&destination, &content[..3 * MIB]);
    uploaded(behaviour(), &source, &destination.path(), &options(0))
        .await
        .expect("success");
    destination.holds_only(&content);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_upload_has_left_is_removed_on_demand() {
    let pod = Pod::new();
    let destination = Destination::new();
    let client = ApiServer::start(Behaviour::Run(Subprotocol::V5, pod.clone()))
        .await
        .client();
    let file = remote(&destination.path()).through(&client, &TransferOptions::default());
    file.discard_upload().await.expect("nothing to do");
    leave(&destination, b"data");
    file.discard_upload().await.expect("removed");
    assert!(names(destination.0.path()).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_is_not_yet_known_to_be_broken_is_told_to_end() {
    // The pod reads on, and the client gives up.
    let pod = Pod::new();
    let destination = Destination::new();
    let content = random_bytes(4 * MIB, 7);
    let behaviour = breaking(Subprotocol::V5, &pod, vec![Fault::Freeze(60)]);
    let client = ApiServer::start(behaviour).await.client();
    let source = UploadSource::from(content.clone());
    let uploaded = remote(&destination.path())
        .through(&client, &impatient())
        .upload(&source, &options(3), |_| ())
        .await
        .expect("success");
    assert_eq!(uploaded.bytes(), content.len() as u64);
    destination.holds_only(&content);
    pod.node.is_clean().await;
}
