//! What the backup itself must be: intact, of a release that the target can take, with the key that its data needs.

use anyhow::{Context as _, bail};
use k8s_openapi::api::core::v1::Secret;
use tokio::task::spawn_blocking;
use wa_common::assistant::Instance;
use wa_common::preflight::Finding;
use wa_common::report::{bytes, count, error_text};

use super::{Options, Run};
use crate::encryption_key::KeyValue;
use crate::release::{Release, UpgradePath};
use crate::source::Candidate;

/// Whether there is a way from the backup's release onto the target's.
enum UpgradeCheck {
    /// IBM lists it.
    Listed(String),
    /// There is none, for this reason, and the user wants to try.
    Forced(String),
}

/// The key of the target, and whether it is the backup's.
pub(super) struct Key {
    /// The name of the target's secret.
    name: String,
    /// Whether the backup has one.
    in_backup: bool,
    /// The target's.
    pub(super) target: Option<Secret>,
    /// Whether the backup's must take the place of the target's.
    pub(super) differs: bool,
}

impl Run<'_> {
    pub(super) async fn backup(&mut self) -> Finding<Candidate> {
        let (path, opener) = (self.options.backup.clone(), self.options.opener.clone());
        // On a thread of its own: a signal must be heard meanwhile.
        let read =
            spawn_blocking(move || Candidate::read(&opener, &path).map_err(anyhow::Error::from))
                .await;
        let read = read.map_err(anyhow::Error::from).flatten();
        let found = self.conditions.record("backup", read, |source| {
            format!(
                "{}: {}, {}{}, {}",
                source.path.display(),
                state_of(source),
                if source.is_encrypted() {
                    "encrypted, "
                } else {
                    ""
                },
                bytes(source.bytes),
                source.counts
            )
        });
        if let Some(source) = found.value() {
            for remark in &source.remarks {
                self.conditions.remark(&found, remark);
            }
        }
        found
    }

    pub(super) async fn upgrade_path(
        &mut self,
        source: &Finding<Candidate>,
        instance: &Finding<Instance>,
    ) {
        let Options {
            from_release,
            force_path,
            ..
        } = *self.options;
        let look = async |(source, instance): (&Candidate, &Instance)| {
            let path = releases(from_release, source, instance).and_then(|(from, to)| {
                match problem_of(from, to) {
                    None => Ok(format!("{from} onto {to}")),
                    Some(problem) => Err(anyhow::anyhow!(problem)),
                }
            });
            match path {
                Err(problem) if force_path => Ok(UpgradeCheck::Forced(error_text(&problem))),
                path => path.map(UpgradeCheck::Listed),
            }
        };
        let detail = |found: &UpgradeCheck| match found {
            UpgradeCheck::Listed(path) => path.clone(),
            UpgradeCheck::Forced(_) => "taken all the same: --force-path".to_owned(),
        };
        let found = self
            .conditions
            .check("upgrade path", (source, instance), look, detail)
            .await;
        if let Some(UpgradeCheck::Forced(problem)) = found.value() {
            let remark = format!("{problem}; pgmig may not be able to upgrade the schema");
            self.conditions.remark(&found, remark);
        }
    }

    /// The key that the restored data is read with.
    pub(super) async fn encryption_key(
        &mut self,
        source: &Finding<Candidate>,
        instance: &Finding<Instance>,
    ) -> Finding<Key> {
        let cluster = self.cluster;
        let look = async |(source, instance): (&Candidate, &Instance)| {
            let target = instance.auth_encryption(cluster).await?;
            let own = source.key()?;
            let differs = match (&own, &target) {
                (Some(own), Some(target)) => KeyValue::from_secret(target).as_ref() != Some(own),
                _ => false,
            };
            Ok(Key {
                name: instance.auth_encryption_name(),
                in_backup: own.is_some(),
                target,
                differs,
            })
        };
        let detail = |key: &Key| match (key.in_backup, &key.target) {
            (true, Some(_)) if key.differs => format!("differs from that in {}", key.name),
            (true, Some(_)) => format!("the backup and {} have the same", key.name),
            (true, None) => "only the backup has one".to_owned(),
            (false, Some(_)) => format!("only the target has one, {}", key.name),
            (false, None) => "neither the backup nor the target has one".to_owned(),
        };
        let found = self
            .conditions
            .check("encryption key", (source, instance), look, detail)
            .await;
        let remark = found.value().and_then(Key::remark);
        if let Some(remark) = remark {
            self.conditions.remark(&found, remark);
        }
        found
    }
}

/// Whether it was read just now, or is to be compared when it is in the pod.
fn state_of(source: &Candidate) -> String {
    source.verified_at.map_or_else(
        || "intact".to_owned(),
        |at| format!("as verified on {}", at.strftime("%Y-%m-%d")),
    )
}

impl Key {
    fn remark(&self) -> Option<String> {
        let name = &self.name;
        match (self.in_backup, &self.target) {
            (true, Some(_)) if self.differs => Some(format!(
                "the backup's must take the place of that in {name}: restored data cannot be read without it"
            )),
            (true, None) => Some(format!(
                "the target has no secret {name} to put the backup's into"
            )),
            (false, Some(_)) => Some(format!(
                "where the backup was taken with another key than that in {name}, restored data cannot be read"
            )),
            _ => None,
        }
    }
}

/// The releases of the backup and of the target.
fn releases(
    given: Option<Release>,
    source: &Candidate,
    instance: &Instance,
) -> anyhow::Result<(Release, Release)> {
    let from = match (given, source.release()) {
        (Some(given), _) => given,
        (None, Some(told)) => told.parse()?,
        (None, None) => {
            bail!("the backup does not tell the release that it was taken on: give --from-release")
        }
    };
    let to = instance
        .release
        .as_deref()
        .context("the WatsonAssistant resource does not tell the target's release")?;
    Ok((from, to.parse()?))
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
