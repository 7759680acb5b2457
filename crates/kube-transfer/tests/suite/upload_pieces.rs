//! Uploads that are so large that they are brought in pieces.

use std::{
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
};

use kube_transfer::{
    TransferOptions,
    file::{UploadError, UploadEvent, UploadOptions, UploadSource, Uploaded},
};
use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};
use tempfile::TempDir;

use crate::support::{
    ApiServer, Behaviour, Fault, Pod, Subprotocol, eventually, names, quick, random_bytes, remote,
    shells, sweep_seed, tools, upload,
};
use crate::upload::UPLOAD_TOOLS;
use crate::upload_resume::Destination;

const MIB: usize = 1 << 20;
const PIECE_BYTES: usize = 2 * MIB;
/// In three pieces, the last of which is small.
const BYTES: usize = 2 * PIECE_BYTES + 12_345;

impl Destination {
    fn pieces(&self) -> PathBuf {
        self.0.path().join("a file\n$(x) *.pieces")
    }

    async fn becomes_empty(&self) {
        eventually("something was left in the directory", || {
            names(self.0.path()).is_empty()
        })
        .await;
    }

    async fn upload(
        &self,
        behaviour: Behaviour,
        content: &[u8],
        retries: u32,
    ) -> Result<Uploaded, UploadError> {
        let client = ApiServer::start(behaviour).await.client();
        let source = UploadSource::from(content.to_vec());
        let to = remote(&self.path());
        upload(&client, &source, &to, &options(retries), |_| ()).await
    }
}

fn options(retries: u32) -> UploadOptions {
    let mut options = UploadOptions::default().with_retries(quick(retries));
    options.connections = 3;
    options.least_piece_bytes = PIECE_BYTES as u64;
    options
}

