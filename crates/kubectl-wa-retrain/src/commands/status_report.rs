//! How far a retraining is, for a person and for programs.

use std::io::{self, IsTerminal as _, Write, stderr};
use std::time::Duration;

use owo_colors::OwoColorize as _;
use retraining::procedure::{Found, Outcome, Step, is_open};
use retraining::training::{Phase, Status};
use serde::Serialize;
use wa_common::cli::Render;
use wa_common::report::{Styles, elapsed, printable};
use wa_common::run::journal::FoundState;

use super::shared::both_zones;

/// How much of the rate's picture is shown.
const PICTURE: usize = 24;

/// What `status` and `run` print.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StatusReport {
    instance: String,
    namespace: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<Run>,
    #[serde(flatten)]
    status: Status,
    /// The recorded counts of what is scaled.
    recorded: Vec<Recorded>,
}

/// The journal's run, where one is open.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Run {
    id: String,
    command: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    held_by: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Recorded {
    deployment: String,
    replicas: u32,
}

impl StatusReport {
    pub(super) fn new(
        instance: &str,
        namespace: &str,
        found: Option<&Found>,
        status: Status,
    ) -> Self {
        let open = found.filter(|found| is_open(found));
        let steps = open.iter().flat_map(|found| found.steps());
        let recorded =
            steps.filter(|one| one.state.stands() && one.state.outcome() != Some(&Outcome::Kept));
        let recorded = recorded.filter_map(|one| match &one.step {
            Step::Scale(step) => Some(step.deployments.iter()),
            Step::Start(_) => None,
        });
        Self {
            instance: instance.to_owned(),
            namespace: namespace.to_owned(),
            recorded: recorded
                .flatten()
                .map(|one| Recorded {
                    deployment: one.deployment.clone(),
                    replicas: one.replicas,
                })
                .collect(),
            run: open.map(|found| Run {
                id: found.run_id().to_owned(),
                command: found.command().to_owned(),
                held_by: match found.state() {
                    FoundState::Running { holder, .. } => Some(holder.clone()),
                    _ => None,
                },
            }),
            status,
        }
    }

    /// What is wrong, and what IBM's page says to do.
    pub(super) fn problem(&self) -> Option<String> {
        let progress = self.status.progress.as_ref();
        let gap = progress.map(|one| {
            let per_cent = 100 - one.per_cent().min(100);
            format!(
                "{} of {} models ({per_cent} %) are not trained",
                one.gap(),
                one.affected
            )
        });
        match (self.status.phase, gap) {
            (Phase::Gap, Some(gap)) => Some(format!(
                "{gap}, and that has not changed: so small a difference, IBM's page says, is trained in the background; look at those skills later, and open one that does not answer"
            )),
            (Phase::Stalled, Some(gap)) => Some(format!(
                "{gap}, and nothing has changed: IBM's page says to look at the log of store-admin, and to consider more training pods: `kubectl wa-retrain scale --replicas N`; `kubectl wa-retrain finish` undoes everything"
            )),
            (Phase::Stalled, None) => Some(
                "store-admin has logged nothing of training since its time, or since it was started again: a schedule that is past then does not start; `kubectl wa-retrain finish` and `start` begin anew".to_owned(),
            ),
            _ => None,
        }
    }
}

/// A line while it is watched: `120 of 1000, 12 %, 400 an hour, 2h12m left`.
pub(super) fn line(status: &Status) -> String {
    let Some(progress) = &status.progress else {
        return match status
            .start
            .filter(|_| status.phase == Phase::WaitingForSchedule)
        {
            Some(start) => format!("begins at {}", both_zones(start)),
            None => format!("store-admin: {}", status.store_admin),
        };
    };
    let mut parts = vec![
        format!("{} of {}", progress.retrained, progress.affected),
        format!("{} %", progress.per_cent()),
    ];
    parts.extend(progress.per_hour.map(|rate| format!("{rate:.0} an hour")));
    parts.extend(
        status
            .measured_seconds_left
            .filter(|_| !progress.is_done())
            .map(left),
    );
    let mut text = parts.join(", ");
    if stderr().is_terminal() && progress.history.len() > 1 {
        text.push_str("  ");
        text.push_str(&picture(&progress.history));
    }
    text
}

