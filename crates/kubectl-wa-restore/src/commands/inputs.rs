//! What this machine gives to a restore, beside the backup.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use backup_set::DEFAULT_DIRECTORY;
use kube_transfer::Secret;
use store_restore::config::RcForm;
use store_restore::procedure::Inputs;
use store_restore::source::Opener;
use tokio::sync::OnceCell;
use wa_common::cli::TimeLimit;

use super::config;

/// As long as a Watson Assistant takes to come back where images must be pulled.
const DEFAULT_TIMEOUT: &str = "30m";
/// Longer than anybody waits.
const FOR_EVER: Duration = Duration::from_hours(24 * 365);

#[derive(Debug, clap::Args)]
pub(super) struct InputArgs {
    /// File with the bearer token of a user who owns service instances, before 5.2.1; repeatable
    #[arg(long, value_name = "FILE")]
    token_file: Vec<PathBuf>,
    /// Directory for the log of pgmig
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DIRECTORY)]
    log_to: PathBuf,
    /// How long to wait until everything is ready again
    #[arg(long, value_name = "DURATION", default_value = DEFAULT_TIMEOUT)]
    timeout: TimeLimit,
}

impl InputArgs {
    pub(super) fn log_to(&self) -> &Path {
        &self.log_to
    }

    /// With the tokens, where a file of this form needs them; on a terminal they are asked for.
    pub(super) async fn for_form(self, form: RcForm, opener: Opener) -> anyhow::Result<Inputs> {
        let tokens = match form {
            RcForm::UserTokens => config::user_tokens(&self.token_file).await?,
            RcForm::ServiceToken => config::tokens_in(&self.token_file)?,
        };
        Ok(self.inputs(tokens, opener))
    }

    /// With the tokens that were given, if any.
    pub(super) fn given(self, opener: Opener) -> anyhow::Result<Inputs> {
        let tokens = config::tokens_in(&self.token_file)?;
        Ok(self.inputs(tokens, opener))
    }

    fn inputs(self, tokens: Vec<Secret>, opener: Opener) -> Inputs {
        let TimeLimit(timeout) = self.timeout;
        Inputs {
            backup: None,
            opener,
            pgmig: None,
            tokens,
            log_to: self.log_to,
            accept_row_differences: false,
            timeout: timeout.unwrap_or(FOR_EVER),
            read: OnceCell::new(),
            waiting_since: OnceLock::new(),
        }
    }
}
