//! The auth-encryption file that lies beside a dump on the volume.

use backup_set::AUTH_ENCRYPTION_FILE;
use kube_transfer::file::Entry;
use kube_transfer::{DownloadError, RemoteCommand};
use wa_common::assistant::{auth_encryption_yaml, read_auth_encryption};
use wa_common::cluster::RetryPolicy;
use wa_common::report::{Event, causes_text, error_text};

use super::Fetch;
use crate::remedy::{Remediable, Remedy};

impl Fetch<'_> {
    /// The auth-encryption file of the dump, where there is one of use. A dump without it is still a dump: what is wrong
    /// with its content is only reported. One that cannot be read now may be the key all the same, and is an error.
    pub(super) async fn read_key(&self) -> anyhow::Result<Option<String>> {
        let Some(key) = self.key else {
            if self.keys_are_kept {
                self.warn_of_no_key(&format!(
                    "on the volume there is one for other dumps, and none for {}",
                    self.shown
                ));
            }
            return Ok(None);
        };
        let yaml = match self.content(key).await {
            Ok(content) => {
                read_auth_encryption(&content).and_then(|secret| auth_encryption_yaml(&secret))
            }
            // It is larger than any Secret.
            Err(error @ DownloadError::Sink(_)) => Err(error.into()),
            Err(error) if self.options.without_key => Err(error.into()),
            Err(error) => {
                let what = format!(
                    "cannot read its auth-encryption file {:?}, without which restored data cannot be read; it was not fetched",
                    key.name
                );
                let remedy = Remediable::new(what, Remedy::WithoutKey);
                let error = anyhow::Error::new(error).context(remedy);
                return Err(self.volume.explain(error, key).await);
            }
        };
        Ok(yaml
            .map_err(|error| {
                let why = error_text(&error);
                self.warn_of_no_key(&format!("{:?} cannot be used: {why}", key.name));
            })
            .ok())
    }

    fn warn_of_no_key(&self, why: &str) {
        self.reporter().report(&Event::Warning {
            message: format!(
                "the set has no {AUTH_ENCRYPTION_FILE}, without which restored data cannot be read: {why}"
            ),
        });
    }

    /// The content of a small file on the volume.
    async fn content(&self, entry: &Entry) -> Result<Vec<u8>, DownloadError> {
        let file = self.volume.file(entry);
        let read = RemoteCommand::new("cat").arg(file.path());
        let attempt = || file.pod().run(&read);
        let passing = |error: &DownloadError| error.is_transient().then(|| causes_text(error));
        let read = RetryPolicy::reads(self.options.retries)
            .run(AUTH_ENCRYPTION_FILE, self.reporter(), passing, attempt)
            .await?;
        Ok(read.stdout)
    }
}
