//! Where the newest dump is broken: the next one to try.

use kube_transfer::RemoteCommand;
use kube_transfer::file::Entry;

use crate::volume::OpenVolume;

/// How every dump begins.
const MAGIC: &[u8] = b"PGDMP";

/// The newest that begins as a dump and is not much smaller than the others; where all are, the newest that begins as
/// one. A night on which the disk was full leaves a part of a dump, or nothing.
pub async fn worth_a_try<'a>(volume: &OpenVolume, older: &'a [Entry]) -> Option<&'a Entry> {
    let mut small = None;
    for dump in older {
        if !begins_as_dump(volume, dump).await {
            continue;
        }
        if !is_small(dump, older) {
            return Some(dump);
        }
        small = small.or(Some(dump));
    }
    small
}

/// Whether it is less than half as large as the largest.
fn is_small(dump: &Entry, among: &[Entry]) -> bool {
    let largest = among.iter().map(|dump| dump.version.bytes).max();
    dump.version.bytes < largest.unwrap_or_default() / 2
}

async fn begins_as_dump(volume: &OpenVolume, dump: &Entry) -> bool {
    if dump.version.bytes <= MAGIC.len() as u64 {
        return false;
    }
    let file = volume.file(dump);
    let length = MAGIC.len().to_string();
    let head = RemoteCommand::new("head")
        .arg("-c")
        .arg(&length)
        .arg("--")
        .arg(file.path());
    let cluster = &volume.caller.cluster;
    let read = cluster.run_idempotent(file.pod().container(), &head).await;
    read.is_ok_and(|read| read.stdout == MAGIC)
}

#[cfg(test)]
mod tests {
    use kube_transfer::file::{EntryKind, FileVersion};

    use super::*;

    fn dump(bytes: u64) -> Entry {
        let version = FileVersion {
            bytes,
            modified: 0,
            inode: 1,
        };
        Entry::new("store.dump", EntryKind::File, version)
    }

    #[test]
    fn half_a_dump_is_small() {
        let dumps = [dump(1000), dump(500), dump(499), dump(0)];
        let small = dumps.each_ref().map(|dump| is_small(dump, &dumps));
        assert_eq!(small, [false, false, true, true]);
        assert!(!is_small(&dumps[3], &dumps[3..]));
    }
}
