//! The newest good backup of each installation.

use std::io::{self, Write};
use std::path::PathBuf;

use backup_set::{Installation, Protected, Purpose, Rehearsal, Surveyed};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use wa_common::cli::{Context, Render};
use wa_common::report::{Styles, age, bytes};

use super::on_volume::OnVolume;

#[derive(Serialize)]
pub(super) struct StatusReport {
    pub(super) directory: PathBuf,
    pub(super) installations: Vec<Row>,
    /// What the nightly backup has left, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) volume: Option<OnVolume>,
    #[serde(skip)]
    pub(super) now: Timestamp,
}

/// The newest good backup of an installation.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Row {
    pub(super) instance: String,
    pub(super) namespace: String,
    pub(super) server: String,
    /// How many complete backups there are.
    pub(super) backups: usize,
    /// The newest good one.
    pub(super) newest: Option<Newest>,
    /// Whether there is none, or only one that is too old.
    pub(super) too_old: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Newest {
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) time: Timestamp,
    pub(super) age_seconds: i64,
    pub(super) bytes: u64,
    pub(super) verified: bool,
    pub(super) rehearsed: bool,
    pub(super) protected: bool,
}

impl StatusReport {
    pub(super) fn new<S>(
        directory: PathBuf,
        sets: &[Surveyed<S>],
        wanted: impl Fn(&Installation) -> bool,
        max_age: Option<SignedDuration>,
        now: Timestamp,
    ) -> Self {
        let backups: Vec<(&Surveyed<S>, Installation)> = sets
            .iter()
            .filter(|set| {
                set.manifest()
                    .is_some_and(|manifest| manifest.purpose == Purpose::Backup)
            })
            .filter_map(|set| Some((set, set.installation()?)))
            .filter(|(_, installation)| wanted(installation))
            .collect();
        let mut found: Vec<Installation> = Vec::new();
        for (_, installation) in &backups {
            if found.iter().all(|other| !is_one(other, installation)) {
                found.push(installation.clone());
            }
        }
        let row = |installation: Installation| {
            let own: Vec<&Surveyed<S>> = backups
                .iter()
                .filter(|(_, other)| is_one(other, &installation))
                .map(|(set, _)| *set)
                .collect();
            let newest = own.iter().find_map(|set| Newest::of(set, now));
            let is_old = |newest: &Newest| {
                max_age.is_some_and(|limit| now.duration_since(newest.time) > limit)
            };
            Row {
                instance: installation.instance,
                namespace: installation.namespace,
                server: installation.server,
                backups: own.len(),
                too_old: newest.as_ref().is_none_or(is_old),
                newest,
            }
        };
        Self {
            directory,
            installations: found.into_iter().map(row).collect(),
            volume: None,
            now,
        }
    }

    /// The same, with what is on the volume where that `is_asked` for.
    pub(super) async fn with_volume<S>(
        mut self,
        is_asked: bool,
        context: &Context,
        sets: &[Surveyed<S>],
        max_age: Option<SignedDuration>,
    ) -> anyhow::Result<Self> {
        if is_asked {
            self.volume = Some(OnVolume::look(context, sets, max_age, self.now).await?);
        }
        Ok(self)
    }

    /// What is not as it should be, a sentence each.
    pub(super) fn complaints(&self, max_age: Option<SignedDuration>) -> Vec<String> {
        let directory = self.directory.display();
        let of_volume = self.volume.iter();
        let of_volume = of_volume.filter_map(|volume| volume.complaint(max_age, self.now));
        if self.installations.is_empty() {
            let none = format!("there is no backup in {directory}");
            return std::iter::once(none).chain(of_volume).collect();
        }
        let bad = self.installations.iter().filter(|row| row.too_old);
        bad.map(|row| {
            let of = format!("{} in {}", row.instance, row.namespace);
            match (&row.newest, max_age) {
                (Some(newest), Some(limit)) => format!(
                    "the newest good backup of {of} is {} old, more than {limit:#}: {}",
                    age(newest.time, self.now),
                    newest.name
                ),
                _ => format!("there is no good backup of {of} in {directory}"),
            }
        })
        .chain(of_volume)
        .collect()
    }
}

/// Whether both are one to whoever is to be alarmed: also one that was installed anew under its names, of which the earlier backups
/// are no second installation that nobody backs up any more.
fn is_one(one: &Installation, other: &Installation) -> bool {
    one.is_same(other) || one.is_called_as(other)
}

impl Newest {
    /// None where the set is not good: no trial may have failed, and its time must have come.
    fn of<S>(set: &Surveyed<S>, now: Timestamp) -> Option<Self> {
        let time = set.data_time()?;
        let age = now.duration_since(time);
        let rehearsal = set.rehearsal.as_ref();
        let is_good =
            rehearsal.is_none_or(Rehearsal::succeeded) && age > -SignedDuration::from_hours(1);
        is_good.then(|| Self {
            name: set.name(),
            path: set.entry.path.clone(),
            time,
            age_seconds: age.as_secs().max(0),
            bytes: set.entry.bytes,
            verified: set.is_verified(),
            rehearsed: rehearsal.is_some(),
            protected: set.protected != Protected::No,
        })
    }
}

impl Render for StatusReport {
    fn human(&self, out: &mut dyn Write, styles: &Styles, wide: bool) -> io::Result<()> {
        self.write_installations(out, styles, wide)?;
        let Some(volume) = &self.volume else {
            return Ok(());
        };
        let header = [
            "INSTANCE",
            "NAMESPACE",
            "ON THE VOLUME",
            "AGE",
            "SIZE",
            "FETCHED AS",
            "DUMPS",
        ];
        if !self.installations.is_empty() {
            writeln!(out)?;
        }
        writeln!(out, "{}", styles.table(&header, [volume.cells(self.now)]))
    }

    fn names(&self) -> Vec<String> {
        let newest = self
            .installations
            .iter()
            .filter_map(|row| row.newest.as_ref());
        newest
            .map(|newest| newest.path.display().to_string())
            .collect()
    }
}

impl StatusReport {
    fn write_installations(
        &self,
        out: &mut dyn Write,
        styles: &Styles,
        wide: bool,
    ) -> io::Result<()> {
        if self.installations.is_empty() {
            return Ok(());
        }
        let yes = |is: bool| if is { "yes" } else { "no" }.to_owned();
        let rows = self.installations.iter().map(|row| {
            let mut cells = vec![row.instance.clone(), row.namespace.clone()];
            match &row.newest {
                Some(newest) => cells.extend([
                    newest.name.clone(),
                    age(newest.time, self.now),
                    bytes(newest.bytes),
                    yes(newest.verified),
                    yes(newest.rehearsed),
                    yes(newest.protected),
                ]),
                None => cells.extend(["none"].into_iter().chain(["-"; 5]).map(str::to_owned)),
            }
            cells.push(row.backups.to_string());
            cells.extend(wide.then(|| row.server.clone()));
            cells
        });
        let mut header = vec![
            "INSTANCE",
            "NAMESPACE",
            "NEWEST",
            "AGE",
            "SIZE",
            "VERIFIED",
            "REHEARSED",
            "PROTECTED",
            "BACKUPS",
        ];
        header.extend(wide.then_some("SERVER"));
        writeln!(out, "{}", styles.table(&header, rows))
    }
}
