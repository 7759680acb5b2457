//! Files fetched over several streams, and what may happen to them meanwhile.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use kube_transfer::{
    Retries, Sink, StreamError, TransferOptions,
    file::{FetchError, FetchEvent, FetchOptions, Fetched, FileError, Partial, RangeError},
};

use crate::support::{
    ApiServer, Behaviour, Fault, Memory, Pod, Subprotocol, Tools, Volume, eventually, fetch_file,
    impatient, is_running, names, quick, resumed, shells, stat, tools,
};

const MIB: usize = 1 << 20;

pub(crate) fn options(streams: usize) -> FetchOptions {
    FetchOptions::default()
        .with_streams(streams)
        .with_retries(quick(2))
}

/// Fetches from the beginning; tells what was observed.
pub(crate) async fn observed(
    behaviour: Behaviour,
    volume: &Volume,
    options: &FetchOptions,
) -> (Result<Fetched<Vec<u8>>, FetchError>, Vec<String>) {
    observed_within(&TransferOptions::default(), behaviour, volume, options).await
}

async fn observed_within(
    limits: &TransferOptions,
    behaviour: Behaviour,
    volume: &Volume,
    options: &FetchOptions,
) -> (Result<Fetched<Vec<u8>>, FetchError>, Vec<String>) {
    let mut events = Vec::new();
    let result = async {
        let client = ApiServer::start(behaviour).await.client();
        let file = volume.remote();
        let entry = stat(&client, &file).await?;
        let partial = Partial::create(&volume.destination(), &entry.version)?;
        let observe = |event: FetchEvent<'_>| {
            if !matches!(event, FetchEvent::Progress { .. }) {
                events.push(format!("{event:?}"));
            }
        };
        file.through(&client, limits)
            .fetch(partial, Memory::default(), options, observe)
            .await
    }
    .await;
    (result, events)
}

async fn fetched(
    pod: Pod,
    volume: &Volume,
    options: &FetchOptions,
) -> Result<Fetched<Vec<u8>>, FetchError> {
    observed(Behaviour::Run(Subprotocol::V5, pod), volume, options)
        .await
        .0
}

