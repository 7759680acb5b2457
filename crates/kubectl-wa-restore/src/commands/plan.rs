//! `plan`: the whole restore as commands.

use std::io::{self, Write};
use std::path::PathBuf;

use owo_colors::OwoColorize as _;
use serde::Serialize;
use store_restore::checks;
use store_restore::plan::{self, Step};
use store_restore::procedure::try_changes;
use wa_common::cli::{Context, Exit, Render};
use wa_common::preflight::{Check, CheckResult};
use wa_common::report::{Styles, count, printable, printable_lines};
use wa_common::run::journal::Tried;

use super::other_run;
use super::restore_args::RestoreArgs;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Changes nothing. Everything is looked at as `check` does, and then written down as the commands of IBM's procedure, \
for you to run one by one. No secret stands in them. What is not known stands in capitals between < and >. Exit code 4 when \
something stands in the way: the plan is written all the same, with what it is in front of it."
)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) restore: RestoreArgs,
}

#[derive(Serialize)]
struct Plan {
    backup: PathBuf,
    ok: bool,
    /// What stands in the way, and what must be known.
    checks: Vec<Check>,
    steps: Vec<Step>,
    /// What the API server says to the changes, where it was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<Vec<Tried>>,
}

/// What the API server is asked for beside.
pub(super) enum Trial {
    /// Nothing.
    None,
    /// Every change of a restore, without making it.
    Changes {
        /// Whether the target keeps its encryption key.
        keep_encryption_key: bool,
    },
}

pub(super) async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    show(&args.restore, Trial::None, context).await
}

/// Prints the plan, and asks the API server for what `trial` says.
pub(super) async fn show(
    restore: &RestoreArgs,
    trial: Trial,
    context: &Context,
) -> anyhow::Result<Exit> {
    let options = restore.options(restore.bucket(context)?)?;
    let cluster = context.connect()?;
    let mut checked = checks::run(&cluster, context.global.instance.as_deref(), &options).await;
    other_run::check(&cluster, &mut checked).await;
    let mut report = context.check_report(cluster.namespace(), checked.conditions);
    let server = match trial {
        Trial::None => None,
        Trial::Changes {
            keep_encryption_key,
        } => Some(try_changes(&cluster, &checked.facts, keep_encryption_key).await?),
    };
    let mut tried = server.iter().flatten();
    let exit = if tried.any(|one| one.refusal.is_some()) {
        Exit::Refused
    } else {
        report.exit(Exit::Refused)
    };
    let notable = [CheckResult::Failed, CheckResult::Warning];
    report
        .checks
        .retain(|check| notable.contains(&check.result));
    context.print(&Plan {
        ok: exit == Exit::Done,
        steps: plan::steps(&options, &checked.facts),
        checks: report.checks,
        backup: options.backup,
        server,
    })?;
    Ok(exit)
}

/// Every line is a comment or a command, so that the whole can be read, and taken apart, as a shell script.
impl Render for Plan {
    fn human(&self, out: &mut dyn Write, styles: &Styles, _wide: bool) -> io::Result<()> {
        let backup = self.backup.display().to_string();
        writeln!(
            out,
            "# Restore of {}. Run the commands one by one, and read what each prints before the next.",
            printable(&backup)
        )?;
        for check in &self.checks {
            let (word, style) = match check.result {
                CheckResult::Failed => ("STANDS IN THE WAY", styles.bad),
                _ => ("to know", styles.warning),
            };
            let word = word.style(style);
            // Of what holds, only the remarks.
            let failed = (check.result == CheckResult::Failed).then_some(&check.detail);
            for text in failed.into_iter().chain(&check.remarks) {
                let text = format!("{word}: {}: {}", check.name, printable_lines(text));
                write_comment(out, styles, &text)?;
            }
        }
        let steps = self.steps.len();
        for (number, step) in self.steps.iter().enumerate() {
            let heading = format!("# Step {} of {steps}: {}", number + 1, step.name);
            writeln!(out, "\n{}", heading.style(styles.heading))?;
            write_comment(out, styles, &printable_lines(&step.about))?;
            for command in &step.commands {
                writeln!(out, "{}", printable(command))?;
            }
        }
        if let Some(tried) = &self.server {
            write_answers(tried, out, styles)?;
        }
        Ok(())
    }

    /// Commands are copied as they are, and may take several lines.
    fn wraps(&self) -> bool {
        false
    }

    fn names(&self) -> Vec<String> {
        let steps = self.steps.iter();
        steps.map(|step| step.name.to_owned()).collect()
    }
}

fn write_answers(tried: &[Tried], out: &mut dyn Write, styles: &Styles) -> io::Result<()> {
    let heading = "# What the API server says to the changes (dryRun=All: nothing was changed)";
    writeln!(out, "\n{}", heading.style(styles.heading))?;
    for one in tried {
        let what = format!("{} in {}", one.change, one.namespace);
        match &one.refusal {
            None => writeln!(out, "# {} {what}", "accepted".style(styles.good))?,
            Some(why) => {
                let word = "REFUSED ".style(styles.bad);
                writeln!(out, "# {word} {what}: {}", printable(why))?;
            }
        }
    }
    let refused = tried.iter().filter(|one| one.refusal.is_some()).count();
    let all = count(tried.len() as u64, "change");
    match refused {
        0 => writeln!(out, "# All of {all} would be accepted."),
        refused => writeln!(out, "# {refused} of {all} would be refused."),
    }
}

fn write_comment(out: &mut dyn Write, styles: &Styles, text: &str) -> io::Result<()> {
    let mut lines = text.lines().flat_map(|line| styles.wrapped(line, 2));
    lines.try_for_each(|line| writeln!(out, "# {line}"))
}
