//! `schedule set`, `suspend` and `resume`.

use std::io::{self, Write};
use std::time::Duration;

use anyhow::bail;
use backup_jobs::permissions::COMMANDS;
use backup_jobs::{Reverted, ScheduleChange, SettingChange, SettingName, Wish};
use jiff::Timestamp;
use owo_colors::OwoColorize as _;
use serde::Serialize;
use wa_common::cli::{About, Context, DryRun, Exit, Render, TimeLimit, access_of};
use wa_common::report::{Styles, age, printable};

const CHANGES: &str =
    "the settings in the CronJob, by server-side apply as the field manager kubectl-wa-backup";

pub(super) const ABOUT: About = About {
    examples: &[
        "kubectl wa-backup schedule set --cron '30 1 * * *' --dry-run",
        "kubectl wa-backup schedule set --keep-daily 13 --keep-weekly 8",
        "kubectl wa-backup schedule set --weekly-day 6 --jobs-success 5 --jobs-failed 5 --watch 0",
    ],
    changes: CHANGES,
    permissions: || access_of(&COMMANDS, "schedule set"),
};

pub(super) const SUSPEND: About = About {
    examples: &["kubectl wa-backup schedule suspend"],
    changes: CHANGES,
    permissions: || access_of(&COMMANDS, "schedule suspend"),
};

pub(super) const RESUME: About = About {
    examples: &["kubectl wa-backup schedule resume --dry-run=server"],
    changes: CHANGES,
    permissions: || access_of(&COMMANDS, "schedule resume"),
};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "The operator may set back what is changed in the CronJob. That is looked for after the change, and told with exit code 1; \
                  then change the setting where the operator reads it."
)]
pub(super) struct SetArgs {
    /// When a backup is taken: minute, hour, day of month, month, day of week, in the CronJob's time zone
    #[arg(long, value_name = "SCHEDULE")]
    cron: Option<String>,

    /// How many files of other days than the weekly one are kept
    #[arg(long, value_name = "N")]
    keep_daily: Option<u16>,

    /// How many files of the weekly day are kept
    #[arg(long, value_name = "N")]
    keep_weekly: Option<u16>,

    /// Day whose files count as weekly, from 0 for Sunday to 6
    #[arg(long, value_name = "DAY", value_parser = clap::value_parser!(u16).range(0..=6))]
    weekly_day: Option<u16>,

    /// How many Jobs are kept that succeeded
    #[arg(long, value_name = "N")]
    jobs_success: Option<u16>,

    /// How many Jobs are kept that failed
    #[arg(long, value_name = "N")]
    jobs_failed: Option<u16>,

    #[command(flatten)]
    how: HowArgs,
}

/// How it is changed.
#[derive(Debug, clap::Args)]
pub(super) struct HowArgs {
    /// Say what would be changed, but change nothing; `server` has the API server check it
    #[arg(long, value_name = "client|server", num_args = 0..=1, require_equals = true, default_missing_value = "client", hide_possible_values = true)]
    dry_run: Option<DryRun>,

    /// How long to look whether the operator sets it back; 0 does not look
    #[arg(long, value_name = "DURATION", default_value = "30s")]
    watch: TimeLimit,
}

impl SetArgs {
    pub(super) fn wishes(&self) -> Vec<Wish> {
        let number = |number: Option<u16>| number.map(|number| number.to_string());
        let wishes = [
            (SettingName::Schedule, self.cron.clone()),
            (SettingName::JobsSuccess, number(self.jobs_success)),
            (SettingName::JobsFailed, number(self.jobs_failed)),
            (SettingName::WeeklyDay, number(self.weekly_day)),
            (SettingName::KeepWeekly, number(self.keep_weekly)),
            (SettingName::KeepDaily, number(self.keep_daily)),
        ];
        let wishes = wishes.into_iter();
        wishes
            .filter_map(|(name, value)| value.map(|value| Wish { name, value }))
            .collect()
    }

    pub(super) fn how(&self) -> &HowArgs {
        &self.how
    }
}

/// What `suspend` and `resume` want.
pub(super) fn suspended(suspended: bool) -> Vec<Wish> {
    vec![Wish {
        name: SettingName::Suspend,
        value: suspended.to_string(),
    }]
}

