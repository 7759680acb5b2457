//! The newest dump on the volume of the nightly backup, for `status`.

use anyhow::Context as _;
use backup_set::Surveyed;
use backup_volume::{
    AccessOptions, Caller, ClosedVolume, Entry, OpenVolume, dumps, modified, worth_a_try,
};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use wa_common::cli::Context;
use wa_common::report::{age, bytes, printable};

/// What the nightly backup of an instance has left on its volume.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OnVolume {
    pub(super) instance: String,
    pub(super) namespace: String,
    pub(super) claim: String,
    /// How many dumps there are.
    pub(super) dumps: usize,
    /// The newest one that is finished, begins as a dump and is not much smaller than the others.
    pub(super) newest: Option<VolumeDump>,
    /// Whether there is none, or only one that is too old.
    pub(super) too_old: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct VolumeDump {
    pub(super) name: String,
    pub(super) time: Timestamp,
    pub(super) age_seconds: i64,
    pub(super) bytes: u64,
    /// The backup that was made of it, where one was.
    pub(super) fetched_as: Option<String>,
    /// Whether that one was verified: on the volume, nobody does.
    pub(super) verified: bool,
}

impl OnVolume {
    /// Looks at the volume, as `kubectl wa-pvc list` does.
    pub(super) async fn look<S>(
        context: &Context,
        sets: &[Surveyed<S>],
        max_age: Option<SignedDuration>,
        now: Timestamp,
    ) -> anyhow::Result<Self> {
        let caller = Caller {
            cluster: context.connect()?,
            reporter: context.reporter.clone(),
            exit_hooks: context.exit_hooks.clone(),
        };
        let instance = context.global.instance.as_deref();
        let closed = ClosedVolume::find(caller, instance, AccessOptions::default()).await?;
        let volume = closed.open().await?;
        let look = async {
            let found = dumps(volume.files().await?);
            let finished = finished(&volume, &found);
            let newest = worth_a_try(&volume, &finished).await.cloned();
            Ok((found.len(), newest))
        };
        let (number, newest) = volume
            .guard(look)
            .await
            .context("cannot look at the dumps on the volume")?;
        let newest = newest.map(|dump| VolumeDump::new(&dump, sets, now));
        let is_old =
            |dump: &VolumeDump| max_age.is_some_and(|limit| now.duration_since(dump.time) > limit);
        let discovery = volume.discovery();
        Ok(Self {
            instance: discovery.instance.name.clone(),
            namespace: discovery.instance.namespace.clone(),
            claim: discovery.claim_name(),
            dumps: number,
            too_old: newest.as_ref().is_none_or(is_old),
            newest,
        })
    }

    /// What is not as it should be.
    pub(super) fn complaint(
        &self,
        max_age: Option<SignedDuration>,
        now: Timestamp,
    ) -> Option<String> {
        let of = format!("{} in {}", self.instance, self.namespace);
        match (&self.newest, max_age) {
            _ if !self.too_old => None,
            (Some(newest), Some(limit)) => Some(format!(
                "the newest dump on the volume of {of} is {} old, more than {limit:#}: {}",
                age(newest.time, now),
                printable(&newest.name)
            )),
            _ => Some(format!(
                "there is no dump on the volume of {of} that could be restored"
            )),
        }
    }

    /// The cells of its row in a table.
    pub(super) fn cells(&self, now: Timestamp) -> Vec<String> {
        let mut cells = vec![self.instance.clone(), self.namespace.clone()];
        match &self.newest {
            Some(newest) => cells.extend([
                newest.name.clone(),
                age(newest.time, now),
                bytes(newest.bytes),
                newest.fetched_as.clone().unwrap_or_else(|| "-".to_owned()),
            ]),
            None => cells.extend(["none", "-", "-", "-"].map(str::to_owned)),
        }
        cells.push(self.dumps.to_string());
        cells
    }
}

/// Without those that a backup which is running may still write to.
fn finished(volume: &OpenVolume, dumps: &[Entry]) -> Vec<Entry> {
    let began = volume.discovery().backup_running_since();
    let is_finished = |dump: &&Entry| began.is_none_or(|began| modified(dump) < began);
    dumps.iter().filter(is_finished).cloned().collect()
}

impl VolumeDump {
    fn new<S>(dump: &Entry, sets: &[Surveyed<S>], now: Timestamp) -> Self {
        let time = modified(dump);
        let of_it = sets.iter().find(|set| {
            let volume = set.manifest().and_then(|manifest| manifest.volume.as_ref());
            volume.is_some_and(|volume| volume.file == dump.name && volume.modified == time)
        });
        Self {
            name: dump.name.clone(),
            time,
            age_seconds: now.duration_since(time).as_secs().max(0),
            bytes: dump.version.bytes,
            fetched_as: of_it.map(Surveyed::name),
            verified: of_it.is_some_and(Surveyed::is_verified),
        }
    }
}
