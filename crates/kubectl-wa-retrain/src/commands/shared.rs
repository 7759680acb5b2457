//! What several commands take and do.

use std::time::Duration;

use anyhow::ensure;
use clap::value_parser;
use jiff::Timestamp;
use retraining::checks::{self, Purpose};
use retraining::procedure::{
    DEFAULT_PATIENCE, Found, Manner, Ready, SHORTEST_PATIENCE, Session, Start, StartTime, is_open,
};
use retraining::settings::Wanted;
use retraining::start::{DEFAULT_DELAY, Delay, Time};
use retraining::training::Patience;
use wa_common::assistant::Instance;
use wa_common::cli::{Context, DryRun, confirm};
use wa_common::cluster::Cluster;
use wa_common::run::journal::RunContext;

/// Where the operator is.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct OperatorArgs {
    /// Namespace of the operator, where you may not look for it in all namespaces
    #[arg(long, value_name = "NAMESPACE")]
    pub(super) operators_namespace: Option<String>,
}

/// How what changes the cluster is done.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct ChangeArgs {
    /// How long each patch may take to come into effect, or to go; at least 25m without --force [default: 40m]
    #[arg(long, value_name = "DURATION")]
    pub(super) timeout: Option<Delay>,
    /// Take times that are too short by all that is known of operators
    #[arg(long)]
    pub(super) force: bool,
    /// Say what would be done, and change nothing
    #[arg(long, value_name = "client|server", num_args = 0..=1, require_equals = true, default_missing_value = "client", hide_possible_values = true)]
    pub(super) dry_run: Option<DryRun>,
    /// Do not ask
    #[arg(short, long)]
    pub(super) yes: bool,
    #[command(flatten)]
    pub(super) operator: OperatorArgs,
}

/// What is done with patches of others.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct AdoptArgs {
    /// Take over a TemporaryPatch of somebody else that does the same; `finish` then deletes it
    #[arg(long)]
    pub(super) adopt: bool,
}

/// When and how the job starts.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct StartArgs {
    /// Start so long from now; under 30m only with --force [default: 40m]
    #[arg(long = "in", value_name = "DURATION", conflicts_with = "at")]
    delay: Option<Delay>,
    /// Start at that time, such as 2026-12-01T22:00+01:00 or 2026-12-01T22:00[Europe/Berlin]
    #[arg(long, value_name = "TIME")]
    at: Option<Time>,
    /// Models trained at once [default: 2 x training pods]
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=10_000))]
    batch_size: Option<u32>,
    /// Seconds between two batches [default: 60 - batch size, at least 1]
    #[arg(long, value_name = "SECONDS", value_parser = value_parser!(u32).range(1..=86_400))]
    batch_wait: Option<u32>,
    /// Seconds between two trainings [default: 1]
    #[arg(long, value_name = "SECONDS", value_parser = value_parser!(u32).range(1..=86_400))]
    training_wait: Option<u32>,
}

/// How training is watched.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct WatchArgs {
    /// Wait so long for the rest where at most 5 % are missing
    #[arg(long, value_name = "DURATION", default_value = "30m")]
    settle: Delay,
    /// Take training for stalled after so long without a change
    #[arg(long, value_name = "DURATION", default_value = "30m")]
    stall: Delay,
    /// Look so often
    #[arg(long, value_name = "DURATION", default_value = "5s")]
    interval: Delay,
}

impl ChangeArgs {
    pub(super) fn patience(&self) -> anyhow::Result<Duration> {
        let Some(timeout) = self.timeout else {
            return Ok(DEFAULT_PATIENCE);
        };
        let timeout = span(timeout);
        ensure!(
            timeout >= SHORTEST_PATIENCE || self.force,
            "the operator may take 25 minutes until a patch is in force: give a --timeout of at least 25m, or --force"
        );
        Ok(timeout)
    }

    pub(super) fn is_dry(&self) -> bool {
        self.dry_run.is_some_and(DryRun::is_on)
    }
}

impl StartArgs {
    pub(super) fn start(&self, force: bool) -> Start {
        let delay = self.delay.map_or(DEFAULT_DELAY, |delay| delay.0);
        Start {
            time: self
                .at
                .map_or(StartTime::In(delay), |at| StartTime::At(at.0)),
            force,
            wanted: Wanted {
                batch_size: self.batch_size,
                batch_wait: self.batch_wait,
                training_wait: self.training_wait,
            },
        }
    }
}

impl WatchArgs {
    pub(super) fn patience(&self) -> Patience {
        Patience {
            settle: span(self.settle),
            stall: span(self.stall),
        }
    }

    pub(super) fn interval(&self) -> Duration {
        span(self.interval).max(Duration::from_millis(100))
    }
}

fn span(delay: Delay) -> Duration {
    // It was read as one that is not negative.
    Duration::try_from(delay.0).unwrap_or_default()
}

/// What a command works with.
pub(super) struct Work<'a> {
    pub(super) context: &'a Context,
    pub(super) cluster: Cluster,
}

impl<'a> Work<'a> {
    pub(super) fn connect(context: &'a Context) -> anyhow::Result<Self> {
        Ok(Self {
            context,
            cluster: context.connect()?,
        })
    }

    pub(super) fn run_context(&self) -> RunContext<'_> {
        RunContext {
            exit_hooks: &self.context.exit_hooks,
            reporter: &self.context.reporter,
            cluster: &self.cluster,
        }
    }

    pub(super) async fn instance(&self) -> anyhow::Result<Instance> {
        let named = self.context.global.instance.as_deref();
        Ok(Instance::find(&self.cluster, named).await?)
    }

    /// The retraining of the instance that is not over.
    pub(super) async fn open_run(&self, instance: &Instance) -> anyhow::Result<Option<Found>> {
        let found = Session::find(&self.cluster, &instance.name).await?;
        Ok(found.filter(is_open))
    }

    /// Everything that must hold, or one error with everything that does not.
    pub(super) async fn ready(
        &self,
        operator: &OperatorArgs,
        purpose: Purpose,
    ) -> anyhow::Result<Ready> {
        let named = self.context.global.instance.as_deref();
        let namespace = operator.operators_namespace.as_deref();
        checks::check(&self.cluster, named, namespace, purpose)
            .await
            .require()
    }

    pub(super) fn manner(
        command: &str,
        change: &ChangeArgs,
        adopt: bool,
    ) -> anyhow::Result<Manner> {
        Ok(Manner {
            command: format!("kubectl wa-retrain {command}"),
            patience: change.patience()?,
            adopt,
        })
    }
}

/// What IBM's page asks for while the job runs.
pub(super) async fn confirm_quiet(yes: bool) -> anyhow::Result<bool> {
    confirm(
        "Nobody should use the assistants while all models are trained. Is that so, and shall it begin?",
        yes,
    )
    .await
}

/// A point in time, in UTC and, where that is another, in this machine's zone.
pub(super) fn both_zones(time: Timestamp) -> String {
    let utc = time.strftime("%Y-%m-%d %H:%M UTC").to_string();
    let local = time.to_zoned(jiff::tz::TimeZone::system());
    if local.offset() == jiff::tz::Offset::UTC {
        return utc;
    }
    format!("{utc}, {}", local.strftime("%Y-%m-%d %H:%M %Z"))
}
