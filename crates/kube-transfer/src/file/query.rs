//! What is there: directories, files, free space.

use std::str::FromStr;

use super::{Entry, EntryKind, FileError, FileHandle, FileVersion, Space};
use crate::{
    download::DownloadError, pod::PodHandle, remote_command::RemoteCommand, run::capture,
    text::printable,
};

const LIST_SCRIPT: &str = include_str!("list.sh");
/// Lists of more than a hundred thousand usual names are refused.
const LIST_LIMIT_BYTES: usize = 8 << 20;
const ANSWER_LIMIT_BYTES: usize = 64 << 10;
/// How much of an answer that cannot be read is shown.
const SHOWN_BYTES: usize = 200;

impl PodHandle {
    /// The entries of `directory`, in no particular order.
    pub async fn list(&self, directory: &str) -> Result<Vec<Entry>, FileError> {
        list(self, directory).await
    }

    /// The room in the file system that holds `directory`.
    pub async fn space(&self, directory: &str) -> Result<Space, FileError> {
        space(self, directory).await
    }
}

impl FileHandle {
    /// What it is at this moment. A symbolic link is not followed.
    pub async fn stat(&self) -> Result<Entry, FileError> {
        stat(self).await
    }
}

async fn list(pod: &PodHandle, directory: &str) -> Result<Vec<Entry>, FileError> {
    let script = RemoteCommand::script(LIST_SCRIPT).arg(absolute(directory)?);
    let answer = capture(pod, &script, LIST_LIMIT_BYTES)
        .await
        .map_err(|cause| FileError::from_program(directory, "stat", cause))?;
    entries(&answer.stdout).ok_or_else(|| unreadable(directory, "stat", &answer.stdout))
}

pub(super) async fn stat(file: &FileHandle) -> Result<Entry, FileError> {
    let path = absolute(&file.path)?;
    let command = in_english("stat").args(["-c", "%f %s %Y %i", "--", path]);
    let answer = ask(&file.pod, &command)
        .await
        .map_err(|cause| FileError::from_program(path, "stat", cause))?;
    let (kind, version) = std::str::from_utf8(&answer)
        .ok()
        .and_then(|line| described(line.trim_end()))
        .ok_or_else(|| unreadable(path, "stat", &answer))?;
    let name = path.trim_end_matches('/').rsplit('/').next();
    Ok(Entry {
        name: name.unwrap_or_default().to_owned(),
        kind,
        version,
    })
}

pub(super) async fn space(pod: &PodHandle, directory: &str) -> Result<Space, FileError> {
    let command = in_english("df").args(["-Pk", "--", absolute(directory)?]);
    let answer = ask(pod, &command)
        .await
        .map_err(|cause| FileError::from_program(directory, "df", cause))?;
    room(&answer).ok_or_else(|| unreadable(directory, "df", &answer))
}

/// A program whose error messages are the C library's own.
fn in_english(program: &str) -> RemoteCommand {
    RemoteCommand::new("env").args(["LC_ALL=C", program])
}

async fn ask(pod: &PodHandle, command: &RemoteCommand) -> Result<Vec<u8>, DownloadError> {
    let answer = capture(pod, command, ANSWER_LIMIT_BYTES).await?;
    Ok(answer.stdout)
}

/// Absolute paths only: the others would depend on the image's working directory, and could be taken for options.
pub(super) fn absolute(path: &str) -> Result<&str, FileError> {
    if path.starts_with('/') && !path.contains('\0') {
        Ok(path)
    } else {
        Err(FileError::InvalidPath {
            path: path.to_owned(),
        })
    }
}

fn unreadable(path: &str, tool: &'static str, answer: &[u8]) -> FileError {
    FileError::Unreadable {
        path: path.to_owned(),
        tool,
        answer: printable(&answer[..answer.len().min(SHOWN_BYTES)]),
    }
}

