//! What a command that only checks prints: a line for each condition.

use std::io::{self, Write};

use owo_colors::OwoColorize as _;

use super::{Exit, Render};
use crate::preflight::{Check, CheckReport, CheckResult};
use crate::report::{Styles, printable};

impl CheckReport {
    /// How a command that only checks ends.
    pub fn exit(&self) -> Exit {
        if self.ok { Exit::Done } else { Exit::Error }
    }
}

impl Render for CheckReport {
    fn human(&self, out: &mut dyn Write, styles: &Styles, _wide: bool) -> io::Result<()> {
        for check in &self.checks {
            let (word, style) = match check.result {
                CheckResult::Ok => ("ok", styles.good),
                CheckResult::Failed => ("FAILED", styles.bad),
                CheckResult::Skipped => ("skipped", styles.faint),
            };
            writeln!(
                out,
                "{:<16} {} {}",
                check.name,
                format_args!("{word:<8}").style(style),
                printable(&check.detail)
            )?;
        }
        Ok(())
    }

    fn names(&self) -> Vec<String> {
        let failed = |check: &&Check| check.result == CheckResult::Failed;
        let failed = self.checks.iter().filter(failed);
        failed.map(|check| check.name.to_owned()).collect()
    }
}
