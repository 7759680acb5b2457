//! What a command that only checks prints: a line for each condition.

use std::borrow::Cow;
use std::io::{self, Write};

use owo_colors::OwoColorize as _;

use super::{Context, Exit, Render};
use crate::preflight::{Check, CheckReport, CheckResult, Preflight};
use crate::report::{Styles, count, printable, with_short_digests};

/// The least width of the column with the names.
const NAME_WIDTH: usize = 16;
/// The width of the column with the results.
const WORD_WIDTH: usize = 8;

impl Context {
    /// What a command that only checks prints, with this plugin's advice on each problem.
    pub fn check_report(&self, namespace: &str, conditions: Preflight) -> CheckReport {
        conditions.into_report(namespace, |problem| self.error_text(problem))
    }
}

impl CheckReport {
    /// How a command that only checks ends: where a condition does not hold, with `refusal`, as the command does that it
    /// checks for.
    pub fn exit(&self, refusal: Exit) -> Exit {
        if self.ok { Exit::Done } else { refusal }
    }

    fn having(&self, result: CheckResult) -> impl Iterator<Item = &Check> {
        self.checks
            .iter()
            .filter(move |check| check.result == result)
    }
}

impl Check {
    /// What was found: all of it, or what a person reads at a glance.
    fn shown(&self, wide: bool) -> Cow<'_, str> {
        match (&self.short, self.result) {
            _ if wide => Cow::Borrowed(&self.detail),
            // Into what is wrong goes all that is known.
            (_, CheckResult::Failed) => Cow::Borrowed(&self.detail),
            (Some(short), _) => Cow::Borrowed(short),
            (None, _) => Cow::Owned(with_short_digests(&self.detail)),
        }
    }
}

impl Render for CheckReport {
    fn human(&self, out: &mut dyn Write, styles: &Styles, wide: bool) -> io::Result<()> {
        let names = self.checks.iter().map(|check| check.name.len());
        let width = names.max().unwrap_or_default().max(NAME_WIDTH);
        for check in &self.checks {
            let (word, style) = match check.result {
                CheckResult::Ok => ("ok", styles.good),
                CheckResult::Warning => ("warning", styles.warning),
                CheckResult::Failed => ("FAILED", styles.bad),
                CheckResult::Skipped => ("skipped", styles.faint),
            };
            // Names, words and the blanks between.
            let indent = width + 1 + WORD_WIDTH + 1;
            let remarks = check.remarks.iter().flat_map(|remark| remark.lines());
            let detail = check.shown(wide);
            let lines = detail.lines().chain(remarks);
            let mut lines = lines.flat_map(|line| styles.wrapped(&printable(line), indent));
            writeln!(
                out,
                "{:<width$} {} {}",
                check.name,
                format_args!("{word:<WORD_WIDTH$}").style(style),
                lines.next().unwrap_or_default()
            )?;
            for line in lines {
                writeln!(out, "{:<indent$}{line}", "")?;
            }
        }
        let failed = self.having(CheckResult::Failed).count();
        if failed > 0 {
            let text = format!(
                "{} in the way: what to do is said where it says FAILED.",
                match failed {
                    1 => "1 problem stands".to_owned(),
                    several => format!("{} stand", count(several as u64, "problem")),
                }
            );
            writeln!(out, "\n{}", text.style(styles.bad))?;
        }
        Ok(())
    }