/// Reads what the script prints; see there.
fn entries(mut answer: &[u8]) -> Option<Vec<Entry>> {
    let mut entries = Vec::new();
    while !answer.is_empty() {
        let name_at = answer.windows(3).position(|window| window == b" ./")?;
        let (kind, version) = described(std::str::from_utf8(&answer[..name_at]).ok()?)?;
        let rest = &answer[name_at + 3..];
        let end = rest.iter().position(|byte| *byte == b'/')?;
        entries.push(Entry {
            name: String::from_utf8_lossy(&rest[..end]).into_owned(),
            kind,
            version,
        });
        answer = rest[end..].strip_prefix(b"/\n")?;
    }
    Some(entries)
}

/// Reads `<mode, hexadecimal> <bytes> <modified> <inode>`.
fn described(text: &str) -> Option<(EntryKind, FileVersion)> {
    let [mode, bytes, modified, inode] = fields(text)?;
    let kind = match u32::from_str_radix(mode, 16).ok()? & 0o170_000 {
        0o100_000 => EntryKind::File,
        0o040_000 => EntryKind::Directory,
        0o120_000 => EntryKind::Symlink,
        _ => EntryKind::Other,
    };
    let version = FileVersion {
        bytes: bytes.parse().ok()?,
        // Before 1970 is as good as 1970.
        modified: modified.parse::<i64>().ok()?.try_into().unwrap_or(0),
        inode: inode.parse().ok()?,
    };
    Some((kind, version))
}

fn fields<const N: usize>(text: &str) -> Option<[&str; N]> {
    text.split(' ').collect::<Vec<_>>().try_into().ok()
}

/// Reads the table of `df -P`: a heading, and a line whose first column may hold spaces and whose last is the mount point.
fn room(answer: &[u8]) -> Option<Space> {
    let text = std::str::from_utf8(answer).ok()?;
    let words: Vec<&str> = text.split_once('\n')?.1.split_whitespace().collect();
    let sizes = words.get(1..)?.windows(3).find_map(|window| {
        let kibibytes: Vec<u64> = window
            .iter()
            .filter_map(|word| u64::from_str(word).ok())
            .collect();
        <[u64; 3]>::try_from(kibibytes).ok()
    })?;
    let [total, used, available] = sizes.map(|kibibytes| kibibytes.saturating_mul(1024));
    Some(Space {
        total,
        used,
        available,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_told_apart_by_slashes_and_not_by_lines_or_spaces() {
        let answer = b"81a4 5 1700000000 12 ./a b\n81a4 9 9 9 .c/\na1ff 3 -5 13 ./\xff/\n";
        let entries = entries(answer).expect("a list");
        assert_eq!(entries.len(), 2);
        assert_eq!(entries[0].name, "a b\n81a4 9 9 9 .c");
        assert_eq!(entries[0].kind, EntryKind::File);
        let version = FileVersion {
            bytes: 5,
            modified: 1_700_000_000,
            inode: 12,
        };
        assert_eq!(entries[0].version, version);
        assert_eq!(
            (entries[1].name.as_str(), entries[1].kind),
            ("\u{fffd}", EntryKind::Symlink)
        );
        assert_eq!(entries[1].version.modified, 0);
    }

    #[test]
    fn a_list_that_was_cut_or_garbled_is_no_list() {
        for answer in [
            "81a4 5 7 12 ./a",
            "81a4 5 7 12 ./a/",
            "81a4 5 7 ./a/\n",
            "x 5 7 12 ./a/\n",
            "81a4 5 7 12 a\n",
        ] {
            assert_eq!(entries(answer.as_bytes()), None, "{answer:?}");
        }
        assert_eq!(entries(b""), Some(Vec::new()));
    }

    #[test]
    fn room_is_read_of_both_kinds_of_df() {
        let coreutils = b"Filesystem     1024-blocks     Used Available Capacity Mounted on\n\
            host:/a b        103081248 61234568  36567388      63% /store backups\n";
        let busybox = b"Filesystem           1024-blocks    Used Available Capacity Mounted on\n\
            overlay              103081248  61234568  36567388  63% /\n";
        let expected = Space {
            total: 103_081_248 << 10,
            used: 61_234_568 << 10,
            available: 36_567_388 << 10,
        };
        assert_eq!(room(coreutils), Some(expected));
        assert_eq!(room(busybox), Some(expected));
        for garbled in [&b""[..], b"Filesystem\n", b"Filesystem\noverlay 1 2\n"] {
            assert_eq!(room(garbled), None);
        }
    }
}
