//! SHA-256 of the source in the pod, and of the same ranges here.

use std::{fs::File, io, ops::Range, os::unix::fs::FileExt as _, time::Duration};

use rangemap::RangeSet;
use sha2::{Digest as _, Sha256};
use tokio::task::spawn_blocking;

use super::{BLOCK_BYTES, FetchError, Partial, total};
use crate::{
    Sha256Digest,
    download::DownloadError,
    file::{FileError, FileHandle, SLOWEST_BYTES_PER_SECOND},
    remote_command::RemoteCommand,
    secret::Secret,
};

const SCRIPT: &str = concat!(include_str!("../../find_sum.sh"), include_str!("hash.sh"));
/// The exit code of the scripts for what is not a regular file.
pub(super) const NOT_A_FILE: i32 = 254;

/// What differs is fetched again whole, so not too large; each costs two processes in the pod, so not too small.
const COMPARED_BYTES: u64 = 16 << 20;
/// How many ranges are compared at most, however large the file is.
const COMPARED_RANGES: u64 = 1024;

/// The pod's SHA-256 of the whole file.
pub(super) async fn of_source(file: &FileHandle, bytes: u64) -> Result<Sha256Digest, FetchError> {
    let command = hash_command(file, "whole");
    let digests = ask(file, &command, bytes).await?;
    match digests[..] {
        [digest] => Ok(digest),
        _ => Err(miscounted(file)),
    }
}

/// Those parts of what `partial` holds that are not the same in the pod.
pub(super) async fn differing(
    file: &FileHandle,
    partial: &Partial,
) -> Result<Vec<Range<u64>>, FetchError> {
    let ranges = compared(partial.held());
    let files = partial.files();
    if ranges.is_empty() {
        return Ok(ranges);
    }
    let mut command = hash_command(file, "ranges");
    for range in &ranges {
        let skip = range.start / BLOCK_BYTES;
        let count = (range.end - range.start).div_ceil(BLOCK_BYTES);
        let line = Secret::new(format!("{skip} {count}")).map_err(|_| miscounted(file))?;
        command = command.input_line(line);
    }
    let here = spawn_blocking({
        let ranges = ranges.clone();
        move || {
            ranges
                .into_iter()
                .map(|range| of_range(files.data(), range))
                .collect::<io::Result<Vec<_>>>()
        }
    });
    let longest = ranges.iter().map(|range| range.end - range.start).max();
    let there = ask(file, &command, longest.unwrap_or_default()).await?;
    let here = here
        .await
        .map_err(|panic| FetchError::Store(io::Error::other(panic)))?
        .map_err(FetchError::Store)?;
    if there.len() != here.len() {
        return Err(miscounted(file));
    }
    let pairs = here.iter().zip(&there);
    Ok(ranges
        .into_iter()
        .zip(pairs)
        .filter(|(_, (here, there))| here != there)
        .map(|(range, _)| range)
        .collect())
}

fn compared(held: &RangeSet<u64>) -> Vec<Range<u64>> {
    let size = total(held)
        .div_ceil(COMPARED_RANGES)
        .next_multiple_of(BLOCK_BYTES)
        .max(COMPARED_BYTES);
    let mut ranges = Vec::new();
    for range in held.iter() {
        let mut start = range.start;
        while start < range.end {
            let end = range.end.min(start + size);
            ranges.push(start..end);
            start = end;
        }
    }
    ranges
}

fn hash_command(file: &FileHandle, what: &str) -> RemoteCommand {
    RemoteCommand::script(SCRIPT).args([&file.path, what, &BLOCK_BYTES.to_string()])
}

/// Hashing of so many bytes puts out nothing until it is done.
async fn ask(
    file: &FileHandle,
    command: &RemoteCommand,
    bytes: u64,
) -> Result<Vec<Sha256Digest>, FetchError> {
    let mut pod = file.pod.clone();
    let hashing = Duration::from_secs(bytes / SLOWEST_BYTES_PER_SECOND);
    pod.options.stall_limit = pod.options.stall_limit.saturating_add(hashing);
    let answer = match pod.run(command).await {
        Err(DownloadError::Command {
            code: NOT_A_FILE, ..
        }) => {
            return Err(FetchError::NotAFile {
                path: file.path.clone(),
            });
        }
        answer => {
            answer.map_err(|cause| FileError::from_program(&file.path, "sha256sum", cause))?
        }
    };
    String::from_utf8_lossy(&answer.stdout)
        .lines()
        .map(|line| line.split(' ').next().and_then(|word| word.parse().ok()))
        .collect::<Option<_>>()
        .ok_or_else(|| miscounted(file))
}

fn miscounted(file: &FileHandle) -> FetchError {
    FetchError::File(FileError::Unreadable {
        path: file.path.clone(),
        tool: "sha256sum",
        answer: "not one SHA-256 for each range".to_owned(),
    })
}

fn of_range(data: &File, range: Range<u64>) -> io::Result<Sha256Digest> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 256 << 10];
    let mut offset = range.start;
    while offset < range.end {
        let rest = usize::try_from(range.end - offset).unwrap_or(usize::MAX);
        let length = buffer.len().min(rest);
        let chunk = &mut buffer[..length];
        data.read_exact_at(chunk, offset)?;
        hasher.update(&*chunk);
        offset += length as u64;
    }
    Ok(<[u8; 32]>::from(hasher.finalize()).into())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::process::Command;

    use super::*;

    #[test]
    fn only_a_file_is_hashed_and_no_link_followed() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::write(path("file"), "content").unwrap();
        fs::create_dir(path("directory")).unwrap();
        symlink("file", path("link")).unwrap();
        symlink("nowhere", path("dangling")).unwrap();
        let code = |name: &str| {
            let mut hash = Command::new("sh");
            let hash = hash.args(["-c", SCRIPT, "sh"]).arg(path(name));
            hash.args(["whole", "1"]).output().unwrap().status.code()
        };
        assert_eq!(code("file"), Some(0));
        assert_eq!(code("missing"), Some(1));
        for name in ["link", "dangling", "directory"] {
            assert_eq!(code(name), Some(NOT_A_FILE), "{name}");
        }
    }
}
