//! Who a backup is encrypted to.

use std::path::PathBuf;

use backup_set::{KeyError, Recipients};

/// Who can read what is written.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct EncryptArgs {
    /// Encrypt to this key of age (age1…) or SSH (ssh-ed25519 …); repeatable
    #[arg(long, value_name = "RECIPIENT")]
    encrypt_to: Vec<String>,

    /// Encrypt to the keys in this file, one a line; repeatable
    #[arg(long, value_name = "FILE")]
    recipients_file: Vec<PathBuf>,
}

impl EncryptArgs {
    /// None where nothing is to be encrypted.
    pub fn recipients(&self) -> Result<Option<Recipients>, KeyError> {
        Recipients::read(&self.encrypt_to, &self.recipients_file)
    }
}
