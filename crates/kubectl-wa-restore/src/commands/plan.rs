//! `plan`: the whole restore as commands.

use std::io::{self, Write};
use std::path::PathBuf;

use owo_colors::OwoColorize as _;
use serde::Serialize;
use store_restore::checks::{self, Check, CheckResult};
use store_restore::plan::{self, Step};
use wa_common::cli::{Context, Exit, Render};
use wa_common::report::{Styles, printable, printable_lines};

use super::restore_args::RestoreArgs;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Changes nothing. Everything is looked at as `check` does, and then written down as the commands of IBM's procedure, \
for you to run one by one. No secret stands in them. What is not known stands in capitals between < and >. Exit code 4 when \
something stands in the way: the plan is written all the same, with what it is in front of it."
)]
pub(super) struct Args {
    #[command(flatten)]
    restore: RestoreArgs,
}

#[derive(Serialize)]
struct Plan {
    backup: PathBuf,
    ok: bool,
    /// What stands in the way, and what must be known.
    checks: Vec<Check>,
    steps: Vec<Step>,
}

pub(super) async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    let options = args.restore.options()?;
    let cluster = context.connect()?;
    let mut checked = checks::run(&cluster, context.global.instance.as_deref(), &options).await;
    let ok = checked.passed();
    let notable = [CheckResult::Failed, CheckResult::Warning];
    checked
        .checks
        .retain(|check| notable.contains(&check.result));
    context.print(&Plan {
        ok,
        steps: plan::steps(&options, &checked.facts),
        checks: checked.checks,
        backup: options.backup,
    })?;
    Ok(if ok { Exit::Done } else { Exit::Refused })
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
            write_comment(
                out,
                &format!(
                    "{}: {}: {}",
                    word.style(style),
                    check.name,
                    printable_lines(&check.detail)
                ),
            )?;
        }
        let steps = self.steps.len();
        for (number, step) in self.steps.iter().enumerate() {
            let heading = format!("# Step {} of {steps}: {}", number + 1, step.name);
            writeln!(out, "\n{}", heading.style(styles.heading))?;
            write_comment(out, &printable_lines(&step.about))?;
            for command in &step.commands {
                writeln!(out, "{}", printable(command))?;
            }
        }
        Ok(())
    }

    fn names(&self) -> Vec<String> {
        let steps = self.steps.iter();
        steps.map(|step| step.name.to_owned()).collect()
    }
}

fn write_comment(out: &mut dyn Write, text: &str) -> io::Result<()> {
    text.lines().try_for_each(|line| writeln!(out, "# {line}"))
}
