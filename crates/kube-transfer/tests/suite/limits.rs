//! Limits as long and as short as their types allow.

use std::{
    panic,
    sync::{
        Once,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use kube_transfer::{
    RemoteCommand, Retries, TransferOptions,
    exec::StreamOptions,
    file::{FetchOptions, Partial, UploadOptions, UploadSource},
};

use crate::support::{ApiServer, Behaviour, Memory, Pod, Subprotocol, Volume, remote, run, stat};

/// Panics of tasks end in silence: counted wherever they happen.
static PANICS: AtomicUsize = AtomicUsize::new(0);

fn count_panics() {
    static COUNTED: Once = Once::new();
    COUNTED.call_once(|| {
        let told = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            PANICS.fetch_add(1, Ordering::SeqCst);
            told(info);
        }));
    });
}

fn transfer(limit: Duration) -> TransferOptions {
    TransferOptions::default()
        .with_stream(
            StreamOptions::default()
                // What is refused at the door tells nothing of the rest.
                .with_open_timeout(limit.max(Duration::from_secs(30)))
                .with_ping_every(limit)
                .with_silence_limit(limit),
        )
        .with_stall_limit(limit)
        .with_settle_limit(limit)
}

/// A command, a fetch and an upload with these limits; how many of them succeeded.
async fn succeeding(limit: Duration, number: u32, streams: usize) -> usize {
    let pod = Behaviour::Run(Subprotocol::V5, Pod::new());
    let client = ApiServer::start(pod).await.client();
    let volume = Volume::with(3 << 20, 1);
    let file = volume.remote();
    let transfer = transfer(limit);
    let command = RemoteCommand::new("true");
    let ran = run(&client, &command, &transfer).await;

    let entry = stat(&client, &file).await.expect("a file");
    let partial = Partial::create(&volume.destination(), &entry.version).expect("created");
    let retries = Retries::new(number).with_pauses(Duration::from_nanos(1), limit);
    let options = FetchOptions::default()
        .with_streams(streams)
        .with_retries(retries);
    let fetched = file
        .through(&client, &transfer)
        .fetch(partial, Memory::default(), &options, |_| ())
        .await;

    let options = UploadOptions::default().with_retries(retries);
    let uploaded = remote(&volume.directory.path().join("uploaded"))
        .through(&client, &transfer)
        .upload(&UploadSource::from(&b"content"[..]), &options, |_| ())
        .await;
    [ran.is_ok(), fetched.is_ok(), uploaded.is_ok()]
        .into_iter()
        .filter(|succeeded| *succeeded)
        .count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_that_stand_for_none_are_none() {
    count_panics();
    for limit in [Duration::MAX, Duration::from_secs(u64::MAX / 2)] {
        assert_eq!(succeeding(limit, u32::MAX, usize::MAX).await, 3);
    }
    assert_eq!(PANICS.load(Ordering::SeqCst), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_of_nothing_are_errors_and_no_panics() {
    count_panics();
    for limit in [Duration::ZERO, Duration::from_nanos(1)] {
        succeeding(limit, 0, 0).await;
    }
    assert_eq!(PANICS.load(Ordering::SeqCst), 0);
}
