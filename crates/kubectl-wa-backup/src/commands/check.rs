//! `check`: would a backup work?

use std::io::{self, Write};

use owo_colors::OwoColorize as _;
use serde::Serialize;
use wa_common::cli::{Context, Exit, Render};
use wa_common::report::{Styles, printable};

use store_backup::preflight::{self, Check, CheckResult};

#[derive(Serialize)]
struct Report {
    namespace: String,
    ok: bool,
    checks: Vec<Check>,
}

pub(super) async fn run(context: &Context) -> anyhow::Result<Exit> {
    let cluster = context.connect()?;
    let preflight = preflight::run(&cluster, context.global.instance.as_deref()).await;
    let report = Report {
        namespace: cluster.namespace().to_owned(),
        ok: preflight.passed(),
        checks: preflight.checks,
    };
    context.print(&report)?;
    Ok(if report.ok { Exit::Done } else { Exit::Error })
}

impl Render for Report {
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
        let failed = self
            .checks
            .iter()
            .filter(|check| check.result == CheckResult::Failed);
        failed.map(|check| check.name.to_owned()).collect()
    }
}
