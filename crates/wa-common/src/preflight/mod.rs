//! What must hold before a command changes anything: conditions with names, and all problems at once.
//!
//! A [`Preflight`] looks at one condition after the other. Each yields a [`Finding`], and says which findings it needs:
//! where one of those does not hold, the condition is skipped by itself, and that is what its line says. In the end there
//! is either everything that the command needs to know, or one error with every problem. What a condition that holds still
//! asks the user to look at is a remark on it.
//!
//! ```
//! # use wa_common::cluster::Cluster;
//! # use wa_common::preflight::Preflight;
//! # use k8s_openapi::api::core::v1::Secret;
//! # async fn example(cluster: &Cluster) -> anyhow::Result<Secret> {
//! let mut preflight = Preflight::default();
//! let connection = preflight.connection(cluster).await;
//! let look = async |_: &()| anyhow::Context::context(cluster.find::<Secret>("key").await?, "there is no secret key");
//! let secret = preflight
//!     .check("secret", &connection, look, |_| "key".to_owned())
//!     .await;
//! secret.into_value().ok_or_else(|| preflight.into_error())
//! # }
//! ```

mod access;
mod conditions;
mod finding;
mod permissions;
mod problems;

#[cfg(test)]
mod tests;

use serde::Serialize;

pub use access::{Access, CommandAccess, Place};
pub use finding::{Finding, Needs};
pub use permissions::{
    Needed, in_short, in_words, missing_permissions, on_object, require_permissions, to_exec,
    to_find_instance, to_find_primary, to_search_instances, to_search_operator, verbs,
};
pub use problems::Problems;

use crate::report::error_text;

/// One condition and how it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// The condition, a word or two.
    pub name: &'static str,
    /// How it stands.
    pub result: CheckResult,
    /// What was found, what is wrong, or what it would have needed.
    pub detail: String,
    /// The same in a few words, where `detail` is long and it holds.
    #[serde(skip)]
    pub short: Option<String>,
    /// What the user should know although it holds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<String>,
}

/// How a condition stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckResult {
    /// It holds.
    Ok,
    /// It holds, with remarks that the user should read.
    Warning,
    /// It does not.
    Failed,
    /// Nobody looked: it depends on one that failed.
    Skipped,
}

/// The conditions that were looked at so far.
#[derive(Debug, Default)]
pub struct Preflight {
    checks: Vec<Check>,
    problems: Vec<anyhow::Error>,
}

/// What a command that only checks prints.
#[derive(Debug, Serialize)]
pub struct CheckReport {
    /// The namespace that was looked at.
    pub namespace: String,
    /// Whether no condition has failed.
    pub ok: bool,
    /// Each condition, in the order they were looked at.
    pub checks: Vec<Check>,
}

impl Preflight {
    /// Looks at a condition with what was found for those that it `needs`; `detail` says what was found. Where one of
    /// them does not hold, it is skipped.
    pub async fn check<N: Needs, T>(
        &mut self,
        name: &'static str,
        needs: N,
        look: impl AsyncFnOnce(N::Found) -> anyhow::Result<T>,
        detail: impl FnOnce(&T) -> String,
    ) -> Finding<T> {
        match needs.found() {
            Ok(found) => {
                let outcome = look(found).await;
                self.record(name, outcome, detail)
            }
            Err(because) => self.skip(name, because),
        }
    }

    /// Adds a condition that was looked at elsewhere.
    pub fn record<T>(
        &mut self,
        name: &'static str,
        outcome: anyhow::Result<T>,
        detail: impl FnOnce(&T) -> String,
    ) -> Finding<T> {
        let (result, detail, found) = match outcome {
            Ok(found) => (CheckResult::Ok, detail(&found), Finding::held(name, found)),
            Err(problem) => {
                let text = error_text(&problem);
                self.problems.push(problem);
                (CheckResult::Failed, text, Finding::none(name))
            }
        };
        self.push(name, result, detail);
        found
    }

    /// Adds what the user should know although the condition of `finding` holds; says nothing where it does not.
    pub fn remark<T>(&mut self, finding: &Finding<T>, remark: impl Into<String>) {
        let Some(name) = finding.holds() else {
            return;
        };
        let check = self.checks.iter_mut().rfind(|check| check.name == name);
        if let Some(check) = check {
            check.result = CheckResult::Warning;
            check.remarks.push(remark.into());
        }
    }

    /// Says in a few words what was found, for who does not want to see all of it; says nothing where the condition of
    /// `finding` does not hold.
    pub fn shorten<T>(&mut self, finding: &Finding<T>, short: impl Into<String>) {
        let Some(name) = finding.holds() else {
            return;
        };
        let check = self.checks.iter_mut().rfind(|check| check.name == name);
        if let Some(check) = check {
            check.short = Some(short.into());
        }
    }

    /// Adds a condition that could not be looked at, because the one called `because` does not hold.
    pub fn skip<T>(&mut self, name: &'static str, because: &'static str) -> Finding<T> {
        self.push(name, CheckResult::Skipped, format!("needs: {because}"));
        Finding::none(because)
    }

    fn push(&mut self, name: &'static str, result: CheckResult, detail: String) {
        self.checks.push(Check {
            name,
            result,
            detail,
            short: None,
            remarks: Vec::new(),
        });
    }

    /// The conditions so far, in the order they were looked at.
    pub fn checks(&self) -> &[Check] {
        &self.checks
    }

    /// All remarks, in the order of their conditions.
    pub fn remarks(&self) -> impl Iterator<Item = &str> {
        let remarks = self.checks.iter().flat_map(|check| &check.remarks);
        remarks.map(String::as_str)
    }

    /// Whether no condition has failed.
    pub fn passed(&self) -> bool {
        self.problems.is_empty()
    }

    /// All that stands in the way: the one problem as it is, several as [`Problems`].
    pub fn into_error(mut self) -> anyhow::Error {
        if self.problems.len() == 1 {
            return self.problems.remove(0);
        }
        anyhow::Error::new(Problems::from(self.problems))
    }

    /// What a command that only checks prints, each problem as `text` tells it.
    pub fn into_report(
        mut self,
        namespace: &str,
        text: impl Fn(&anyhow::Error) -> String,
    ) -> CheckReport {
        let failed = |check: &&mut Check| check.result == CheckResult::Failed;
        // A problem for each that failed, in the same order.
        for (check, problem) in self.checks.iter_mut().filter(failed).zip(&self.problems) {
            check.detail = text(problem);
        }
        CheckReport {
            namespace: namespace.to_owned(),
            ok: self.passed(),
            checks: self.checks,
        }
    }
}