fn left(seconds: u64) -> String {
    format!("{} left", elapsed(Duration::from_secs(seconds)))
}

/// The last numbers as bars of eight heights.
fn picture(numbers: &[u64]) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let last = &numbers[numbers.len().saturating_sub(PICTURE)..];
    let most = last.iter().copied().max().unwrap_or(0).max(1);
    let bar = |number: &u64| {
        let height = u128::from(*number) * 7 / u128::from(most);
        BARS[usize::try_from(height).unwrap_or(7).min(7)]
    };
    last.iter().map(bar).collect()
}

impl Render for StatusReport {
    fn human(&self, out: &mut dyn Write, styles: &Styles, _wide: bool) -> io::Result<()> {
        let status = &self.status;
        let mut row = |label: &str, value: &str| {
            let label = format!("{label:<14}");
            writeln!(out, "{}{}", label.style(styles.faint), printable(value))
        };
        row(
            "instance",
            &format!("{} in {}", self.instance, self.namespace),
        )?;
        row("phase", status.phase.in_words())?;
        if let Some(start) = status.start {
            row("start", &both_zones(start))?;
        }
        if let Some(progress) = &status.progress {
            row("affected", &progress.affected.to_string())?;
            row(
                "retrained",
                &format!("{} ({} %)", progress.retrained, progress.per_cent()),
            )?;
            if let Some(rate) = progress.per_hour {
                row("rate", &format!("{rate:.0} an hour"))?;
            }
            if !progress.is_done() {
                let left = |seconds: Option<u64>| {
                    seconds.map_or_else(
                        || "not known".to_owned(),
                        |one| elapsed(Duration::from_secs(one)),
                    )
                };
                row(
                    "time left",
                    &format!(
                        "{} as measured, {} by IBM's formula",
                        left(status.measured_seconds_left),
                        left(status.formula_seconds_left)
                    ),
                )?;
            }
        }
        row("store-admin", &status.store_admin)?;
        if !status.patches.is_empty() {
            row("patches", &status.patches.join(", "))?;
        }
        if let Some(run) = &self.run {
            let held = run.held_by.as_ref().map_or_else(
                || "open, held by nobody".to_owned(),
                |holder| format!("held by {holder}"),
            );
            row("run", &format!("{} ({}), {held}", run.id, run.command))?;
        }
        let rows = status.deployments.iter().map(|one| {
            let recorded = self
                .recorded
                .iter()
                .find(|old| old.deployment == one.deployment);
            let before = recorded.map_or_else(|| "-".to_owned(), |old| old.replicas.to_string());
            [
                one.deployment.clone(),
                one.replicas.to_string(),
                one.ready.to_string(),
                before,
            ]
        });
        let shown = if self.recorded.is_empty() {
            let rows = rows.map(|[deployment, replicas, ready, _]| [deployment, replicas, ready]);
            styles.table(&["DEPLOYMENT", "REPLICAS", "READY"], rows)
        } else {
            styles.table(&["DEPLOYMENT", "REPLICAS", "READY", "BEFORE"], rows)
        };
        writeln!(out, "\n{shown}")?;
        if !status.lines.is_empty() {
            writeln!(
                out,
                "\n{}",
                "Lines of store-admin's log that may matter:".style(styles.heading)
            )?;
        }
        for line in &status.lines {
            let time = line.time.strftime("%H:%M:%S");
            writeln!(
                out,
                "  {time}  {}: {}",
                printable(&line.pod),
                printable(&line.text)
            )?;
        }
        Ok(())
    }

    fn names(&self) -> Vec<String> {
        let names = self.status.patches.iter();
        names
            .map(|name| format!("temporarypatches.assistant.watson.ibm.com/{name}"))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_has_a_bar_for_each_of_the_last_numbers() {
        assert_eq!(picture(&[0, 4, 8]), "▁▄█");
        assert_eq!(picture(&[0, 0]), "▁▁");
        assert_eq!(picture(&[u64::MAX; 100]).chars().count(), PICTURE);
    }
}
