//! `schedule show`.

use std::io::{self, Write};
use std::time::Duration;

use backup_jobs::permissions::{COMMANDS, to_show_schedule};
use backup_jobs::{Overview, PastRun, nightly_backup};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use owo_colors::OwoColorize as _;
use serde::Serialize;
use wa_common::cli::{About, Context, Exit, Render, access_of};
use wa_common::preflight::require_permissions;
use wa_common::report::{Styles, age, elapsed, printable};

pub(super) const ABOUT: About = About {
    examples: &[
        "kubectl wa-backup schedule show",
        "kubectl wa-backup schedule show -n cpd -i wa -o json",
    ],
    changes: "nothing",
    permissions: || access_of(&COMMANDS, "schedule show"),
};

pub(super) async fn run(context: &Context) -> anyhow::Result<Exit> {
    let cluster = context.connect()?;
    let instance = context.global.instance.as_deref();
    require_permissions(&cluster, &to_show_schedule(instance.is_some())).await?;
    let (instance, cron_job) = nightly_backup(&cluster, instance).await?;
    let overview = Overview::look(&cluster, &cron_job).await?;
    context.print(&Report {
        instance: instance.name,
        namespace: instance.namespace,
        overview,
        now: Timestamp::now(),
    })?;
    Ok(Exit::Done)
}

#[derive(Serialize)]
struct Report {
    instance: String,
    namespace: String,
    #[serde(flatten)]
    overview: Overview,
    #[serde(skip)]
    now: Timestamp,
}

impl Report {
    fn past(&self, run: Option<&PastRun>) -> String {
        run.map_or_else(
            || "none known".to_owned(),
            |run| {
                let job = run.job.as_ref().map(|job| format!(" (job {job})"));
                format!("{} ago{}", age(run.time, self.now), job.unwrap_or_default())
            },
        )
    }

    fn settings_table(&self, styles: &Styles, wide: bool) -> String {
        let dash = || "-".to_owned();
        let rows = self.overview.settings.iter().map(|setting| {
            let value = match (&setting.value, &setting.place) {
                (Some(value), _) => value.clone(),
                (None, Some(_)) => dash(),
                (None, None) => "not found".to_owned(),
            };
            let place = setting.place.clone().unwrap_or_else(dash);
            let cells = [
                setting.name.name().to_owned(),
                value,
                setting.default.to_owned(),
            ];
            cells.into_iter().chain(wide.then_some(place))
        });
        let header = ["SETTING", "VALUE", "DEFAULT"].into_iter();
        let header: Vec<&str> = header.chain(wide.then_some("WHERE")).collect();
        styles.table(&header, rows)
    }

    fn next_runs(&self, out: &mut dyn Write, styles: &Styles) -> io::Result<()> {
        let overview = &self.overview;
        let Some(schedule) = overview.schedule().filter(|_| !overview.next.is_empty()) else {
            return Ok(());
        };
        let local = TimeZone::system();
        let rows = overview.next.iter().map(|time| {
            let wait = Duration::try_from(time.duration_since(self.now));
            [
                elapsed(wait.unwrap_or_default()),
                at(*time, schedule.zone()),
                at(*time, &local),
            ]
        });
        // Only the controller knows the zone where none is set; it is UTC nearly everywhere.
        let zone = overview.time_zone.as_deref().unwrap_or("UTC");
        let zone = format!("NEXT RUNS ({})", printable(zone));
        let header = ["IN", &zone, "HERE"];
        writeln!(out, "\n{}", styles.table(&header, rows))?;
        if overview.time_zone.is_none() {
            writeln!(
                out,
                "The cluster's time zone is not known; UTC is taken for it."
            )?;
        }
        Ok(())
    }
}

fn at(time: Timestamp, zone: &TimeZone) -> String {
    let time = time.to_zoned(zone.clone());
    time.strftime("%a %Y-%m-%d %H:%M %:z").to_string()
}

impl Render for Report {
    fn human(&self, out: &mut dyn Write, styles: &Styles, wide: bool) -> io::Result<()> {
        let overview = &self.overview;
        let head = format!(
            "CronJob {} of {} in {}",
            overview.cron_job, self.instance, self.namespace
        );
        writeln!(out, "{}\n", head.style(styles.heading))?;
        writeln!(out, "{}", self.settings_table(styles, wide))?;
        self.next_runs(out, styles)?;
        let volume = overview.volume.map_or_else(
            || "not known; `kubectl wa-pvc info --measure` looks".to_owned(),
            |volume| format!("{} % full", volume.per_cent()),
        );
        let active = if overview.active.is_empty() {
            "none".to_owned()
        } else {
            overview.active.join(", ")
        };
        writeln!(out)?;
        for (label, value) in [
            ("Last success:", self.past(overview.last_success.as_ref())),
            ("Last failure:", self.past(overview.last_failure.as_ref())),
            ("Running now:", active),
            ("Volume:", volume),
        ] {
            let label = format!("{label:<15}");
            writeln!(out, "{}{}", label.style(styles.faint), printable(&value))?;
        }
        for warning in &overview.warnings {
            writeln!(
                out,
                "{} {}",
                "warning:".style(styles.warning),
                printable(warning)
            )?;
        }
        Ok(())
    }

    fn names(&self) -> Vec<String> {
        vec![format!("cronjob/{}", self.overview.cron_job)]
    }
}
