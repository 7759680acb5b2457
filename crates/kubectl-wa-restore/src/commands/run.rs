//! `run`: the whole restore.

use anyhow::Context as _;
use store_restore::checks::{self, Facts, MappingChoice, Options};
use store_restore::procedure::{self, Begin, Phase, begin_phase};
use wa_common::assistant::Instance;
use wa_common::cli::{Context, DryRun, Exit, Terminal};
use wa_common::cluster::Cluster;
use wa_common::preflight::Preflight;
use wa_common::report::{Event, Reporter, count};
use wa_common::run::journal::RunContext;

use super::changes::{Changes, Kept};
use super::consent::Consent;
use super::ended;
use super::inputs::InputArgs;
use super::interactive;
use super::other_run;
use super::plan::{self, Trial};
use super::restore_args::RestoreArgs;
use super::safety_backup::Safety;

/// The argument that names the backup.
pub(super) const BACKUP: &str = "backup";

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Everything is checked before anything is changed, and you are asked. From the step \"quiesce\" to \"resume service\" production \
is down. Every step is written into the configmap wa-restore-INSTANCE before it is taken: whatever happens to this machine, \
`kubectl wa-restore status` says where the restore is, from any machine, and `resume` or `rollback` goes on from there.

What stands after `--` is given to pgmig as it is."
)]
pub(super) struct Args {
    #[command(flatten)]
    restore: RestoreArgs,
    #[command(flatten)]
    inputs: InputArgs,
    #[command(flatten)]
    consent: Consent,
    /// Ask which service instance becomes which, while everything still runs
    #[arg(long, conflicts_with_all = ["mapping", "dry_run"])]
    interactive: bool,
    /// Take no backup of the current database first
    #[arg(long)]
    no_safety_backup: bool,
    /// Keep the target's encryption key though the backup's differs
    #[arg(long)]
    keep_encryption_key: bool,
    /// Only say what would be done, as `plan` does; `server` also has the API server say what it would refuse
    #[arg(long, value_name = "client|server", num_args = 0..=1, require_equals = true, default_missing_value = "client", hide_possible_values = true)]
    dry_run: Option<DryRun>,
    /// Arguments for pgmig, after `--`
    #[arg(last = true, value_name = "PGMIG_ARGUMENTS")]
    pgmig_arguments: Vec<String>,
}

impl Args {
    /// What is tried in place of a restore; none where it is meant.
    fn trial(&self) -> Option<Trial> {
        match self.dry_run {
            None | Some(DryRun::None) => None,
            Some(DryRun::Client) => Some(Trial::None),
            Some(DryRun::Server) => Some(Trial::Changes {
                keep_encryption_key: self.keep_encryption_key,
            }),
        }
    }

    fn kept(&self) -> Kept {
        Kept {
            encryption_key: self.keep_encryption_key,
            safety_backup: !self.no_safety_backup,
        }
    }
}

pub(super) async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    if let Some(trial) = args.trial() {
        return plan::show(&args.restore, trial, context).await;
    }
    let command = format!("kubectl wa-restore run {}", args.restore.backup_as_given());
    let recipients = args.restore.recipients()?;
    let bucket = args.restore.bucket(context)?;
    let mut options = args.restore.options(bucket.clone())?;
    let terminal = if args.interactive {
        options.mapping = MappingChoice::Asked;
        Some(interactive::terminal(context)?)
    } else {
        None
    };
    let cluster = context.connect()?;
    let named = context.global.instance.as_deref();
    // Where there is none, the conditions say so. What another restore has stopped would be a puzzle to them.
    if let Ok(instance) = Instance::find(&cluster, named).await {
        args.consent.require_fits(&instance.name)?;
        other_run::require_none(&cluster, &instance.name).await?;
    }

    let mut facts = match preflight(&cluster, context, &options).await? {
        Ok(facts) => facts,
        Err(refused) => return Ok(refused),
    };
    let instance = facts.instance.as_ref().context("no instance")?.name.clone();
    confirm(&args, context, &options, &mut facts, terminal).await?;
    let form = facts
        .rc_form
        .context("no form of resourceController.yaml")?;
    let log_to = args.inputs.log_to().to_owned();
    let inputs = args.inputs.for_form(form, options.opener.clone()).await?;

    let safety = if args.no_safety_backup {
        begin_phase(&*context.reporter, Phase::SafetyBackup).skipped("as asked for");
        None
    } else {
        let taking = Safety {
            place: &options.safety,
            bucket: &bucket,
            recipients,
            database_bytes: facts.database_bytes.unwrap_or_default(),
        };
        Some(taking.take(&cluster, context, &instance).await?)
    };

    let step = begin_phase(&*context.reporter, Phase::Lock);
    let run_context = RunContext {
        exit_hooks: &context.exit_hooks,
        reporter: &context.reporter,
        cluster: &cluster,
    };
    let begin = Begin {
        options: &options,
        facts: &facts,
        safety,
        pgmig_arguments: args.pgmig_arguments,
        log_to: &log_to,
        keep_encryption_key: args.keep_encryption_key,
        command,
    };
    let run = procedure::begin_run(run_context, begin).await?;
    step.done(format!("run {}", run.run_id()));

    ended::go_on(context, &cluster, &inputs, run).await
}

/// Everything that is to be known before anything changes; the exit code, where a condition that does not hold was printed.
async fn preflight(
    cluster: &Cluster,
    context: &Context,
    options: &Options,
) -> anyhow::Result<Result<Facts, Exit>> {
    let reporter = &*context.reporter;
    let step = begin_phase(reporter, Phase::Preflight);
    let checked = checks::run(cluster, context.global.instance.as_deref(), options).await;
    if !checked.passed() {
        step.failed("nothing was changed");
        let report = context.check_report(cluster.namespace(), checked.conditions);
        context.print(&report)?;
        return Ok(Err(report.exit(Exit::Refused)));
    }
    tell_remarks(reporter, &checked.conditions);
    let conditions = checked.conditions.checks().len();
    step.done(format!("{} hold", count(conditions as u64, "condition")));
    Ok(Ok(checked.facts))
}

/// Says what will be changed; an error unless the user agrees. On a terminal the mapping is asked for before.
async fn confirm(
    args: &Args,
    context: &Context,
    options: &Options,
    facts: &mut Facts,
    terminal: Option<Terminal>,
) -> anyhow::Result<()> {
    let step = begin_phase(&*context.reporter, Phase::Confirm);
    if let Some(terminal) = terminal {
        let proposed = facts.mapping.take().unwrap_or_default();
        let log_to = args.inputs.log_to();
        facts.mapping = Some(interactive::ask(context, terminal, proposed, log_to).await?);
    }
    Changes::new(facts, &options.safety, args.kept()).tell(&*context.reporter);
    let question = "Everything in this database is erased, and production stops.";
    let instance = facts.instance.as_ref().context("no instance")?;
    args.consent.ask(context, &instance.name, question).await?;
    step.done("");
    Ok(())
}

fn tell_remarks(reporter: &dyn Reporter, conditions: &Preflight) {
    for check in conditions.checks() {
        for remark in &check.remarks {
            reporter.report(&Event::Warning {
                message: format!("{}: {remark}", check.name),
            });
        }
    }
}
