//! `doctor`: what have earlier retrainings left?

use std::io::{self, Write};

use owo_colors::OwoColorize as _;
use retraining::doctor::{Diagnosis, Finding, repair};
use serde::Serialize;
use wa_common::cli::{Context, DryRun, Exit, Render, confirm};
use wa_common::report::{Styles, printable};

use super::shared::{OperatorArgs, Work};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Looks for keys in annotations whose patch is gone (IBM's recipe leaves one; the operator then cannot \
                  reconcile), patches that have all models trained, now or every night, patches that scale, Deployments that \
                  stayed scaled, and a store-admin that is to train though no patch says so. --fix removes what nobody can need, \
                  after asking; the rest is only shown. Exit code 0: nothing was found; 3: something was, or is left."
)]
pub(super) struct Args {
    /// Remove what can be proved to be left over
    #[arg(long)]
    fix: bool,
    /// Say what --fix would remove, and change nothing
    #[arg(long, value_name = "client|server", num_args = 0..=1, require_equals = true, default_missing_value = "client", hide_possible_values = true)]
    dry_run: Option<DryRun>,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    operator: OperatorArgs,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    instance: String,
    namespace: String,
    #[serde(flatten)]
    diagnosis: Diagnosis,
}

pub(super) async fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let work = Work::connect(context)?;
    let instance = work.instance().await?;
    let diagnosis = Diagnosis::read(&work.cluster, &instance).await?;
    let report = Report {
        instance: instance.name.clone(),
        namespace: instance.namespace.clone(),
        diagnosis,
    };
    let findings = &report.diagnosis.findings;
    let removable = findings.iter().filter(|one| one.can_be_removed()).count();
    let is_dry = args.dry_run.is_some_and(DryRun::is_on);
    if !args.fix || is_dry || removable == 0 {
        context.print(&report)?;
        return Ok(exit(findings));
    }
    if let Some(run) = &report.diagnosis.open_run {
        context.print(&report)?;
        let why = format!(
            "nothing was removed: the run {run} is open, and may be working on it; end it with `kubectl wa-retrain finish`"
        );
        return Ok(super::refused(context, why));
    }
    for finding in findings.iter().filter(|one| one.can_be_removed()) {
        context.reporter.report(&wa_common::report::Event::Step {
            step: "found",
            detail: finding.in_words(),
        });
    }
    if !confirm(&format!("Remove these {removable}?"), args.yes).await? {
        return Ok(super::declined(context, "nothing was removed"));
    }
    let namespace = args.operator.operators_namespace.as_deref();
    repair(
        &work.cluster,
        &instance,
        namespace,
        findings,
        &*context.reporter,
    )
    .await?;
    let left: Vec<Finding> = findings
        .iter()
        .filter(|one| !one.can_be_removed())
        .cloned()
        .collect();
    let exit = exit(&left);
    context.print(&Report {
        diagnosis: Diagnosis {
            findings: left,
            open_run: None,
        },
        ..report
    })?;
    Ok(exit)
}

fn exit(findings: &[Finding]) -> Exit {
    if findings.is_empty() {
        Exit::Done
    } else {
        Exit::VerificationFailed
    }
}

impl Render for Report {
    fn human(&self, out: &mut dyn Write, styles: &Styles, _wide: bool) -> io::Result<()> {
        if let Some(run) = &self.diagnosis.open_run {
            writeln!(
                out,
                "A retraining is open ({}): what it has changed is not shown here; `kubectl wa-retrain status` does.",
                printable(run)
            )?;
        }
        if self.diagnosis.findings.is_empty() {
            return writeln!(
                out,
                "Nothing is left of earlier retrainings of {}.",
                printable(&self.instance)
            );
        }
        for finding in &self.diagnosis.findings {
            let (word, style) = if finding.can_be_removed() {
                ("removable", styles.warning)
            } else {
                ("look at it", styles.faint)
            };
            writeln!(
                out,
                "{} {}",
                format_args!("{word:<12}").style(style),
                printable(&finding.in_words())
            )?;
        }
        if self.diagnosis.findings.iter().any(Finding::can_be_removed) {
            writeln!(
                out,
                "\n`kubectl wa-retrain doctor --fix` removes what is removable."
            )?;
        }
        Ok(())
    }

    fn names(&self) -> Vec<String> {
        let patches =
            self.diagnosis
                .findings
                .iter()
                .filter_map(|finding| match finding {
                    Finding::RetrainingPatch { patch, .. }
                    | Finding::ReplicaPatch { patch, .. } => Some(patch),
                    _ => None,
                });
        patches
            .map(|name| format!("temporarypatches.assistant.watson.ibm.com/{name}"))
            .collect()
    }
}
