//! What a journal says, and how that is kept in a ConfigMap.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt as _;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::super::{MANAGED_BY_LABEL, RUN_LABEL, managed_by, run_labels};
use super::{JournalError, Procedure, StepRecord};
use crate::cluster::is_label;

/// The keys of the ConfigMap. The first three mean the same in every format, for those who only ask whether a run is over.
const FORMAT_VERSION: &str = "formatVersion";
const RUN: &str = "run";
const STATE: &str = "state";
const HOLDING: &str = "holding";
const PLAN: &str = "plan";
const STEPS: &str = "steps";

/// Plan and steps as they are before the first, in JSON.
const PLAN_LIMIT_BYTES: usize = 256 << 10;
/// One outcome in JSON.
const OUTCOME_LIMIT_BYTES: usize = 4 << 10;
/// With that many outcomes, and a plan as large as may be, a journal still fits into a ConfigMap, which holds 1 MiB.
const STEPS_LIMIT: usize = 128;
/// What is read, at most: whoever may write ConfigMaps has written it.
const READ_LIMIT_BYTES: usize = 1 << 20;

/// Where a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum RunProgress {
    /// It may be at work, or have stopped.
    Open,
    /// All steps are done.
    Done,
    /// All steps are undone.
    Undone,
}

/// What a journal says.
pub(super) struct Content<P: Procedure> {
    pub(super) run: String,
    pub(super) progress: RunProgress,
    pub(super) holding: Holding,
    pub(super) plan: P::Plan,
    pub(super) steps: Vec<StepRecord<P>>,
}

/// Who writes it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Holding {
    /// How often the run has got another holder.
    pub(super) epoch: u32,
    /// The one of this epoch.
    pub(super) writer: String,
    /// What that one runs.
    pub(super) command: String,
    /// When the run began.
    pub(super) started: Timestamp,
    /// The locks of the run beside the one that is called as the journal.
    pub(super) locks: Vec<LockPlace>,
}

/// Where a Lease is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LockPlace {
    pub(super) namespace: String,
    pub(super) name: String,
}

impl<P: Procedure> Clone for Content<P> {
    fn clone(&self) -> Self {
        Self {
            run: self.run.clone(),
            progress: self.progress,
            holding: self.holding.clone(),
            plan: self.plan.clone(),
            steps: self.steps.clone(),
        }
    }
}

/// What can be known of a journal in whatever format.
pub(super) struct Header {
    pub(super) run: String,
    pub(super) is_over: bool,
}

impl Header {
    /// `None` where a ConfigMap is no journal.
    pub(super) fn from_config_map(object: &ConfigMap) -> Option<Self> {
        let data = object.data.as_ref()?;
        let run = data.get(RUN)?;
        let state = data.get(STATE)?;
        let ours = data.contains_key(FORMAT_VERSION) && object.labels().get(RUN_LABEL) == Some(run);
        ours.then(|| Self {
            run: run.clone(),
            is_over: [RunProgress::Done, RunProgress::Undone]
                .iter()
                .any(|over| word(*over) == *state),
        })
    }
}

impl<P: Procedure> Content<P> {
    pub(super) fn labels(&self) -> BTreeMap<String, String> {
        run_labels(P::PLUGIN, &self.run)
    }

    /// Whether plan and steps, and every outcome that may come, fit into a ConfigMap.
    pub(super) fn require_fits(&self) -> Result<(), JournalError> {
        let bytes = json(&self.plan)?.len() + json(&self.steps)?.len();
        require("the plan", bytes, PLAN_LIMIT_BYTES)?;
        require("the number of steps", self.steps.len(), STEPS_LIMIT)
    }

    pub(super) fn to_data(&self) -> Result<BTreeMap<String, String>, JournalError> {
        for record in &self.steps {
            if let Some(outcome) = record.state.outcome() {
                let bytes = json(outcome)?.len();
                require("the outcome of a step", bytes, OUTCOME_LIMIT_BYTES)?;
            }
        }
        let entries = [
            (FORMAT_VERSION, P::FORMAT_VERSION.to_string()),
            (RUN, self.run.clone()),
            (STATE, word(self.progress)),
            (HOLDING, json(&self.holding)?),
            (PLAN, json(&self.plan)?),
            (STEPS, json(&self.steps)?),
        ];
        Ok(entries
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value))
            .collect())
    }

    /// Reads a ConfigMap, which anybody may have written.
    pub(super) fn from_config_map(object: &ConfigMap) -> Result<Self, JournalError> {
        let name = object.name_any();
        let not_ours = |why: &str| JournalError::NotOurs {
            what: format!("configmap {name}"),
            why: why.to_owned(),
        };
        let unreadable = |why: String| JournalError::Unreadable {
            journal: name.clone(),
            why,
        };
        let owner = object.labels().get(MANAGED_BY_LABEL);
        if owner != Some(&managed_by(P::PLUGIN)) {
            return Err(not_ours("it does not carry this plugin's label"));
        }
        let none = BTreeMap::new();
        let data = object.data.as_ref().unwrap_or(&none);
        let size: usize = data.values().map(String::len).sum();
        require("what was read", size, READ_LIMIT_BYTES)?;
        let entry = |key: &str| {
            let value = data.get(key).map(String::as_str);
            value.ok_or_else(|| unreadable(format!("it has no {key}")))
        };
        let format: u32 = entry(FORMAT_VERSION)?
            .parse()
            .map_err(|_| unreadable("its formatVersion is no number".to_owned()))?;
        if format > P::FORMAT_VERSION {
            return Err(JournalError::NewerFormat {
                journal: name.clone(),
                format,
                known: P::FORMAT_VERSION,
            });
        }
        let run = entry(RUN)?.to_owned();
        if object.labels().get(RUN_LABEL) != Some(&run) {
            return Err(not_ours("its label and its content name different runs"));
        }
        if !is_label(&run) || !run.starts_with(&format!("{}-", P::PLUGIN)) {
            return Err(unreadable(
                "its run is not called as this plugin's".to_owned(),
            ));
        }
        let word = serde_json::Value::from(entry(STATE)?);
        let content = Self {
            run,
            progress: serde_json::from_value(word)
                .map_err(|error| unreadable(error.to_string()))?,
            holding: parse(entry(HOLDING)?).map_err(unreadable)?,
            plan: parse(entry(PLAN)?).map_err(unreadable)?,
            steps: parse(entry(STEPS)?).map_err(unreadable)?,
        };
        require("the number of steps", content.steps.len(), STEPS_LIMIT)?;
        P::validate(&content.plan, &content.steps).map_err(unreadable)?;
        Ok(content)
    }

    /// The steps that stand, the last one first.
    pub(super) fn standing(&self) -> Vec<usize> {
        let stands = |at: &usize| self.steps[*at].state.stands();
        (0..self.steps.len()).rev().filter(stands).collect()
    }
}

fn word(progress: RunProgress) -> String {
    match progress {
        RunProgress::Open => "open",
        RunProgress::Done => "done",
        RunProgress::Undone => "undone",
    }
    .to_owned()
}

fn parse<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

fn json(value: &impl Serialize) -> Result<String, JournalError> {
    serde_json::to_string(value).map_err(|error| JournalError::NotJson {
        why: error.to_string(),
    })
}

fn require(what: &'static str, size: usize, limit: usize) -> Result<(), JournalError> {
    if size > limit {
        return Err(JournalError::TooLarge { what, size, limit });
    }
    Ok(())
}
