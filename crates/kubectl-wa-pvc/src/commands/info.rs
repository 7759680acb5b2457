//! `info`: the volume, who uses it, and the ways to its files.

use std::collections::BTreeSet;
use std::io::{self, Write};

use jiff::Timestamp;
use owo_colors::{OwoColorize as _, Style};
use serde::Serialize;
use wa_common::cli::{About, Context, Exit, Render, access_of};
use wa_common::report::{Event, Styles, bytes, elapsed, error_text, printable};

use backup_volume::permissions::COMMANDS;
use backup_volume::{AccessMethod, Assessment, Discovery, Mount, assess_all, warn_of_leftovers};

use super::access::{AccessArgs, caller};
use super::advice::advised;

pub(super) const ABOUT: About = About {
    examples: &[
        "kubectl wa-pvc info",
        "kubectl wa-pvc info --measure -o wide",
    ],
    changes: "nothing; with --measure as `list`",
    permissions: || access_of(&COMMANDS, "info"),
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    access: AccessArgs,

    /// Measure used and free space through a helper pod where no running pod has the volume mounted
    #[arg(long)]
    measure: bool,
}

pub(super) async fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let caller = caller(context)?;
    let cluster = &caller.cluster;
    warn_of_leftovers(&caller).await;
    let instance = context.global.instance.as_deref();
    let discovery = Discovery::discover(cluster, instance, args.access.pvc.as_deref()).await?;
    let options = args.access.options();
    let assessments = assess_all(cluster, &discovery, &options).await?;
    let mut report = VolumeReport::new(&discovery, &assessments);
    let websockets = cluster.require_websockets().await;
    report.no_websocket = websockets.err().map(|error| error.to_string());
    let plan = assessments.into_iter().find_map(|one| one.plan.ok());
    if let Some(plan) = plan
        && report.no_websocket.is_none()
        && (args.measure || plan.method() == AccessMethod::Pod)
    {
        let access = plan.open(&caller, &options).await?;
        match access.guard(access.space(cluster)).await {
            Ok(space) => {
                report.space = Some(Space {
                    used_bytes: space.used,
                    available_bytes: space.available,
                });
            }
            // The rest is worth telling all the same.
            Err(error) => context.reporter.report(&Event::Warning {
                message: format!("the free space is not known: {}", error_text(&error)),
            }),
        }
    }
    context.print(&report)?;
    Ok(if report.no_websocket.is_none() {
        Exit::Done
    } else {
        Exit::Error
    })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct VolumeReport {
    instance: String,
    namespace: String,
    release: Option<String>,
    claim: Claim,
    volume: Option<String>,
    storage_class: Option<String>,
    provisioner: Option<String>,
    space: Option<Space>,
    /// Why no command can be run in a pod from here, and so no file be read.
    no_websocket: Option<String>,
    mounted_by: Vec<Mount>,
    backups: Option<Backups>,
    methods: Vec<MethodReport>,
    chosen: Option<AccessMethod>,
    #[serde(skip)]
    now: Timestamp,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Claim {
    name: String,
    phase: String,
    access_modes: Vec<String>,
    capacity: Option<String>,
}

#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
struct Space {
    used_bytes: u64,
    available_bytes: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Backups {
    cron_job: String,
    schedule: String,
    time_zone: Option<String>,
    suspended: bool,
    next: Option<Timestamp>,
    active_jobs: BTreeSet<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MethodReport {
    method: AccessMethod,
    possible: bool,
    /// What it would do; absent where it cannot.
    plan: Option<String>,
    /// Why it cannot.
    reasons: Vec<String>,
}

impl VolumeReport {
    fn new(discovery: &Discovery, assessments: &[Assessment]) -> Self {
        let now = Timestamp::now();
        let text = |value: Option<&str>| value.map(str::to_owned);
        let backups = discovery.cron_job.as_ref().map(|cron_job| Backups {
            cron_job: cron_job.name(),
            schedule: cron_job.schedule().to_owned(),
            time_zone: text(cron_job.time_zone()),
            suspended: cron_job.is_suspended(),
            next: cron_job.next_run(now),
            active_jobs: discovery.active_jobs(),
        });
        let methods: Vec<MethodReport> = assessments.iter().map(MethodReport::new).collect();
        Self {
            instance: discovery.instance.name.clone(),
            namespace: discovery.instance.namespace.clone(),
            release: discovery.instance.release.clone(),
            claim: Claim {
                name: discovery.claim_name(),
                phase: discovery.phase().to_owned(),
                access_modes: discovery.access_modes().to_vec(),
                capacity: text(discovery.capacity()),
            },
            volume: text(discovery.volume_name()),
            storage_class: text(discovery.class_name()),
            provisioner: text(discovery.provisioner()),
            space: None,
            no_websocket: None,
            mounted_by: discovery.mounts.clone(),
            backups,
            chosen: methods
                .iter()
                .find(|one| one.possible)
                .map(|one| one.method),
            methods,
            now,
        }
    }

    fn lines(&self, wide: bool) -> Vec<(&'static str, String)> {
        let unknown = || "unknown".to_owned();
        let release = self.release.as_deref().unwrap_or("unknown");
        let claim = &self.claim;
        let mut lines = vec![
            (
                "instance",
                format!("{} in {}, release {release}", self.instance, self.namespace),
            ),
            (
                "claim",
                format!(
                    "{}, {}, {}, {}",
                    claim.name,
                    claim.phase,
                    claim.capacity.clone().unwrap_or_else(unknown),
                    claim.access_modes.join(" ")
                ),
            ),
            (
                "volume",
                self.volume.clone().unwrap_or_else(|| "none".to_owned()),
            ),
            (
                "storage class",
                format!(
                    "{}, provisioner {}",
                    self.storage_class.as_deref().unwrap_or("none"),
                    self.provisioner.as_deref().unwrap_or("unknown")
                ),
            ),
            ("space", self.space_line()),
            ("mounted by", self.mounts_line()),
        ];
        lines.extend(self.backups_lines(wide));
        lines.extend(self.no_websocket.clone().map(|why| ("websocket", why)));
        lines
    }

    fn space_line(&self) -> String {
        match self.space {
            Some(space) => format!(
                "{} used, {} free",
                bytes(space.used_bytes),
                bytes(space.available_bytes)
            ),
            None if self.no_websocket.is_some() => "not known".to_owned(),
            None => "not known without a helper pod; --measure starts one".to_owned(),
        }
    }

    fn mounts_line(&self) -> String {
        if self.mounted_by.is_empty() {
            return "no pod".to_owned();
        }
        let mounts = self.mounted_by.iter().map(|mount| {
            let node = mount.node.as_deref().unwrap_or("no node yet");
            let place = mount.place.as_ref();
            let place = place.map(|place| format!(" at {}", place.path));
            format!("pod {}{} on {node}", mount.pod, place.unwrap_or_default())
        });
        mounts.collect::<Vec<_>>().join(", ")
    }

    fn backups_lines(&self, wide: bool) -> Vec<(&'static str, String)> {
        let Some(backups) = &self.backups else {
            return vec![("backups", "the instance has no backup CronJob".to_owned())];
        };
        let zone = backups
            .time_zone
            .as_deref()
            .unwrap_or("the cluster's time zone, taken for UTC");
        let next = match backups.next {
            _ if backups.suspended => "suspended".to_owned(),
            Some(next) => {
                let wait = next.duration_since(self.now);
                let wait = std::time::Duration::try_from(wait).unwrap_or_default();
                let wait = elapsed(wait);
                if wide {
                    format!("next at {next} (in {wait})")
                } else {
                    format!("next in {wait}")
                }
            }
            None => "the next one cannot be known".to_owned(),
        };
        let jobs = if backups.active_jobs.is_empty() {
            "none".to_owned()
        } else {
            let names: Vec<&str> = backups.active_jobs.iter().map(String::as_str).collect();
            names.join(", ")
        };
        vec![
            (
                "backups",
                format!(
                    "CronJob {}: {} ({zone}), {next}",
                    backups.cron_job, backups.schedule
                ),
            ),
            ("active jobs", jobs),
        ]
    }
}

impl MethodReport {
    fn new(assessment: &Assessment) -> Self {
        let plan = assessment.plan.as_ref();
        Self {
            method: assessment.method,
            possible: plan.is_ok(),
            plan: plan.ok().map(ToString::to_string),
            reasons: plan
                .err()
                .map(|obstacles| obstacles.iter().map(advised).collect())
                .unwrap_or_default(),
        }
    }
}

impl Render for VolumeReport {
    fn human(&self, out: &mut dyn Write, styles: &Styles, wide: bool) -> io::Result<()> {
        for (name, text) in self.lines(wide) {
            writeln!(out, "{name:<16} {}", printable(&text))?;
        }
        writeln!(out)?;
        for method in &self.methods {
            let (word, style) = if self.chosen == Some(method.method) {
                ("chosen", styles.good)
            } else if method.possible {
                ("possible", Style::new())
            } else {
                ("no", styles.faint)
            };
            let text = match &method.plan {
                Some(plan) => plan.clone(),
                None => method.reasons.join("; "),
            };
            writeln!(
                out,
                "via {:<12} {} {}",
                method.method.name(),
                format_args!("{word:<9}").style(style),
                printable(&text)
            )?;
        }
        Ok(())
    }

    fn names(&self) -> Vec<String> {
        vec![self.claim.name.clone()]
    }
}
