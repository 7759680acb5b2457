//! Where the newest dump is broken: the next one to try.

use std::path::Path;

use kube_transfer::RemoteCommand;
use kube_transfer::file::Entry;
use wa_common::cli::Context;
use wa_common::report::{Event, bytes, printable};

use crate::access::{AccessArgs, Via};
use crate::files;
use crate::volume::OpenVolume;

/// How every dump begins.
const MAGIC: &[u8] = b"PGDMP";

/// Names the newest of the dumps `older` than the broken one that is worth a try, and the command that fetches it.
pub async fn tell(
    context: &Context,
    volume: &OpenVolume,
    older: &[Entry],
    args: &AccessArgs,
    to: &Path,
) {
    let message = match worth_a_try(volume, older).await {
        Some(dump) => format!(
            "the newest older dump that is worth a try is {}, {}, of {}: {}",
            printable(&dump.name),
            bytes(dump.version.bytes),
            files::modified(dump),
            command(context, volume, dump, args, to)
        ),
        None => "no older dump on the volume is worth a try: take a new backup".to_owned(),
    };
    context.reporter.report(&Event::Warning { message });
}

/// The newest that begins as a dump and is not much smaller than the others; where all are, the newest that begins as
/// one. A night on which the disk was full leaves a part of a dump, or nothing.
async fn worth_a_try<'a>(volume: &OpenVolume, older: &'a [Entry]) -> Option<&'a Entry> {
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
    let read = volume
        .cluster
        .run_idempotent(file.pod().container(), &head)
        .await;
    read.is_ok_and(|read| read.stdout == MAGIC)
}

/// The command line that fetches `dump` from the same place to the same place. Flags of the connection that hold secrets
/// are left to who pastes it.
fn command(
    context: &Context,
    volume: &OpenVolume,
    dump: &Entry,
    args: &AccessArgs,
    to: &Path,
) -> String {
    let connection = &context.global.connection;
    let namespace = volume.cluster.namespace();
    let kubeconfig = connection.kubeconfig.as_deref().map(Path::to_string_lossy);
    let to = to.to_string_lossy();
    let mut words = vec!["kubectl", "wa-pvc", "pull", "-n", namespace, "--to", &to];
    let options = [
        ("--kubeconfig", kubeconfig.as_deref()),
        ("--context", connection.context.as_deref()),
        ("--instance", context.global.instance.as_deref()),
        ("--pvc", args.pvc.as_deref()),
        (
            "--via",
            (args.via != Via::Auto).then(|| volume.access.via.name()),
        ),
    ];
    for (option, value) in options {
        words.extend(value.map(|value| [option, value]).into_iter().flatten());
    }
    // It may begin with a dash.
    words.extend(["--", &dump.name]);
    pasted(&words)
}

/// Words as one line for a shell. A name that no terminal shows as it is cannot be pasted, and is escaped.
fn pasted(words: &[&str]) -> String {
    let line = shlex::try_join(words.iter().copied()).unwrap_or_else(|_| words.join(" "));
    printable(&line).into_owned()
}

#[cfg(test)]
mod tests {
    use kube_transfer::file::{EntryKind, FileVersion};

    use super::*;

    fn dump(bytes: u64) -> Entry {
        Entry {
            name: "store.dump".to_owned(),
            kind: EntryKind::File,
            version: FileVersion {
                bytes,
                modified: 0,
                inode: 1,
            },
        }
    }

    #[test]
    fn half_a_dump_is_small() {
        let dumps = [dump(1000), dump(500), dump(499), dump(0)];
        let small = dumps.each_ref().map(|dump| is_small(dump, &dumps));
        assert_eq!(small, [false, false, true, true]);
        assert!(!is_small(&dumps[3], &dumps[3..]));
    }

    #[test]
    fn words_are_quoted_where_a_shell_needs_it() {
        let words = [
            "kubectl",
            "pull",
            "--to",
            "/mnt/my backups",
            "--",
            "store.dump_20261121-230004",
        ];
        assert_eq!(
            pasted(&words),
            "kubectl pull --to '/mnt/my backups' -- store.dump_20261121-230004"
        );
        let evil = pasted(&["store.dump_$(reboot)\u{1b}[31m"]);
        assert!(!evil.contains('\u{1b}') && evil.starts_with('\''), "{evil}");
    }
}