    fn names(&self) -> Vec<String> {
        let failed = self.having(CheckResult::Failed);
        failed.map(|check| check.name.to_owned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::*;
    use crate::report::error_text;

    async fn shown() -> (String, serde_json::Value) {
        let mut conditions = Preflight::default();
        let look = async |()| Ok("two\nlines");
        let detail = |found: &&str| (*found).to_owned();
        let first = conditions.check("first", (), look, detail).await;
        conditions.remark(&first, "it is\u{1b}[2J old");
        conditions.remark(&first, "and slow");
        let broken = async |_: &&str| -> anyhow::Result<()> { bail!("no") };
        let second = conditions.check("second", &first, broken, |()| String::new());
        let second = second.await;
        conditions.remark(&second, "not said of what does not hold");
        conditions.skip::<()>("a name that is longer", "second");
        let report = conditions.into_report("cpd", |problem| {
            format!("{}; do something", error_text(problem))
        });
        assert_eq!(report.exit(Exit::Refused), Exit::Refused);
        assert_eq!(report.names(), ["second"]);
        let mut human = Vec::new();
        let styles = Styles::default();
        report.human(&mut human, &styles, false).unwrap();
        let json = serde_json::to_value(&report).unwrap();
        (String::from_utf8(human).unwrap(), json)
    }

    #[tokio::test]
    async fn every_condition_has_a_line_and_its_remarks_stand_below_it() {
        let (human, _) = shown().await;
        assert_eq!(
            human,
            "first                 warning  two\n\
             \x20                              lines\n\
             \x20                              it is\\u{1b}[2J old\n\
             \x20                              and slow\n\
             second                FAILED   no; do something\n\
             a name that is longer skipped  needs: second\n\n\
             1 problem stands in the way: what to do is said where it says FAILED.\n"
        );
    }

    #[tokio::test]
    async fn on_a_terminal_what_is_long_is_wrapped_under_its_own_column() {
        let mut conditions = Preflight::default();
        let may =
            "get pods, list pods, patch deployments.apps/scale, create leases.coordination.k8s.io";
        let look = async |()| Ok(may);
        let detail = |found: &&str| (*found).to_owned();
        conditions.check("permissions", (), look, detail).await;
        let report = conditions.into_report("cpd", error_text);
        let shown = |width| {
            let mut human = Vec::new();
            let styles = Styles {
                width,
                ..Styles::default()
            };
            report.human(&mut human, &styles, false).unwrap();
            String::from_utf8(human).unwrap()
        };
        assert_eq!(
            shown(Some(80)),
            "permissions      ok       get pods, list pods, patch deployments.apps/scale,\n\
             \x20                         create leases.coordination.k8s.io\n"
        );
        // Another program finds it as a whole.
        assert_eq!(shown(None).lines().count(), 1);
    }

    #[tokio::test]
    async fn what_was_found_is_told_in_short_except_where_all_is_asked_for() {
        let digest = "0123456789abcdef".repeat(4);
        let mut conditions = Preflight::default();
        let detail = |found: &String| found.clone();
        let list = async |()| Ok("get pods, list pods".to_owned());
        let found = conditions.check("permissions", (), list, detail).await;
        conditions.shorten(&found, "2 permissions");
        let program = async |()| Ok(format!("SHA-256 {digest}"));
        conditions.check("program", (), program, detail).await;
        let broken = async |()| -> anyhow::Result<String> { bail!("it is not {digest}") };
        let other = conditions.check("other", (), broken, detail).await;
        conditions.shorten(&other, "not told of what does not hold");
        let report = conditions.into_report("cpd", error_text);
        let shown = |wide| {
            let mut human = Vec::new();
            report.human(&mut human, &Styles::default(), wide).unwrap();
            let text = String::from_utf8(human).unwrap();
            let lines: Vec<String> = text
                .lines()
                .take(3)
                .map(|line| line[26..].to_owned())
                .collect();
            lines
        };
        let failed = format!("it is not {digest}");
        assert_eq!(
            shown(false),
            ["2 permissions", "SHA-256 0123456789ab", &failed]
        );
        let whole = ["get pods, list pods", &format!("SHA-256 {digest}"), &failed];
        assert_eq!(shown(true), whole);
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["checks"][0]["detail"], whole[0]);
    }

    #[tokio::test]
    async fn a_program_finds_remarks_where_there_are_some() {
        let (_, json) = shown().await;
        assert_eq!(json["ok"], false);
        assert_eq!(json["checks"][0]["result"], "warning");
        assert_eq!(json["checks"][0]["remarks"][1], "and slow");
        assert!(json["checks"][1].get("remarks").is_none(), "{json}");
    }
}