/// Connections break as `fault` says of each, by its number.
fn breaking(pod: &Pod, fault: impl Fn(usize) -> Fault + Send + Sync + 'static) -> Behaviour {
    let pod = pod.clone();
    let choice = move |number: usize, _: &[String]| Pod {
        fault: fault(number),
        ..pod.clone()
    };
    Behaviour::Choose(Subprotocol::V5, Arc::new(choice))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pieces_arrive_at_once_over_lines_that_break_and_the_file_is_whole() {
    let seed = sweep_seed();
    let content = random_bytes(BYTES, seed);
    for shell in shells() {
        let mut random = SmallRng::seed_from_u64(seed);
        let faults: Vec<Fault> = (0..15)
            .map(|number| match random.random_range(0..5) {
                // The question of what is there, and about free space; then the pieces, one of which breaks for certain.
                _ if number < 2 => Fault::None,
                _ if number == 2 => Fault::CutInput(random.random_range(0..MIB)),
                0 => Fault::Cut(random.random_range(0..300)),
                1 => Fault::CutScript(random.random_range(0..3000)),
                2 => Fault::None,
                _ => Fault::CutInput(random.random_range(0..2 * MIB)),
            })
            .collect();
        let pod = Pod {
            shell,
            ..Pod::new()
        };
        let behaviour = breaking(&pod, move |number| {
            faults.get(number).copied().unwrap_or(Fault::None)
        });
        let client = ApiServer::start(behaviour).await.client();
        let destination = Destination::new();
        let source = UploadSource::from(content.clone());
        let (mut most, mut retries) = (0, 0);
        let observe = |event: UploadEvent<'_>| match event {
            UploadEvent::Progress { bytes } => most = most.max(bytes),
            UploadEvent::Retrying { .. } => retries += 1,
            _ => {}
        };
        let to = remote(&destination.path());
        let uploaded = upload(&client, &source, &to, &options(20), observe)
            .await
            .expect("success");
        destination.holds_only(&content);
        assert_eq!((uploaded.bytes(), most), (BYTES as u64, BYTES as u64));
        assert!(retries > 0, "nothing broke");
        let arrived = pod.arrived.load(Ordering::SeqCst);
        assert!(arrived < BYTES + 3 * MIB, "{arrived} bytes arrived");
        pod.node.is_clean().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_process_continues_the_pieces_that_one_has_left() {
    let content = random_bytes(BYTES, 3);
    let pod = Pod::new();
    let destination = Destination::new();
    // Two questions and three pieces; the first piece breaks, and so does everything after it.
    let broken = breaking(&pod, |number| match number {
        2 => Fault::CutInput(MIB),
        number if number < 5 => Fault::None,
        _ => Fault::Cut(0),
    });
    let error = destination.upload(broken, &content, 0).await;
    assert!(
        matches!(&error, Err(error) if error.is_transient()),
        "{error:?}"
    );
    pod.node.is_clean().await;
    assert!(!destination.path().exists());
    let whole = breaking(&pod, |_| Fault::None);
    let continued = destination
        .upload(whole, &content, 0)
        .await
        .expect("success");
    let sent = continued.sent_bytes();
    assert!(sent <= (BYTES - MIB / 2) as u64, "{sent} were sent again");
    destination.holds_only(&content);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pieces_of_another_file_are_not_trusted() {
    use std::os::unix::fs::DirBuilderExt as _;

    let content = random_bytes(BYTES, 1);
    let other = random_bytes(BYTES, 2);
    for (name, left) in [
        ("joined", &other[..PIECE_BYTES]),
        ("joined", &other[..]),
        ("0", &other[..PIECE_BYTES]),
        ("1", &content[..7]),
    ] {
        let destination = Destination::new();
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(destination.pieces())
            .expect("a directory");
        std::fs::write(destination.pieces().join(name), left).expect("a file");
        let behaviour = breaking(&Pod::new(), |_| Fault::None);
        destination
            .upload(behaviour, &content, 2)
            .await
            .expect("success");
        destination.holds_only(&content);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_volume_that_fills_up_with_pieces_or_when_they_are_joined_is_left_empty() {
    let content = vec![b'\n'; BYTES];
    // In blocks of 512 bytes: less than a piece, and less than two.
    for limit in [2_000, 6_000] {
        let limited = format!("trap '' XFSZ; ulimit -f {limit}; exec sh \"$@\"");
        let pod = Pod {
            shell: ["sh", "-c", &limited, "sh"].map(ToOwned::to_owned).to_vec(),
            ..Pod::new()
        };
        let destination = Destination::new();
        let behaviour = Behaviour::Run(Subprotocol::V5, pod.clone());
        let error = destination.upload(behaviour, &content, 0).await;
        assert!(
            matches!(&error, Err(UploadError::Failed { action, .. }) if action == "write"),
            "{limit}: {error:?}"
        );
        destination.becomes_empty().await;
        pod.node.is_clean().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_there_is_no_room_for_one_more_piece_the_file_is_brought_over_one_connection() {
    let tools = tools(&UPLOAD_TOOLS).expect("installed");
    let has_free = |kibibytes: usize| {
        tools.replace(
            "df",
            &format!("#!/bin/sh\necho 'Filesystem 1024-blocks Used Available Capacity Mounted on'\necho 'x 9999999 0 {kibibytes} 0% /'\n"),
        );
    };
    let destination = Destination::new();
    let behaviour = || Behaviour::Run(Subprotocol::V5, tools.pod());
    let content = random_bytes(BYTES, 1);
    has_free(20 << 10);
    let error = destination.upload(behaviour(), &content, 0).await;
    let expected = BYTES + 16 * MIB;
    assert!(
        matches!(error, Err(UploadError::NoSpace { needed, .. }) if needed == expected as u64),
        "{error:?}"
    );
    destination.becomes_empty().await;
    has_free(21 << 10);
    destination
        .upload(behaviour(), &content, 0)
        .await
        .expect("success");
    destination.holds_only(&content);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_place_for_pieces_that_is_somebody_elses_is_refused_and_ours_is_removed_on_demand() {
    let destination = Destination::new();
    let elsewhere = TempDir::new().expect("a directory");
    std::os::unix::fs::symlink(elsewhere.path(), destination.pieces()).expect("a link");
    let behaviour = || breaking(&Pod::new(), |_| Fault::None);
    let error = destination
        .upload(behaviour(), &random_bytes(BYTES, 1), 0)
        .await;
    assert!(
        matches!(error, Err(UploadError::ForeignPartial { .. })),
        "{error:?}"
    );
    assert!(names(elsewhere.path()).is_empty());
    std::fs::remove_file(destination.pieces()).expect("mine");
    std::fs::create_dir(destination.pieces()).expect("a directory");
    let client = ApiServer::start(behaviour()).await.client();
    let file = remote(&destination.path()).through(&client, &TransferOptions::default());
    file.discard_upload().await.expect("removed");
    assert!(names(destination.0.path()).is_empty());
}
