//! `check`: would a restore work?

use std::io::{self, Write};

use owo_colors::OwoColorize as _;
use serde::Serialize;
use store_restore::checks::{self, Check, CheckResult};
use wa_common::cli::{Context, Exit, Render};
use wa_common::report::{Styles, printable};

use super::restore_args::RestoreArgs;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Changes nothing. The dump is read from end to end. Exit code 0: nothing stands in the way; 4: something does, \
and every line that says FAILED tells what and what to do."
)]
pub(super) struct Args {
    #[command(flatten)]
    restore: RestoreArgs,
}

#[derive(Serialize)]
struct Report {
    namespace: String,
    ok: bool,
    checks: Vec<Check>,
}

pub(super) async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    let options = args.restore.options()?;
    let cluster = context.connect()?;
    let checked = checks::run(&cluster, context.global.instance.as_deref(), &options).await;
    let report = Report {
        namespace: cluster.namespace().to_owned(),
        ok: checked.passed(),
        checks: checked.checks,
    };
    context.print(&report)?;
    Ok(if report.ok { Exit::Done } else { Exit::Refused })
}

impl Render for Report {
    fn human(&self, out: &mut dyn Write, styles: &Styles, _wide: bool) -> io::Result<()> {
        write_checks(out, styles, &self.checks)?;
        let failed = self.names().len();
        if failed > 0 {
            writeln!(
                out,
                "\n{}",
                "A restore would be refused: see the lines that say FAILED.".style(styles.bad)
            )?;
        }
        Ok(())
    }

    fn names(&self) -> Vec<String> {
        let failed = self
            .checks
            .iter()
            .filter(|check| check.result == CheckResult::Failed);
        failed.map(|check| check.name.to_owned()).collect()
    }
}

/// A line for each check, its further lines below its first.
fn write_checks(out: &mut dyn Write, styles: &Styles, checks: &[Check]) -> io::Result<()> {
    let width = checks.iter().map(|check| check.name.len()).max();
    let width = width.unwrap_or_default();
    for check in checks {
        let (word, style) = match check.result {
            CheckResult::Ok => ("ok", styles.good),
            CheckResult::Warning => ("warning", styles.warning),
            CheckResult::Failed => ("FAILED", styles.bad),
            CheckResult::Skipped => ("skipped", styles.faint),
        };
        let mut lines = check.detail.lines();
        writeln!(
            out,
            "{:<width$} {} {}",
            check.name,
            format_args!("{word:<8}").style(style),
            printable(lines.next().unwrap_or_default())
        )?;
        for line in lines {
            writeln!(out, "{:<width$}          {}", "", printable(line))?;
        }
    }
    Ok(())
}
