//! Fetches that die anywhere and are continued: never a wrong file.

use std::{
    fs::{File, OpenOptions},
    os::unix::fs::FileExt as _,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use kube::Client;
use kube_transfer::{
    Retries,
    file::{FetchError, FetchOptions, Fetched, FileError, FileVersion, Partial},
};
use rand::{Rng, RngExt as _, SeedableRng as _, rngs::SmallRng};
use tokio::time::timeout;

use crate::support::{
    ApiServer, Behaviour, Fault, Memory, Pod, Subprotocol, Volume, begun, fetch_file, quick,
    random_bytes, resumed, stat, sweep_seed,
};

const MIB: usize = 1 << 20;
const SWEEPS: u64 = 200;
/// In about half of the lives something goes wrong before the last attempt; in fewer than this the faults do not work.
const DISTURBED: usize = 50;
/// A fetch that fails for a reason that resuming mends needs no more rounds than this.
const ROUNDS: usize = 8;

/// Continues, or begins anew where nothing can be continued.
async fn partial(path: &Path, version: &FileVersion) -> Partial {
    match resumed(path, version).await {
        Some(partial) => partial,
        None => begun(path, version).await,
    }
}

async fn attempt(
    client: &Client,
    volume: &Volume,
    options: &FetchOptions,
) -> Result<Fetched<Vec<u8>>, FetchError> {
    let file = volume.remote();
    let entry = stat(client, &file).await?;
    let partial = partial(&volume.destination(), &entry.version).await;
    fetch_file(client, &file, partial, Memory::default(), options, |_| ()).await
}

fn random_fault(random: &mut impl Rng) -> Fault {
    match random.random_range(0..6) {
        0 => Fault::None,
        1 => Fault::Close(random.random_range(0..2 * MIB)),
        2 => Fault::DropTail(random.random_range(0..2 * MIB)),
        3 => Fault::Corrupt(random.random_range(0..2 * MIB)),
        _ => Fault::Cut(random.random_range(0..2 * MIB)),
    }
}

/// What somebody else does to the files between two attempts.
fn meddle(random: &mut impl Rng, volume: &mut Volume) {
    let source = OpenOptions::new()
        .write(true)
        .open(volume.source())
        .expect("a file");
    let modified = source.metadata().and_then(|metadata| metadata.modified());
    match random.random_range(0..8) {
        0 => {
            volume.content.extend_from_slice(b"grown");
            std::fs::write(volume.source(), &volume.content).expect("written");
        }
        1 => {
            volume.content.truncate(volume.content.len() / 2);
            source
                .set_len(volume.content.len() as u64)
                .expect("shorter");
        }
        2 => {
            let at = random.random_range(0..volume.content.len());
            volume.content[at] ^= 1;
            source
                .write_all_at(&volume.content[at..=at], at as u64)
                .expect("written");
            // The change that no look at the file tells.
            source
                .set_modified(modified.expect("a time"))
                .expect("mine");
        }
        3 => {
            volume.content = random_bytes(volume.content.len(), random.random());
            let new = volume.directory.path().join("new");
            std::fs::write(&new, &volume.content).expect("written");
            std::fs::rename(new, volume.source()).expect("renamed");
        }
        4 => {
            let data = volume.destination().with_extension("partial");
            if let Ok(data) = OpenOptions::new().write(true).open(data) {
                let length = data.metadata().expect("a file").len();
                if length > 0 {
                    let at = random.random_range(0..length);
                    data.write_all_at(b"?", at).expect("written");
                }
            }
        }
        5 => {
            let data = volume.destination().with_extension("partial");
            if let Ok(data) = OpenOptions::new().write(true).open(data) {
                let length = data.metadata().expect("a file").len();
                data.set_len(length / 2).expect("shorter");
            }
        }
        _ => {}
    }
}

/// One life of a file: attempts that are cut or dropped, meddling between them, and at last one that nothing disturbs.
/// Says whether an attempt failed.
async fn live(seed: u64) -> bool {
    let random = &mut SmallRng::seed_from_u64(seed);
    let mut volume = Volume::with(random.random_range(0..4 * MIB) + 1, seed);
    let faults = Arc::new(Mutex::new(Some(SmallRng::seed_from_u64(seed + 1))));
    let choice = {
        let faults = Arc::clone(&faults);
        move |number: usize, _: &[String]| {
            let mut faults = faults.lock().expect("not poisoned");
            Pod {
                seed: number as u64,
                ..Pod::with_fault(faults.as_mut().map_or(Fault::None, random_fault))
            }
        }
    };
    let subprotocol = if seed.is_multiple_of(2) {
        Subprotocol::V5
    } else {
        Subprotocol::V4
    };
    let server = ApiServer::start(Behaviour::Choose(subprotocol, Arc::new(choice))).await;
    let client = server.client();
    let options = FetchOptions::default()
        .with_streams(random.random_range(1..=4))
        .with_retries(quick(random.random_range(0..2)));
    let mut disturbed = false;
    for _ in 0..random.random_range(1..3) {
        let dies_after = match random.random_range(0..3) {
            0 => Duration::from_millis(random.random_range(1..150)),
            _ => Duration::MAX,
        };
        // What it was at the beginning is what may arrive.
        if let Ok(Ok(fetched)) = timeout(dies_after, attempt(&client, &volume, &options)).await {
            assert_arrived(fetched, &volume, seed);
            return disturbed;
        }
        disturbed = true;
        meddle(random, &mut volume);
    }
    *faults.lock().expect("not poisoned") = None;
    for _ in 0..ROUNDS {
        match attempt(&client, &volume, &options).await {
            Ok(fetched) => {
                assert_arrived(fetched, &volume, seed);
                return disturbed;
            }
            Err(error) if error.is_transient() => {}
            Err(error) => panic!("seed {seed}: {error:?}"),
        }
    }
    panic!("seed {seed}: never complete");
}

fn assert_arrived(fetched: Fetched<Vec<u8>>, volume: &Volume, seed: u64) {
    let (path, sunk, _) = fetched.save().expect("saved");
    assert!(
        sunk == volume.content,
        "seed {seed}: the sink got something else"
    );
    let found = std::fs::read(path).expect("a file");
    assert!(found == volume.content, "seed {seed}: the file is another");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_cut_and_no_change_anywhere_ever_gives_a_wrong_file() {
    let seed = sweep_seed();
    let mut lives = tokio::task::JoinSet::new();
    let mut disturbed = 0;
    for number in 0..SWEEPS {
        lives.spawn(live(seed + number));
        if lives.len() >= 4 {
            let life = lives.join_next().await.expect("a life");
            disturbed += usize::from(life.expect("no panic"));
        }
    }
    while let Some(life) = lives.join_next().await {
        disturbed += usize::from(life.expect("no panic"));
    }
    assert!(disturbed >= DISTURBED, "only {disturbed} of {SWEEPS}");
}

/// What an interrupted fetch of 5 MiB has left, 3 MiB of it recorded.
async fn interrupted(volume: &Volume, client: &Client) -> FileVersion {
    let file = volume.remote();
    let entry = stat(client, &file).await.expect("a file");
    let partial = Partial::create(&volume.destination(), &entry.version).expect("a partial file");
    let cut = ApiServer::start(Behaviour::Choose(
        Subprotocol::V5,
        Arc::new(|_, argv: &[String]| {
            if argv[3] == "kube-transfer-ranges" {
                Pod::with_fault(Fault::Cut(3 * MIB + 1234))
            } else {
                Pod::new()
            }
        }),
    ))
    .await;
    let options = FetchOptions::default()
        .with_streams(1)
        .with_retries(Retries::new(0));
    let error = fetch_file(
        &cut.client(),
        &file,
        partial,
        Memory::default(),
        &options,
        |_| (),
    )
    .await
    .expect_err("must fail");
    assert!(
        matches!(error, FetchError::Streams { .. }) && error.is_transient(),
        "{error:?}"
    );
    entry.version
}

#[tokio::test]
async fn only_what_is_missing_is_read_again() {
    let volume = Volume::with(5 * MIB, 1);
    let server = ApiServer::start(Behaviour::Run(Subprotocol::V5, Pod::new())).await;
    let client = server.client();
    let version = interrupted(&volume, &client).await;
    let partial = resumed(&volume.destination(), &version)
        .await
        .expect("something held");
    // What was on its way when the connection broke may not have been read.
    let held = partial.held_bytes();
    assert!((1 << 20..=3 << 20).contains(&held), "{held}");
    let mut least = u64::MAX;
    let fetched = fetch_file(
        &client,
        &volume.remote(),
        partial,
        Memory::default(),
        &FetchOptions::default(),
        |event| {
            if let kube_transfer::file::FetchEvent::Progress { bytes } = event {
                least = least.min(bytes);
            }
        },
    )
    .await
    .expect("success");
    assert!(least >= held, "{least}");
    assert_arrived(fetched, &volume, 1);
}

#[tokio::test]
async fn of_a_source_that_changed_or_went_nothing_is_continued() {
    let mut volume = Volume::with(5 * MIB, 1);
    let server = ApiServer::start(Behaviour::Run(Subprotocol::V5, Pod::new())).await;
    let client = server.client();
    let was = interrupted(&volume, &client).await;
    volume.content[0] ^= 1;
    std::fs::write(volume.source(), &volume.content).expect("written");
    File::open(volume.source())
        .and_then(|source| source.set_modified(std::time::UNIX_EPOCH))
        .expect("mine");
    let now = stat(&client, &volume.remote())
        .await
        .expect("a file")
        .version;
    assert!(resumed(&volume.destination(), &now).await.is_none());

    let partial = resumed(&volume.destination(), &was)
        .await
        .expect("something held");
    std::fs::remove_file(volume.source()).expect("mine");
    let error = fetch_file(
        &client,
        &volume.remote(),
        partial,
        Memory::default(),
        &FetchOptions::default(),
        |_| (),
    )
    .await
    .expect_err("must fail");
    assert!(
        matches!(error, FetchError::File(FileError::NotFound { .. })),
        "{error:?}"
    );
}
