//! `run`: the whole restore.

use anyhow::Context as _;
use backup_places::Bucket;
use backup_set::{DirectoryStore, EncryptedStore, Recipients, Store, ToolRecord};
use store_restore::checks::{self, Facts, MappingChoice, Options, SafetyPlace};
use store_restore::procedure::{self, Begin, Phase, SafetyBackup, SafetyRecord, begin_phase};
use wa_common::assistant::Instance;
use wa_common::cli::{Context, DryRun, Exit};
use wa_common::cluster::Cluster;
use wa_common::preflight::Preflight;
use wa_common::report::{Event, Reporter, bytes, count};
use wa_common::run::journal::RunContext;

use super::consent::Consent;
use super::ended;
use super::inputs::InputArgs;
use super::interactive;
use super::other_run;
use super::plan::{self, Trial};
use super::restore_args::RestoreArgs;

/// What every restore costs beside pgmig itself: pods that go and come.
const LEAST_MINUTES: u64 = 5;
/// How much of a dump pgmig restores in a minute, at the least that was seen.
const BYTES_A_MINUTE: u64 = 200 << 20;

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

pub(super) async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    let trial = match args.dry_run {
        None | Some(DryRun::None) => None,
        Some(DryRun::Client) => Some(Trial::None),
        Some(DryRun::Server) => Some(Trial::Changes {
            keep_encryption_key: args.keep_encryption_key,
        }),
    };
    if let Some(trial) = trial {
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
    let reporter = &*context.reporter;

    let named = context.global.instance.as_deref();
    // Where there is none, the conditions say so. What another restore has stopped would be a puzzle to them.
    if let Ok(instance) = Instance::find(&cluster, named).await {
        args.consent.require_fits(&instance.name)?;
        other_run::require_none(&cluster, &instance.name).await?;
    }

    let step = begin_phase(reporter, Phase::Preflight);
    let mut checked = checks::run(&cluster, named, &options).await;
    if !checked.passed() {
        step.failed("nothing was changed");
        let report = context.check_report(cluster.namespace(), checked.conditions);
        context.print(&report)?;
        return Ok(report.exit(Exit::Refused));
    }
    let mut facts = std::mem::take(&mut checked.facts);
    let instance = facts.instance.as_ref().context("no instance")?.name.clone();
    tell_remarks(reporter, &checked.conditions);
    let conditions = checked.conditions.checks().len();
    step.done(format!("{} hold", count(conditions as u64, "condition")));

    let step = begin_phase(reporter, Phase::Confirm);
    if let Some(terminal) = terminal {
        let proposed = facts.mapping.take().unwrap_or_default();
        let log_to = args.inputs.log_to();
        facts.mapping = Some(interactive::ask(context, terminal, proposed, log_to).await?);
    }
    let changes = Changes::from_facts(&facts, &options, &args);
    changes.tell(reporter);
    let question = "Everything in this database is erased, and production stops.";
    args.consent.ask(context, &instance, question).await?;
    step.done("");
    let form = facts
        .rc_form
        .context("no form of resourceController.yaml")?;
    let log_to = args.inputs.log_to().to_owned();
    let inputs = args.inputs.for_form(form, options.opener.clone()).await?;

    let safety = if args.no_safety_backup {
        begin_phase(reporter, Phase::SafetyBackup).skipped("as asked for");
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

    let step = begin_phase(reporter, Phase::Lock);
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

/// The backup of the current database.
struct Safety<'a> {
    place: &'a SafetyPlace,
    /// Where that is in one.
    bucket: &'a Bucket,
    /// Who can read it, where it is encrypted.
    recipients: Option<Recipients>,
    database_bytes: u64,
}

impl Safety<'_> {
    async fn take(
        self,
        cluster: &Cluster,
        context: &Context,
        instance: &str,
    ) -> anyhow::Result<SafetyRecord> {
        let step = begin_phase(&*context.reporter, Phase::SafetyBackup);
        let (to, bucket) = (&self.place.to, self.bucket);
        let taken = match bucket.store_to_write(to, self.database_bytes, context)? {
            Some(store) => self.take_into(store, cluster, context, instance).await,
            None => {
                self.take_into(DirectoryStore::new(to), cluster, context, instance)
                    .await
            }
        };
        let safety = taken.context("there is no safety backup, and nothing was stopped")?;
        step.done(safety.path.clone());
        Ok(safety)
    }

    async fn take_into(
        self,
        store: impl Store,
        cluster: &Cluster,
        context: &Context,
        instance: &str,
    ) -> anyhow::Result<SafetyRecord> {
        let tool = ToolRecord {
            name: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let reporter = &*context.reporter;
        if let Some(recipients) = self.recipients {
            let store = EncryptedStore::new(store, recipients);
            let backup = SafetyBackup { store, tool };
            return backup.take(cluster, reporter, instance).await;
        }
        let backup = SafetyBackup { store, tool };
        backup.take(cluster, reporter, instance).await
    }
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

/// What the user agrees to, a line each.
struct Changes(Vec<(&'static str, String)>);

impl Changes {
    fn from_facts(facts: &Facts, options: &Options, args: &Args) -> Self {
        let mut lines = Vec::new();
        if let (Some(instance), Some(datastore)) = (&facts.instance, &facts.datastore) {
            lines.push((
                "erased",
                format!(
                    "database {} of {} in {}",
                    datastore.database, instance.name, instance.namespace
                ),
            ));
        }
        if let Some(source) = &facts.source {
            lines.push((
                "restored",
                format!("{}, {}", source.path.display(), source.counts),
            ));
        }
        if let Some(mapping) = &facts.mapping {
            lines.extend(mapping.pairs.iter().map(|pair| {
                let named = store_restore::mapping::named;
                let text = if pair.source.id == pair.target.id {
                    format!("{} {}", pair.source.id, named(&pair.source))
                } else {
                    format!(
                        "{} {} -> {} {}",
                        pair.source.id,
                        named(&pair.source),
                        pair.target.id,
                        named(&pair.target)
                    )
                };
                ("instance", text)
            }));
            lines.extend(mapping.targets_left.iter().map(|target| {
                (
                    "erased",
                    format!(
                        "{} {}, for which the backup has nothing",
                        target.id,
                        store_restore::mapping::named(target)
                    ),
                )
            }));
        }
        for stopped in facts.stores.iter().flatten().chain(&facts.operator) {
            lines.push((
                "stops",
                format!("{} in {}", stopped.in_words(), stopped.namespace),
            ));
        }
        if facts.key_differs {
            lines.push((
                "encryption key",
                if args.keep_encryption_key {
                    "kept, though the backup's differs: restored data cannot be read".to_owned()
                } else {
                    "replaced by the backup's; the old one is kept".to_owned()
                },
            ));
        }
        lines.push((
            "safety backup",
            if args.no_safety_backup {
                "none: without room for a copy in the server there is no way back".to_owned()
            } else {
                let place = &options.safety;
                let keys = place.encrypt_to.len() + place.recipients_files.len();
                let encrypted = if keys > 0 { ", encrypted" } else { "" };
                format!("into {}{encrypted}", place.to.display())
            },
        ));
        if let Some(source) = &facts.source {
            let minutes = LEAST_MINUTES + source.bytes / BYTES_A_MINUTE;
            lines.push((
                "production down",
                format!(
                    "about {} for {}, if nothing goes wrong",
                    count(minutes, "minute"),
                    bytes(source.bytes)
                ),
            ));
        }
        Self(lines)
    }

    fn tell(&self, reporter: &dyn Reporter) {
        for (step, detail) in &self.0 {
            reporter.report(&Event::Step {
                step,
                detail: detail.clone(),
            });
        }
    }
}