pub(super) async fn run(
    wishes: Vec<Wish>,
    how: &HowArgs,
    context: &Context,
) -> anyhow::Result<Exit> {
    if wishes.is_empty() {
        bail!(
            "nothing is to be set: give one or more of --cron, --keep-daily, --keep-weekly, --weekly-day, --jobs-success and --jobs-failed"
        );
    }
    let cluster = context.connect()?;
    let instance = context.global.instance.as_deref();
    let change = ScheduleChange::prepare(&cluster, instance, wishes).await?;
    let mut report = Report {
        cron_job: change.cron_job().name(),
        namespace: cluster.namespace().to_owned(),
        dry_run: how.dry_run.is_some_and(DryRun::is_on),
        starts: change.starts(),
        changes: change.changes().to_vec(),
        reverted: Vec::new(),
        watched_seconds: 0,
    };
    if report.changes.is_empty() {
        context.print(&report)?;
        return Ok(Exit::Done);
    }
    if report.dry_run {
        if how.dry_run == Some(DryRun::Server) {
            change.apply(true).await?;
        }
        context.print(&report)?;
        return Ok(Exit::Done);
    }
    change.apply(false).await?;
    if let TimeLimit(Some(limit)) = how.watch {
        report.reverted = change.watch(limit, &*context.reporter).await?;
        report.watched_seconds = limit.as_secs();
    }
    context.print(&report)?;
    if report.reverted.is_empty() {
        return Ok(Exit::Done);
    }
    let reverted: Vec<String> = report.reverted.iter().map(in_words).collect();
    bail!(
        "{}: what is changed in CronJob {} alone does not stay; change these settings where the operator reads them, in the custom resource of the instance or by a temporary patch",
        reverted.join("; "),
        report.cron_job
    );
}

fn in_words(reverted: &Reverted) -> String {
    let by = reverted.by.as_deref().unwrap_or("the operator");
    format!(
        "{by} has set {} back from {} to {}",
        reverted.name,
        reverted.wanted,
        reverted.found.as_deref().unwrap_or("nothing")
    )
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    cron_job: String,
    namespace: String,
    dry_run: bool,
    changes: Vec<SettingChange>,
    /// The run that was missed while it was suspended, and is started once it is not.
    starts: Option<Timestamp>,
    reverted: Vec<Reverted>,
    watched_seconds: u64,
}

impl Report {
    fn tell_start(&self, out: &mut dyn Write) -> io::Result<()> {
        let Some(due) = self.starts else {
            return Ok(());
        };
        let ago = age(due, Timestamp::now());
        let verb = if self.dry_run {
            "would start"
        } else {
            "starts"
        };
        writeln!(
            out,
            "The backup that was due {ago} ago, while it was suspended, {verb} at once"
        )
    }
}

impl Render for Report {
    fn human(&self, out: &mut dyn Write, styles: &Styles, _wide: bool) -> io::Result<()> {
        if self.changes.is_empty() {
            return writeln!(
                out,
                "CronJob {} is as wanted; nothing was changed.",
                self.cron_job
            );
        }
        let rows = self.changes.iter().map(|change| {
            let old = change.old.clone().unwrap_or_else(|| "-".to_owned());
            [
                change.name.to_owned(),
                old,
                change.new.clone(),
                change.place.clone(),
            ]
        });
        writeln!(
            out,
            "{}",
            styles.table(&["SETTING", "OLD", "NEW", "WHERE"], rows)
        )?;
        let cron_job = printable(&self.cron_job);
        if self.dry_run {
            writeln!(out, "\nCronJob {cron_job} would be changed (dry run)")?;
            return self.tell_start(out);
        }
        let watched = Duration::from_secs(self.watched_seconds);
        let stayed = match (self.reverted.is_empty(), watched.is_zero()) {
            (false, _) => "; it was set back",
            (true, true) => "; whether the operator sets it back was not looked at",
            (true, false) => "; the operator has not set it back so far",
        };
        writeln!(
            out,
            "\nCronJob {cron_job} {}{stayed}",
            "changed".style(styles.good)
        )?;
        self.tell_start(out)
    }

    fn names(&self) -> Vec<String> {
        vec![format!("cronjob/{}", self.cron_job)]
    }
}
