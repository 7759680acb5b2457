//! This side of a transfer, with short names.

use std::{io, path::Path, time::Duration};

use kube_transfer::{
    Delivered, DownloadError, RemoteCommand, Retries, Secret, Sink, TransferOptions,
    exec::StreamOptions,
};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use super::{ApiServer, Behaviour, Pod, Subprotocol, download};

/// A sink in memory.
#[derive(Default)]
pub(crate) struct Memory(pub(crate) Vec<u8>);

impl Sink for Memory {
    type Finished = Vec<u8>;

    fn write(&mut self, data: &[u8]) -> io::Result<()> {
        self.0.extend_from_slice(data);
        Ok(())
    }

    fn finish(self) -> io::Result<Vec<u8>> {
        Ok(self.0)
    }
}

pub(crate) fn sh(script: &str) -> RemoteCommand {
    RemoteCommand::new("sh").args(["-c", script])
}

pub(crate) fn secret(text: &str) -> Secret {
    Secret::new(text).expect("one line")
}

/// Limits for tests that reach one of them.
pub(crate) fn impatient() -> TransferOptions {
    TransferOptions::default()
        .with_stream(
            StreamOptions::default()
                .with_ping_every(Duration::from_millis(50))
                .with_silence_limit(Duration::from_secs(1)),
        )
        .with_stall_limit(Duration::from_secs(2))
        .with_settle_limit(Duration::from_secs(1))
}

/// So many retries, one soon after the other.
pub(crate) fn quick(retries: u32) -> Retries {
    Retries::new(retries).with_pauses(Duration::from_millis(1), Duration::from_millis(10))
}

pub(crate) async fn fetch(
    pod: Pod,
    command: &RemoteCommand,
    options: &TransferOptions,
) -> Result<Delivered<Vec<u8>>, DownloadError> {
    let server = ApiServer::start(Behaviour::Run(Subprotocol::V5, pod)).await;
    download(
        &server.client(),
        command,
        Memory::default(),
        options,
        |_| (),
    )
    .await
}

pub(crate) fn is_running(pid: &str) -> bool {
    let stat =
        std::fs::read_to_string(Path::new("/proc").join(pid).join("stat")).unwrap_or_default();
    stat.rsplit(')')
        .next()
        .is_some_and(|rest| !rest.is_empty() && !rest.starts_with(" Z"))
}

/// Waits for a condition that another process brings about.
pub(crate) async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(20), wait)
        .await
        .unwrap_or_else(|_| panic!("{what}"));
}

/// A command that runs until it is killed, and the file that will hold its process id.
pub(crate) fn endless(directory: &TempDir) -> (RemoteCommand, std::path::PathBuf) {
    let file = directory.path().join("pid");
    let script = format!(
        "echo $$ > {0}.new; mv {0}.new {0}; echo started; exec sleep 1000",
        file.display()
    );
    (sh(&script), file)
}

/// The shells that containers have: Debian's, Red Hat's, Alpine's. Those that are not installed are named and left out.
pub(crate) fn shells() -> Vec<Vec<String>> {
    let mut shells = Vec::new();
    for shell in [&["dash"][..], &["bash", "--posix"], &["busybox", "sh"]] {
        if ["/usr/bin", "/bin"]
            .iter()
            .any(|directory| Path::new(directory).join(shell[0]).exists())
        {
            shells.push(shell.iter().map(ToString::to_string).collect());
        } else {
            println!("skipped: {} is not installed", shell[0]);
        }
    }
    shells
}
