//! What to do about errors of backup sets, for plugins whose option `--to` names the directory of the sets.

use std::io::ErrorKind;

use backup_set::{BackupError, LatestError, SetError, scheme_of};

/// What a user can do where a set cannot be written in the directory of `--to`, or a backup that was named is not there.
pub fn advice_on_sets(error: &anyhow::Error) -> Option<String> {
    let advice = error.chain().find_map(|cause| {
        let of_set = cause.downcast_ref().and_then(on_writing);
        let of_backup = || cause.downcast_ref().and_then(on_reading);
        of_set.or_else(of_backup)
    });
    advice
        .map(str::to_owned)
        .or_else(|| advice_on_latest(error))
}

fn on_writing(error: &SetError) -> Option<&'static str> {
    match error {
        SetError::InTheWay { .. } => Some("move it away, or choose another directory with --to"),
        SetError::Io { source, .. } => match source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                Some("free some space, or choose another directory with --to")
            }
            ErrorKind::NotADirectory => Some("choose another directory with --to"),
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
                Some("choose a directory you can write to with --to")
            }
            _ => None,
        },
        _ => None,
    }
}

/// What a user can do where a word such as `latest` means no set.
pub fn advice_on_latest(error: &anyhow::Error) -> Option<String> {
    match error.chain().find_map(|cause| cause.downcast_ref())? {
        LatestError::TooFew { directory, .. } => Some(format!(
            "list them with `kubectl wa-backup list {}`",
            directory.display()
        )),
        LatestError::Url { given } => Some(match scheme_of(given) {
            Some("s3" | "gs" | "az" | "obc") => format!(
                "bring the set here with `kubectl wa-backup copy {} wa-backups`, and name it",
                given.display()
            ),
            scheme => format!("{}:// is not supported", scheme.unwrap_or_default()),
        }),
        _ => None,
    }
}

fn on_reading(error: &BackupError) -> Option<&'static str> {
    match error {
        BackupError::Io { path, source }
            if source.kind() == ErrorKind::NotFound && scheme_of(path).is_none() =>
        {
            Some("give the directory of a backup set, or a dump file")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn libraries_say_what_happened_and_plugins_what_to_do() {
        let full = SetError::writing(Path::new("/backups/wa"), ErrorKind::StorageFull.into());
        assert!(!full.to_string().contains("--to"), "{full}");
        let advice = advice_on_sets(&anyhow::Error::new(full).context("the dump failed"));
        assert_eq!(
            advice.unwrap(),
            "free some space, or choose another directory with --to"
        );
        let gone = backup_set::Backup::open(Path::new("/nowhere/at/all")).unwrap_err();
        let advice = advice_on_sets(&gone.into()).unwrap();
        assert_eq!(advice, "give the directory of a backup set, or a dump file");
        assert_eq!(advice_on_sets(&anyhow::anyhow!("no")), None);
    }
}
