//! `estimate`: how long does retraining take?

use std::io::{self, Write};
use std::time::Duration;

use clap::value_parser;
use jiff::Timestamp;
use owo_colors::OwoColorize as _;
use retraining::component::Component;
use retraining::estimate::{Counted, Estimate, Present, Request, Row, processors};
use retraining::formula::MOST_WORKSPACES;
use serde::Serialize;
use wa_common::assistant::Instance;
use wa_common::cli::{Context, Exit, Render};
use wa_common::report::{Styles, bytes, elapsed, printable};

/// The most training pods that are reckoned with.
pub(super) const MOST_PODS: i64 = 1000;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "The time is IBM's formula: workspaces x 60 / (training pods x 2) + workspaces x 2 seconds, in whole numbers. \
                  The job starts up to 25 minutes after it is asked for: so long the operator may take."
)]
pub(super) struct Args {
    /// Numbers of training pods to estimate for, beside the present one
    #[arg(
        long,
        value_name = "N,…",
        value_delimiter = ',',
        default_value = "5,10,15",
        value_parser = value_parser!(u32).range(1..=MOST_PODS)
    )]
    pods: Vec<u32>,
    /// Number of workspaces, instead of counting them: no cluster is asked then
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(..=MOST_WORKSPACES))]
    workspaces: Option<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<Source>,
    #[serde(flatten)]
    estimate: Estimate,
}

/// Where the number of workspaces comes from.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Source {
    instance: String,
    namespace: String,
    release: Option<String>,
    etcd_pod: String,
    prefix: String,
}

pub(super) async fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let report = match args.workspaces {
        Some(workspaces) => Report {
            source: None,
            estimate: Estimate::new(workspaces, &args.pods, None, Timestamp::now()),
        },
        None => on_cluster(args, context).await?,
    };
    context.print(&report)?;
    Ok(Exit::Done)
}

async fn on_cluster(args: &Args, context: &Context) -> anyhow::Result<Report> {
    let cluster = context.connect()?;
    let instance = Instance::find(&cluster, context.global.instance.as_deref()).await?;
    let counted = Counted::read(&cluster, &instance).await?;
    let present = Present::read(&cluster, &instance).await?;
    Ok(Report {
        estimate: Estimate::new(
            counted.workspaces,
            &args.pods,
            Some(&present),
            Timestamp::now(),
        ),
        source: Some(Source {
            instance: instance.name,
            namespace: instance.namespace,
            release: instance.release,
            etcd_pod: counted.pod,
            prefix: counted.prefix,
        }),
    })
}

impl Render for Report {
    fn human(&self, out: &mut dyn Write, styles: &Styles, wide: bool) -> io::Result<()> {
        let workspaces = self.estimate.workspaces;
        let mut line = |label: &str, value: &str| {
            let label = format!("{label:<14}");
            writeln!(out, "{}{}", label.style(styles.faint), printable(value))
        };
        match &self.source {
            Some(source) => {
                let release = source.release.as_deref().unwrap_or("unknown");
                line(
                    "instance",
                    &format!(
                        "{} in {}, release {release}",
                        source.instance, source.namespace
                    ),
                )?;
                line(
                    "workspaces",
                    &format!(
                        "{workspaces}, counted by etcd through pod {}",
                        source.etcd_pod
                    ),
                )?;
            }
            None => line("workspaces", &format!("{workspaces}, as given"))?,
        }
        if let Some(pod) = self.estimate.training_pod {
            line("training pod", &asked_for(pod))?;
        }
        if workspaces == 0 {
            writeln!(out, "\nThere is nothing to train.")?;
            if let Some(source) = &self.source {
                writeln!(out, "etcd has no key under {}.", printable(&source.prefix))?;
            }
            return Ok(());
        }
        writeln!(out, "\n{}", self.rows(styles, wide))?;
        if let Some(room) = self.room(styles) {
            writeln!(out, "\n{room}")?;
        }
        for note in &self.estimate.notes {
            writeln!(
                out,
                "\n{} {}",
                "note:".style(styles.warning),
                printable(note)
            )?;
        }
        Ok(())
    }

    fn names(&self) -> Vec<String> {
        let rows = self.estimate.rows.iter();
        rows.map(|row| row.training_pods.to_string()).collect()
    }
}

impl Report {
    /// With `wide`, the seconds too, as IBM's script prints them.
    fn rows(&self, styles: &Styles, wide: bool) -> String {
        let mut header = vec![
            "PODS",
            "TAKES",
            "DONE (UTC)",
            "TFMM",
            "DRAGONFLY",
            "EMBEDDING",
            "TRITON",
        ];
        header.extend(wide.then_some("SECONDS"));
        let rows = self.estimate.rows.iter().map(|row| {
            let done = row
                .done
                .map(|done| done.strftime("%Y-%m-%d %H:%M").to_string());
            let mut cells = vec![
                pods(row),
                or_dash(row.duration_seconds.map(takes)),
                or_dash(done),
            ];
            let dependent = row
                .replicas
                .iter()
                .filter(|one| one.component != Component::Training);
            cells.extend(dependent.map(|one| one.replicas.to_string()));
            if wide {
                cells.push(or_dash(
                    row.duration_seconds.map(|seconds| seconds.to_string()),
                ));
            }
            cells
        });
        styles.table(&header, rows)
    }

    /// What the training pods ask for, where a cluster says so.
    fn room(&self, styles: &Styles) -> Option<String> {
        self.estimate.training_pod?;
        let rows = self.estimate.rows.iter().map(|row| {
            let request = row
                .requests
                .map_or_else(|| ["-".to_owned(), "-".to_owned()], amounts);
            let room = match row.has_room {
                Some(true) => "yes",
                Some(false) => "no",
                None => "not known",
            };
            let [cpu, memory] = request;
            [pods(row), cpu, memory, room.to_owned()]
        });
        Some(styles.table(&["PODS", "CPUS", "MEMORY", "ROOM ON THE NODES"], rows))
    }
}

fn or_dash(text: Option<String>) -> String {
    text.unwrap_or_else(|| "-".to_owned())
}

fn pods(row: &Row) -> String {
    let now = if row.current { " (now)" } else { "" };
    format!("{}{now}", row.training_pods)
}

fn amounts(request: Request) -> [String; 2] {
    [processors(request.cpu_millis), bytes(request.memory_bytes)]
}

fn asked_for(request: Request) -> String {
    if request.cpu_millis == 0 && request.memory_bytes == 0 {
        return "asks for no CPU and no memory".to_owned();
    }
    let [cpu, memory] = amounts(request);
    format!("asks for {cpu} CPUs and {memory}")
}

/// As people say it; less than a minute has no parts of a second.
fn takes(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        _ => elapsed(Duration::from_secs(seconds)),
    }
}
