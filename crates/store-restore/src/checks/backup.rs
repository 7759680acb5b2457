//! What the backup itself must be: intact, of a release that the target can take, with the key that its data needs.

use std::fs::File;
use std::io::Read as _;

use anyhow::Context as _;
use tokio::task::spawn_blocking;
use wa_common::assistant::{AUTH_ENCRYPTION_KEY, Instance, read_auth_encryption};
use wa_common::report::{bytes, count};

use super::Run;
use crate::release::{Release, UpgradePath};
use crate::source::Source;

/// More than the file with the key ever takes.
const KEY_FILE_LIMIT_BYTES: u64 = 1 << 20;

impl Run<'_> {
    pub(super) async fn backup(&mut self) {
        let path = self.options.backup.clone();
        // On a thread of its own: a signal must be heard meanwhile.
        let read = spawn_blocking(move || Source::read(&path).map_err(anyhow::Error::from)).await;
        let read = read.map_err(anyhow::Error::from).flatten();
        self.facts.source = self.list.add("backup", read, |source| {
            format!(
                "{}: intact, {}, {}",
                source.path.display(),
                bytes(source.intact.bytes),
                source.intact.verified
            )
        });
        let remarks = self.facts.source.iter();
        let remarks: Vec<String> = remarks
            .flat_map(|source| &source.intact.verified.remarks)
            .map(ToString::to_string)
            .collect();
        for remark in remarks {
            self.list.warn("backup", remark);
        }
    }

    pub(super) fn upgrade_path(&mut self, instance: &Instance) {
        const NAME: &str = "upgrade path";
        let Some(source) = &self.facts.source else {
            return self.list.skip(NAME, "backup");
        };
        let from = match (self.options.from_release, source.release()) {
            (Some(given), _) => Ok(given),
            (None, Some(told)) => told.parse::<Release>().map_err(anyhow::Error::from),
            (None, None) => Err(anyhow::anyhow!(
                "the backup does not tell the release that it was taken on: give --from-release"
            )),
        };
        let to = match &instance.release {
            Some(release) => release.parse::<Release>().map_err(anyhow::Error::from),
            None => Err(anyhow::anyhow!(
                "the WatsonAssistant resource does not tell the target's release"
            )),
        };
        let both = from.and_then(|from| Ok((from, to?)));
        let problem = match both {
            Ok((from, to)) => match problem_of(from, to) {
                None => return self.list.ok(NAME, format!("{from} onto {to}")),
                Some(problem) => anyhow::anyhow!("{problem}"),
            },
            Err(problem) => problem,
        };
        if self.options.force_path {
            self.list.warn(
                NAME,
                format!("{problem:#}; --force-path: pgmig may not be able to upgrade the schema"),
            );
        } else {
            self.list.fail(NAME, &problem);
        }
    }

    pub(super) async fn encryption_key(&mut self, instance: &Instance) {
        const NAME: &str = "encryption key";
        let target = match instance.auth_encryption(self.cluster).await {
            Ok(target) => target,
            Err(error) => return self.list.fail(NAME, &error.into()),
        };
        let file = self
            .facts
            .source
            .as_ref()
            .and_then(Source::auth_encryption_file);
        let own = file.map(|path| {
            let mut yaml = Vec::new();
            File::open(&path)
                .and_then(|file| file.take(KEY_FILE_LIMIT_BYTES).read_to_end(&mut yaml))
                .map_err(anyhow::Error::from)
                .and_then(|_| read_auth_encryption(&yaml))
                .with_context(|| format!("cannot read the key in {}", path.display()))
        });
        let own = match own.transpose() {
            Ok(own) => own,
            Err(problem) => return self.list.fail(NAME, &problem),
        };
        let name = instance.auth_encryption_name();
        let key = |secret: &k8s_openapi::api::core::v1::Secret| {
            secret.data.as_ref()?.get(AUTH_ENCRYPTION_KEY).cloned()
        };
        match (&own, &target) {
            (Some(own), Some(target)) if key(own) == key(target) => {
                self.list
                    .ok(NAME, format!("the backup and {name} have the same"));
            }
            (Some(_), Some(_)) => {
                self.facts.key_differs = true;
                self.list.warn(
                    NAME,
                    format!("the backup's differs from that in {name}, and must take its place: restored data cannot be read without it"),
                );
            }
            (Some(_), None) => self.list.warn(
                NAME,
                format!("the backup has one, and the target has no secret {name} to put it into"),
            ),
            (None, Some(_)) => self.list.warn(
                NAME,
                format!("the backup has none, and the target has {name}: where the backup was taken with another key, restored data cannot be read"),
            ),
            (None, None) => self
                .list
                .ok(NAME, "neither the backup nor the target has one".to_owned()),
        }
        self.facts.target_key = target;
    }
}

/// Why a backup of `from` cannot be restored onto `to`.
fn problem_of(from: Release, to: Release) -> Option<String> {
    match from.path_to(to) {
        UpgradePath::Same | UpgradePath::WithinLine | UpgradePath::Direct => None,
        UpgradePath::None(why) => Some(why),
        UpgradePath::Steps(steps) => {
            let route: Vec<String> = steps.iter().map(ToString::to_string).collect();
            Some(format!(
                "{from} onto {to} takes {}: {from} → {}",
                count(steps.len() as u64, "step"),
                route.join(" → ")
            ))
        }
    }
}
