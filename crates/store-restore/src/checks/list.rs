//! The list of conditions and how they stand.

use serde::Serialize;
use wa_common::report::error_text;

/// One condition and how it stands.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// What it is called.
    pub name: &'static str,
    /// How it stands.
    pub result: CheckResult,
    /// What was found.
    pub detail: String,
}

/// How a condition stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckResult {
    /// It holds.
    Ok,
    /// It does not stand in the way, but must be known.
    Warning,
    /// It stands in the way.
    Failed,
    /// Depends on one that failed.
    Skipped,
}

#[derive(Debug, Default)]
pub(super) struct List {
    pub(super) checks: Vec<Check>,
}

impl List {
    /// Adds a line for `outcome` and keeps what it holds.
    pub(super) fn add<T>(
        &mut self,
        name: &'static str,
        outcome: Result<T, impl Into<anyhow::Error>>,
        detail: impl FnOnce(&T) -> String,
    ) -> Option<T> {
        match outcome {
            Ok(found) => {
                self.ok(name, detail(&found));
                Some(found)
            }
            Err(problem) => {
                self.fail(name, &problem.into());
                None
            }
        }
    }

    pub(super) fn ok(&mut self, name: &'static str, detail: String) {
        self.push(name, CheckResult::Ok, detail);
    }

    pub(super) fn warn(&mut self, name: &'static str, detail: String) {
        self.push(name, CheckResult::Warning, detail);
    }

    pub(super) fn fail(&mut self, name: &'static str, problem: &anyhow::Error) {
        self.push(name, CheckResult::Failed, error_text(problem));
    }

    pub(super) fn skip(&mut self, name: &'static str, because: &str) {
        self.push(name, CheckResult::Skipped, format!("needs: {because}"));
    }

    fn push(&mut self, name: &'static str, result: CheckResult, detail: String) {
        self.checks.push(Check {
            name,
            result,
            detail,
        });
    }
}
