//! What must hold before a command changes anything: conditions with names, and all problems at once.
//!
//! A [`Preflight`] looks at one condition after the other. Each yields a [`Finding`], and says which findings it needs:
//! where one of those does not hold, the condition is skipped by itself, and that is what its line says. In the end there
//! is either everything that the command needs to know, or one error with every problem.
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

mod conditions;
mod finding;
mod permissions;
mod problems;

#[cfg(test)]
mod tests;

use serde::Serialize;

pub use finding::{Finding, Needs};
pub use permissions::{
    Needed, in_words, missing_permissions, require_permissions, to_exec, to_search_instances,
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
}

/// How a condition stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckResult {
    /// It holds.
    Ok,
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
    /// Whether every condition holds.
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
            Ok(found) => (CheckResult::Ok, detail(&found), Finding::held(found)),
            Err(problem) => {
                let text = error_text(&problem);
                self.problems.push(problem);
                (CheckResult::Failed, text, Finding::failed(name))
            }
        };
        self.checks.push(Check {
            name,
            result,
            detail,
        });
        found
    }

    /// Adds a condition that could not be looked at, because the one called `because` does not hold.
    pub fn skip<T>(&mut self, name: &'static str, because: &'static str) -> Finding<T> {
        self.checks.push(Check {
            name,
            result: CheckResult::Skipped,
            detail: format!("needs: {because}"),
        });
        Finding::skipped(because)
    }

    /// The conditions so far, in the order they were looked at.
    pub fn checks(&self) -> &[Check] {
        &self.checks
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

    /// What a command that only checks prints.
    pub fn into_report(self, namespace: &str) -> CheckReport {
        CheckReport {
            namespace: namespace.to_owned(),
            ok: self.passed(),
            checks: self.checks,
        }
    }
}
