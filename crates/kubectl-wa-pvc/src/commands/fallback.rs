//! Where the newest dump is broken: the command that fetches the next one to try.

use std::path::Path;

use backup_volume::{Entry, OpenVolume, Via, modified, worth_a_try};
use wa_common::cli::Context;
use wa_common::report::{Event, bytes, printable};

use super::access::AccessArgs;

/// Names the newest of the dumps `older` than the broken one that is worth a try, and the command that fetches it.
pub(super) async fn report(
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
            modified(dump),
            command(context, volume, dump, args, to)
        ),
        None => "no older dump on the volume is worth a try: take a new backup".to_owned(),
    };
    context.reporter.report(&Event::Warning { message });
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
    let namespace = &*volume.discovery().instance.namespace;
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
            (args.via != Via::Auto).then(|| volume.via().name()),
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
    use super::*;

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
