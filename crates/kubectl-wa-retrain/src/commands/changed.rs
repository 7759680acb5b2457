//! What `scale` and `start` have done, for standard output.

use std::io::{self, Write};

use jiff::Timestamp;
use owo_colors::OwoColorize as _;
use retraining::procedure::{NewReplicas, OriginalReplicas, Outcome, Session, Step};
use serde::Serialize;
use wa_common::cli::Render;
use wa_common::report::{Styles, printable};

use super::shared::both_zones;

/// What stands now, beside what was before.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Changed {
    instance: String,
    namespace: String,
    deployments: Vec<Replicas>,
    #[serde(skip_serializing_if = "Option::is_none")]
    start: Option<Timestamp>,
    patches: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Replicas {
    deployment: String,
    before: u32,
    now: u32,
}

impl Replicas {
    /// A Deployment that is not in `new` has what it had before.
    fn new(before: &OriginalReplicas, new: &[NewReplicas]) -> Self {
        let mut new = new.iter();
        let new = new.find(|new| new.deployment == before.deployment);
        Self {
            deployment: before.deployment.clone(),
            before: before.replicas,
            now: new.map_or(before.replicas, |new| new.replicas),
        }
    }
}

impl Changed {
    pub(super) fn from_session(instance: &str, namespace: &str, session: &Session<'_>) -> Self {
        let mut changed = Self {
            instance: instance.to_owned(),
            namespace: namespace.to_owned(),
            deployments: Vec::new(),
            start: None,
            patches: Vec::new(),
        };
        for (step, outcome) in session.steps() {
            let patch = outcome
                .as_ref()
                .and_then(Outcome::adopted)
                .map(|one| one.patch.clone());
            let patch = patch.unwrap_or_else(|| step.patch().to_owned());
            match (&step, outcome) {
                (Step::Scale(step), outcome) => {
                    let mut new = Vec::new();
                    if let Some(Outcome::Scaled { replicas, .. }) = outcome {
                        changed.patches.push(patch);
                        new = replicas;
                    }
                    let deployments = step.deployments.iter();
                    let deployments = deployments.map(|before| Replicas::new(before, &new));
                    changed.deployments.extend(deployments);
                }
                (Step::Start(_), Some(Outcome::Started { time, .. })) => {
                    changed.patches.push(patch);
                    changed.start = time;
                }
                (Step::Start(_), _) => {}
            }
        }
        changed
    }
}

impl Render for Changed {
    fn human(&self, out: &mut dyn Write, styles: &Styles, _wide: bool) -> io::Result<()> {
        let rows = self.deployments.iter().map(|one| {
            [
                one.deployment.clone(),
                one.before.to_string(),
                one.now.to_string(),
            ]
        });
        writeln!(
            out,
            "{}",
            styles.table(&["DEPLOYMENT", "BEFORE", "NOW"], rows)
        )?;
        if let Some(start) = self.start {
            writeln!(out, "\nTraining begins at {}.", both_zones(start))?;
        }
        let of = format!("-n {} -i {}", self.namespace, self.instance);
        let mut next = |label: &str, command: &str| {
            let label = format!("{label:<10}");
            writeln!(
                out,
                "{}kubectl wa-retrain {command} {}",
                label.style(styles.faint),
                printable(&of)
            )
        };
        if self.patches.is_empty() {
            return Ok(());
        }
        match self.start {
            Some(_) => next("watch", "status --watch")?,
            None => next("go on", "start")?,
        }
        next("undo all", "finish")
    }

    fn names(&self) -> Vec<String> {
        let names = self.patches.iter();
        names
            .map(|name| format!("temporarypatches.assistant.watson.ibm.com/{name}"))
            .collect()
    }
}