/// The file is saved, and is the source.
fn assert_arrived(fetched: Fetched<Vec<u8>>, volume: &Volume) {
    let (path, sunk, _) = fetched.save().expect("saved");
    assert!(sunk == volume.content, "the sink got something else");
    let found = std::fs::read(path).expect("a file");
    assert!(found == volume.content, "the file is another");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_of_all_sizes_arrive_over_any_number_of_streams() {
    for (bytes, streams) in [
        (0, 4),
        (1, 4),
        (MIB, 1),
        (MIB - 1, 2),
        (3 * MIB, 2),
        (9 * MIB + 12_345, 1),
        (9 * MIB + 12_345, 3),
        (17 * MIB + 1, 8),
    ] {
        let volume = Volume::with(bytes, 1);
        let fetched = fetched(Pod::new(), &volume, &options(streams))
            .await
            .expect("success");
        assert_eq!(fetched.bytes(), bytes as u64);
        assert_arrived(fetched, &volume);
        let mut left: Vec<_> = names(volume.directory.path());
        left.sort();
        assert_eq!(left, ["destination", "source file\n"]);
    }
}

#[tokio::test]
async fn every_shell_and_the_older_protocol_serve() {
    for shell in shells() {
        for subprotocol in [Subprotocol::V5, Subprotocol::V4] {
            let volume = Volume::with(5 * MIB + 7, 2);
            let pod = Pod {
                shell: shell.clone(),
                ..Pod::new()
            };
            let (result, events) =
                observed(Behaviour::Run(subprotocol, pod), &volume, &options(2)).await;
            assert_arrived(result.expect("success"), &volume);
            assert!(events.is_empty(), "{shell:?}: {events:?}");
        }
    }
}

#[tokio::test]
async fn busybox_suffices() {
    let Some(tools) = tools(&["busybox"]) else {
        return;
    };
    let volume = Volume::with(5 * MIB + 7, 2);
    let fetched = fetched(tools.pod(), &volume, &options(2)).await;
    assert_arrived(fetched.expect("success"), &volume);
}

#[tokio::test]
async fn a_container_that_cannot_hash_or_read_is_reported() {
    let volume = Volume::with(MIB, 2);
    let most = ["sh", "env", "tee", "sleep", "stat"];
    for (others, missing) in [(["dd"], "sha256sum"), (["sha256sum"], "dd")] {
        let tools = tools(&[&most[..], &others[..]].concat()).expect("installed");
        let error = fetched(tools.pod(), &volume, &options(2))
            .await
            .expect_err("must fail");
        match &error {
            FetchError::File(FileError::MissingTool { tool }) => assert_eq!(tool, missing),
            FetchError::Streams {
                last: RangeError::Stream(StreamError::MissingTool { tool }),
                ..
            } => assert_eq!(*tool, missing),
            _ => panic!("{error:?}"),
        }
        assert!(!error.is_transient());
    }
}

/// A container whose `dd` does something to the file before the third range is read.
fn meddling(volume: &Volume, deed: &str) -> Tools {
    let tools = tools(&["busybox"]).expect("installed");
    let script = format!(
        "#!/bin/sh\necho >>{calls}\n[ $(wc -l <{calls}) -eq 3 ] && file='{file}' && {deed}\nexec busybox dd \"$@\"\n",
        calls = volume.directory.path().join("calls").display(),
        file = volume.source().display(),
    );
    tools.replace("dd", &script);
    tools
}

#[tokio::test]
async fn a_source_that_changes_under_way_is_reported_in_its_own_terms() {
    for (deed, expected) in [
        ("echo more >>\"$file\"", "from 20971520 to 20971525 bytes"),
        ("truncate -s 5M \"$file\"", "from 20971520 to 5242880 bytes"),
        (
            "cp \"$file\" \"$file.new\" && mv \"$file.new\" \"$file\"",
            "another file took its place",
        ),
        ("touch -d @1000000000 \"$file\"", "it was written to"),
    ] {
        let volume = Volume::with(20 * MIB, 3);
        let tools = meddling(&volume, deed);
        let error = fetched(tools.pod(), &volume, &options(1))
            .await
            .expect_err("must fail");
        assert!(
            matches!(error, FetchError::SourceChanged { .. }),
            "{deed}: {error:?}"
        );
        assert!(error.to_string().contains(expected), "{deed}: {error}");
        assert!(!volume.destination().exists());
    }
}

#[tokio::test]
async fn a_source_that_vanishes_or_is_swapped_for_a_link_under_way_is_reported() {
    let volume = Volume::with(20 * MIB, 3);
    let tools = meddling(&volume, "rm \"$file\"");
    let error = fetched(tools.pod(), &volume, &options(1))
        .await
        .expect_err("must fail");
    assert!(
        matches!(error, FetchError::File(FileError::NotFound { .. })),
        "{error:?}"
    );

    let volume = Volume::with(20 * MIB, 3);
    let tools = meddling(&volume, "ln -sf /etc/passwd \"$file\"");
    let error = fetched(tools.pod(), &volume, &options(1))
        .await
        .expect_err("must fail");
    assert!(matches!(error, FetchError::NotAFile { .. }), "{error:?}");
}

#[tokio::test]
async fn a_range_that_comes_short_is_not_made_up_for_by_the_next() {
    let volume = Volume::with(20 * MIB, 3);
    let tools = meddling(&volume, "busybox dd \"$@\" | head -c 1000 && exit");
    let error = fetched(tools.pod(), &volume, &options(1))
        .await
        .expect_err("must fail");
    assert!(
        matches!(
            &error,
            FetchError::Streams {
                last: RangeError::Short,
                ..
            }
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_source_rewritten_with_its_size_and_time_kept_is_never_a_mixture() {
    let mut volume = Volume::with(20 * MIB, 3);
    let deed = "touch -r \"$file\" \"$file.time\" && echo rewritten | \
        busybox dd of=\"$file\" conv=notrunc 2>/dev/null && touch -r \"$file.time\" \"$file\"";
    let tools = meddling(&volume, deed);
    // Slow enough to see the file after the deed.
    tools.replace(
        "sha256sum",
        "#!/bin/sh\nsleep 1\nexec busybox sha256sum \"$@\"\n",
    );
    tools.replace("openssl", "#!/bin/sh\nexit 1\n");
    let error = fetched(tools.pod(), &volume, &options(1))
        .await
        .expect_err("must fail");
    let FetchError::HashDiffers { dropped_bytes, .. } = error else {
        panic!("{error:?}")
    };
    assert_eq!(dropped_bytes, 16 << 20, "the rest was good");

    volume.content[..10].copy_from_slice(b"rewritten\n");
    let client = ApiServer::start(Behaviour::Run(Subprotocol::V5, tools.pod()))
        .await
        .client();
    let file = volume.remote();
    let entry = stat(&client, &file).await.expect("a file");
    let partial = resumed(&volume.destination(), &entry.version)
        .await
        .expect("something held");
    assert_eq!(partial.held_bytes(), 4 << 20);
    let resumed = fetch_file(
        &client,
        &file,
        partial,
        Memory::default(),
        &options(1),
        |_| (),
    )
    .await;
    assert_arrived(resumed.expect("success"), &volume);
}

/// Each stream that sends ranges has the fault of its number.
fn streams(fault: impl Fn(usize) -> Fault + Send + Sync + 'static) -> Behaviour {
    let streams = AtomicUsize::new(0);
    let choice = move |_: usize, argv: &[String]| {
        if argv[3] == "kube-transfer-ranges" {
            Pod::with_fault(fault(streams.fetch_add(1, Ordering::SeqCst)))
        } else {
            Pod::new()
        }
    };
    Behaviour::Choose(Subprotocol::V5, Arc::new(choice))
}

fn first_stream(fault: Fault) -> Behaviour {
    streams(move |number| if number == 0 { fault } else { Fault::None })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_breaks_is_opened_again_and_said_so() {
    for fault in [
        Fault::Cut(3_000_000),
        Fault::Close(0),
        Fault::DropTail(1_234_567),
        Fault::Freeze(2_000_000),
    ] {
        let volume = Volume::with(9 * MIB, 4);
        let (result, events) =
            observed_within(&impatient(), first_stream(fault), &volume, &options(1)).await;
        assert_arrived(result.expect("success"), &volume);
        assert_eq!(events.len(), 1, "{fault:?}: {events:?}");
        assert!(events[0].starts_with("Retrying"), "{events:?}");
    }
}

#[tokio::test]
async fn a_stream_that_never_comes_far_is_given_up_after_its_retries() {
    let volume = Volume::with(3 * MIB, 4);
    let behaviour = streams(move |_| Fault::Close(1_000_000));
    let (result, events) = observed(behaviour, &volume, &options(1)).await;
    let error = result.expect_err("must fail");
    assert!(
        matches!(
            &error,
            FetchError::Streams {
                last: RangeError::Stream(StreamError::Lost { .. }),
                ..
            }
        ),
        "{error:?}"
    );
    assert!(error.is_transient());
    assert_eq!(events.len(), 2, "{events:?}");
}

#[tokio::test]
async fn progress_counts_as_long_as_each_attempt_brings_something() {
    let volume = Volume::with(8 * MIB, 4);
    let behaviour = streams(move |_| Fault::Close(MIB + 100));
    let (result, events) = observed(behaviour, &volume, &options(1)).await;
    assert_arrived(result.expect("success"), &volume);
    assert_eq!(events.len(), 7, "{events:?}");
}

#[tokio::test]
async fn a_flipped_bit_is_found_and_only_its_range_is_fetched_again() {
    let volume = Volume::with(20 * MIB, 5);
    let behaviour = first_stream(Fault::Corrupt(2_000_000));
    let (result, _) = observed(behaviour.clone(), &volume, &options(1)).await;
    let error = result.expect_err("must fail");
    let FetchError::HashDiffers { dropped_bytes, .. } = error else {
        panic!("{error:?}")
    };
    assert_eq!(dropped_bytes, 16 << 20);
    assert!(error.is_transient());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_some_streams_refused_the_others_fetch_all() {
    for status in [429, 503] {
        let volume = Volume::with(20 * MIB, 6);
        let behaviour = Behaviour::Limit(2, status, Pod::new());
        let options = options(8).with_retries(
            // Ended streams make room only when their processes are gone.
            Retries::new(12).with_pauses(Duration::from_millis(50), Duration::from_secs(1)),
        );
        let (result, events) = observed(behaviour, &volume, &options).await;
        assert_arrived(result.expect("success"), &volume);
        assert!(!events.is_empty());
    }
}

#[tokio::test]
async fn what_is_no_regular_file_is_refused() {
    let volume = Volume::with(MIB, 7);
    let server = ApiServer::start(Behaviour::Run(Subprotocol::V5, Pod::new())).await;
    let client = server.client();
    let entry = stat(&client, &volume.remote()).await.expect("a file");
    let real = volume.source().with_extension("real");
    std::fs::rename(volume.source(), &real).expect("renamed");
    std::os::unix::fs::symlink(&real, volume.source()).expect("a link");
    let partial = Partial::create(&volume.destination(), &entry.version).expect("a partial file");
    let error = fetch_file(
        &client,
        &volume.remote(),
        partial,
        Memory::default(),
        &options(2),
        |_| (),
    )
    .await
    .expect_err("must fail");
    assert!(matches!(error, FetchError::NotAFile { .. }), "{error:?}");
}

#[tokio::test]
async fn dropping_the_future_kills_what_reads_in_the_pod() {
    let volume = Volume::with(MIB, 8);
    let tools = tools(&["busybox"]).expect("installed");
    let pid = volume.directory.path().join("pid");
    let script = format!(
        "#!/bin/sh\necho $$ >{0}.new\nmv {0}.new {0}\nexec busybox sleep 1000\n",
        pid.display()
    );
    tools.replace("dd", &script);
    let file = pid.clone();
    let transfer =
        tokio::spawn(async move { fetched(tools.pod(), &volume, &options(1)).await.map(drop) });
    eventually("nothing was read", || file.exists()).await;
    let pid = std::fs::read_to_string(pid).expect("a process id");
    assert!(is_running(pid.trim()));
    transfer.abort();
    eventually("the reader was not killed", || !is_running(pid.trim())).await;
}

/// A sink that takes some bytes and then no more.
struct FullDisk(usize);

impl Sink for FullDisk {
    type Finished = ();

    fn write(&mut self, data: &[u8]) -> io::Result<()> {
        self.0 = self
            .0
            .checked_sub(data.len())
            .ok_or(io::ErrorKind::StorageFull)?;
        Ok(())
    }

    fn finish(self) -> io::Result<()> {
        panic!("finished although it is full")
    }
}

#[tokio::test]
async fn a_sink_that_fails_ends_the_fetch_and_what_is_here_stays() {
    let volume = Volume::with(6 * MIB, 9);
    let server = ApiServer::start(Behaviour::Run(Subprotocol::V5, Pod::new())).await;
    let client = server.client();
    let file = volume.remote();
    let entry = stat(&client, &file).await.expect("a file");
    let partial = Partial::create(&volume.destination(), &entry.version).expect("a partial file");
    let error = fetch_file(
        &client,
        &file,
        partial,
        FullDisk(3 * MIB),
        &options(1),
        |_| (),
    )
    .await
    .expect_err("must fail");
    assert!(
        matches!(&error, FetchError::Sink(error) if error.kind() == io::ErrorKind::StorageFull),
        "{error:?}"
    );
    let partial = resumed(&volume.destination(), &entry.version)
        .await
        .expect("something held");
    assert!(partial.held_bytes() >= 3 << 20);
}
