//! The keys that encrypted backups are read with.

use std::path::PathBuf;

use backup_set::{BackupError, Identities, KeyError};

/// What an encrypted backup is read with.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct KeyArgs {
    /// File with an age or SSH key to read encrypted backups with; repeatable
    #[arg(long, value_name = "FILE")]
    identity: Vec<PathBuf>,
}

impl KeyArgs {
    /// None where there is no key.
    pub fn identities(&self) -> Result<Option<Identities>, KeyError> {
        Identities::read(&self.identity)
    }
}

/// What to do where a key is missing.
pub fn advice_on_keys(error: &anyhow::Error) -> Option<String> {
    let needs_key = |error: &BackupError| match error {
        BackupError::NotJudged(not) => not.needs_key(),
        BackupError::NoKey { .. } => true,
        _ => false,
    };
    let mut causes = error.chain().filter_map(|cause| cause.downcast_ref());
    causes
        .any(needs_key)
        .then(|| "give its key with --identity FILE".to_owned())
}
