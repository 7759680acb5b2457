//! `schedule show`.

use std::io::{self, Write};

use backup_jobs::permissions::to_show_schedule;
use backup_jobs::{Overview, PastRun, nightly_backup};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use owo_colors::OwoColorize as _;
use serde::Serialize;
use wa_common::cli::{About, Context, Exit, Render, permissions};
use wa_common::preflight::require_permissions;
use wa_common::report::{Styles, age, printable, table};

pub(super) const ABOUT: About = About {
    examples: &[
        "kubectl wa-backup schedule show",
        "kubectl wa-backup schedule show -n cpd -i wa -o json",
    ],
    changes: "nothing",
    permissions: || {
        vec![
            permissions("", &to_show_schedule(false)),
            "with create on pods/exec also how full the volume is, while a running pod has it mounted".to_owned(),
        ]
    },
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

    fn zone(&self) -> String {
        match &self.overview.time_zone {
            Some(zone) => zone.clone(),
            // Only the controller knows; it is in UTC nearly everywhere.
            None => "UTC, as the cluster's zone is taken to be".to_owned(),
        }
    }
}

fn at(time: Timestamp, zone: &TimeZone) -> String {
    let time = time.to_zoned(zone.clone());
    time.strftime("%a %Y-%m-%d %H:%M %:z").to_string()
}

impl Render for Report {
    fn human(&self, out: &mut dyn Write, styles: &Styles, _wide: bool) -> io::Result<()> {
        let overview = &self.overview;
        let dash = || "-".to_owned();
        let rows = overview.settings.iter().map(|setting| {
            let place = setting.place.as_ref();
            [
                setting.name.name().to_owned(),
                setting.value.clone().unwrap_or_else(dash),
                setting.default.to_owned(),
                place.map_or_else(|| "not found".to_owned(), Clone::clone),
            ]
        });
        let head = format!(
            "CronJob {} of {} in {}",
            overview.cron_job, self.instance, self.namespace
        );
        writeln!(out, "{}\n", head.style(styles.heading))?;
        writeln!(
            out,
            "{}",
            table(&["SETTING", "VALUE", "DEFAULT", "WHERE"], rows)
        )?;
        if let Some(schedule) = overview.schedule()
            && !overview.next.is_empty()
        {
            let local = TimeZone::system();
            let rows = overview
                .next
                .iter()
                .map(|time| [at(*time, schedule.zone()), at(*time, &local)]);
            let zone = format!("NEXT RUNS ({})", printable(&self.zone()));
            writeln!(out, "\n{}", table(&[&zone, "HERE"], rows))?;
        }
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
            let label = format!("{label:<14}");
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
