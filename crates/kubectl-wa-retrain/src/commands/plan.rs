//! `plan`: what does retraining change?

use std::io::{self, Write};

use anyhow::bail;
use clap::value_parser;
use jiff::Timestamp;
use owo_colors::OwoColorize as _;
use retraining::plan::{Plan, Present};
use retraining::procedure::Start;
use retraining::schedule::Schedule;
use retraining::start::{DEFAULT_DELAY, Delay, Time, schedule};
use serde::Serialize;
use serde_json::Value;
use wa_common::assistant::Instance;
use wa_common::cli::{Context, Exit, Render};
use wa_common::report::{Event, Styles, printable};

use super::estimate::MOST_PODS;
use super::shared::{Work, both_zones};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "No Deployment gets fewer replicas than it has. With --manifests, only the TemporaryPatches are printed, for \
                  `kubectl create -f -`; that is refused (exit code 4) where something stands in the way."
)]
pub(super) struct Args {
    /// Number of training pods; the other replicas follow from it
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=MOST_PODS))]
    replicas: u32,
    /// Start so long from now [default: 40m]
    #[arg(long = "in", value_name = "DURATION", conflicts_with = "at")]
    delay: Option<Delay>,
    /// Start at that time, such as 2026-12-01T22:00+01:00 or 2026-12-01T22:00[Europe/Berlin]
    #[arg(long, value_name = "TIME")]
    at: Option<Time>,
    /// Plan a start that is less than 30 minutes away
    #[arg(long)]
    force: bool,
    /// Print only the patches, as YAML
    #[arg(long)]
    manifests: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    instance: String,
    namespace: String,
    release: Option<String>,
    start: Timestamp,
    #[serde(flatten)]
    plan: Plan,
}

/// The patches alone.
#[derive(Serialize)]
#[serde(transparent)]
struct Manifests(Value);

pub(super) async fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let schedule = args.schedule()?;
    let cluster = context.connect()?;
    let instance = Instance::find(&cluster, context.global.instance.as_deref()).await?;
    let present = Present::read(&cluster, &instance).await?;
    let plan = Plan::new(&instance, &present, args.replicas, schedule);
    if args.manifests {
        return print_manifests(plan, context);
    }
    print_plan(instance, schedule, plan, context)
}

/// What `--dry-run` of the commands that do it prints.
pub(super) async fn show(
    work: &Work<'_>,
    training_pods: u32,
    start: Option<Start>,
) -> anyhow::Result<Exit> {
    let now = Timestamp::now();
    let schedule = match start {
        Some(start) => start.schedule(now)?,
        None => Schedule::at(now.checked_add(DEFAULT_DELAY)?)?,
    };
    let instance = work.instance().await?;
    let present = Present::read(&work.cluster, &instance).await?;
    let plan = Plan::new(&instance, &present, training_pods, schedule);
    print_plan(instance, schedule, plan, work.context)
}

fn print_plan(
    instance: Instance,
    schedule: Schedule,
    plan: Plan,
    context: &Context,
) -> anyhow::Result<Exit> {
    context.print(&Report {
        instance: instance.name,
        namespace: instance.namespace,
        release: instance.release,
        start: schedule.time(),
        plan,
    })?;
    Ok(Exit::Done)
}

/// What would do harm is not handed out.
fn print_manifests(plan: Plan, context: &Context) -> anyhow::Result<Exit> {
    if plan.obstacles.is_empty() {
        context.print(&Manifests(plan.manifests))?;
        return Ok(Exit::Done);
    }
    for message in plan.obstacles {
        let leftovers = Vec::new();
        context
            .reporter
            .report(&Event::Failure { message, leftovers });
    }
    Ok(Exit::Refused)
}

impl Args {
    fn schedule(&self) -> anyhow::Result<Schedule> {
        let now = Timestamp::now();
        let delay = self.delay.map_or(DEFAULT_DELAY, |delay| delay.0);
        let time = match self.at {
            Some(time) => time.0,
            None => now.checked_add(delay)?,
        };
        match schedule(time, now, self.force) {
            Ok(schedule) => Ok(schedule),
            Err(error) if self.force => bail!(error),
            Err(error) => bail!("{error}; choose a later --in or --at"),
        }
    }
}

impl Render for Report {
    fn human(&self, out: &mut dyn Write, styles: &Styles, _wide: bool) -> io::Result<()> {
        let plan = &self.plan;
        let release = self.release.as_deref().unwrap_or("unknown");
        let instance = format!("{} in {}, release {release}", self.instance, self.namespace);
        for (label, value) in [("instance", instance), ("start", both_zones(self.start))] {
            let label = format!("{label:<14}");
            writeln!(out, "{}{}", label.style(styles.faint), printable(&value))?;
        }
        writeln!(out, "\n{}", self.replicas(styles))?;
        let patch = "store-admin-env-vars";
        let heading = format!(
            "Variables of {0}-store-admin, by {0}-{patch}",
            self.instance
        );
        writeln!(out, "\n{}", printable(&heading).style(styles.heading))?;
        for variable in &plan.variables {
            let old = variable.old.as_deref().unwrap_or("not set");
            let (name, new) = (variable.name, &variable.new);
            writeln!(out, "  {name}: {} → {new}", printable(old))?;
        }
        for (label, style, texts) in [
            ("in the way:", styles.bad, &plan.obstacles),
            ("note:", styles.warning, &plan.notes),
        ] {
            for text in texts {
                writeln!(out, "\n{} {}", label.style(style), printable(text))?;
            }
        }
        Ok(())
    }

    fn names(&self) -> Vec<String> {
        patch_names(&self.plan.manifests)
    }
}

impl Report {
    fn replicas(&self, styles: &Styles) -> String {
        let rows = self.plan.replicas.iter().map(|change| {
            let room = match change.without_room {
                Some(0) => "yes".to_owned(),
                Some(count) => format!("{count} too many"),
                None => "not known".to_owned(),
            };
            [
                change.deployment.clone(),
                change.old.to_string(),
                change.new.to_string(),
                change.patch.clone(),
                room,
            ]
        });
        styles.table(&["DEPLOYMENT", "OLD", "NEW", "PATCH", "ROOM"], rows)
    }
}

impl Render for Manifests {
    fn human(&self, out: &mut dyn Write, _styles: &Styles, _wide: bool) -> io::Result<()> {
        let yaml = serde_saphyr::to_string(&self.0).map_err(io::Error::other)?;
        writeln!(out, "{}", yaml.trim_end())
    }

    /// YAML is copied as it is.
    fn wraps(&self) -> bool {
        false
    }

    fn names(&self) -> Vec<String> {
        patch_names(&self.0)
    }
}

fn patch_names(manifests: &Value) -> Vec<String> {
    let items = manifests["items"].as_array().into_iter().flatten();
    let names = items.filter_map(|item| item["metadata"]["name"].as_str());
    names
        .map(|name| format!("temporarypatches.assistant.watson.ibm.com/{name}"))
        .collect()
}
