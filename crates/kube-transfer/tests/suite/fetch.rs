//! Files fetched over several streams.

use std::path::{Path, PathBuf};

use kube_transfer::{
    TransferOptions,
    file::{FetchError, FetchEvent, FetchOptions, Fetched, Partial, RemoteFile, fetch, stat},
};
use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};
use tempfile::TempDir;

use crate::support::{ApiServer, Behaviour, Memory, Pod, Subprotocol, remote, shells, tools};

const MIB: usize = 1 << 20;

/// A source and a destination.
struct Volume {
    directory: TempDir,
    content: Vec<u8>,
}

impl Volume {
    fn with(bytes: usize, seed: u64) -> Self {
        let mut content = vec![0; bytes];
        SmallRng::seed_from_u64(seed).fill(content.as_mut_slice());
        let directory = TempDir::new().expect("a directory");
        std::fs::write(directory.path().join("source file\n"), &content).expect("a file");
        Self { directory, content }
    }

    fn source(&self) -> PathBuf {
        self.directory.path().join("source file\n")
    }

    fn destination(&self) -> PathBuf {
        self.directory.path().join("destination")
    }

    fn remote(&self) -> RemoteFile {
        remote(&self.source())
    }
}

fn options(streams: usize) -> FetchOptions {
    FetchOptions {
        streams,
        retry_pause: std::time::Duration::from_millis(1),
        ..FetchOptions::default()
    }
}

/// Fetches from the beginning.
async fn fetched(
    pod: Pod,
    volume: &Volume,
    options: &FetchOptions,
) -> Result<Fetched<Vec<u8>>, FetchError> {
    let server = ApiServer::start(Behaviour::Run(Subprotocol::V5, pod)).await;
    let client = server.client();
    let entry = stat(&client, &volume.remote(), &TransferOptions::default()).await?;
    let partial = Partial::create(&volume.destination(), &entry.version)?;
    fetch(
        &client,
        &volume.remote(),
        partial,
        Memory::default(),
        options,
        |_| (),
    )
    .await
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
        let (path, sunk) = fetched.save().expect("saved");
        assert!(
            sunk == volume.content,
            "{bytes} bytes over {streams} streams reached the sink changed"
        );
        assert!(std::fs::read(path).expect("a file") == volume.content);
        let mut left: Vec<_> = names(volume.directory.path());
        left.sort();
        assert_eq!(left, ["destination", "source file\n"]);
    }
}

fn names(directory: &Path) -> Vec<String> {
    std::fs::read_dir(directory)
        .expect("a directory")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .into_string()
                .expect("UTF-8")
        })
        .collect()
}
