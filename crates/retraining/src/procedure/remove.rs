//! Removing a patch: deleted as anything is, and only when the operator does not do its part in time, by hand.

use std::time::Duration;

use kube::ResourceExt as _;
use kube::api::DynamicObject;
use wa_common::cluster::{Lasting, Probe};
use wa_common::report::Event;
use wa_common::run::RUN_LABEL;

use super::error::ProcedureError;
use super::wait::Waits;
use crate::component::Patched;

/// How long a key may outlive its patch, which the operator removes after it: longer, and it stays for good, since without
/// the patch the operator cannot reconcile any more.
const DANGLING_AFTER: Duration = Duration::from_secs(20);

/// Whose a patch is that may be removed.
#[derive(Debug, Clone, Copy)]
pub(super) enum Ownership<'a> {
    /// The run's, by its label.
    Run(&'a str),
    /// One that was taken over, by its uid.
    Object(&'a str),
}

/// What became of a patch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Removed {
    /// It is not there any more, or never was, and neither is its key.
    Gone,
    /// One of its name is there that was made by somebody else, and stays.
    NotOurs,
}

/// What is left of a patch.
struct Rest {
    patch: Option<DynamicObject>,
    key: bool,
}

impl Ownership<'_> {
    fn holds(self, patch: &DynamicObject) -> bool {
        match self {
            Self::Run(run) => patch.labels().get(RUN_LABEL).map(String::as_str) == Some(run),
            Self::Object(uid) => patch.uid().as_deref() == Some(uid),
        }
    }
}

impl Waits<'_> {
    /// Removes a patch and waits until it and its key in the custom resource are gone.
    pub(super) async fn remove(
        &self,
        patched: Patched,
        name: &str,
        ownership: Ownership<'_>,
    ) -> Result<Removed, ProcedureError> {
        let found = self.objects.patch(name).await?;
        let uid = match &found {
            Some(patch) if ownership.holds(patch) => patch.uid().unwrap_or_default(),
            Some(_) => {
                self.reporter.report(&Event::Warning {
                    message: format!(
                        "TemporaryPatch {name} was made by somebody else since, and stays, with what it does"
                    ),
                });
                return Ok(Removed::NotOurs);
            }
            None => String::new(),
        };
        if found.is_some() {
            self.objects.delete_patch(name, &uid).await?;
        }
        match self.gone(patched, name, &uid).await {
            Err(ProcedureError::NotInTime { .. }) => {}
            gone => return gone.map(|()| Removed::Gone),
        }
        self.reporter.report(&Event::Warning {
            message: format!(
                "the operator has not removed what belongs to TemporaryPatch {name}: its finalizer and its key in {} are removed here, and nothing else",
                patched.kind
            ),
        });
        self.objects.remove_key(patched, name).await?;
        self.objects.clear_finalizer(name, &uid).await?;
        // The operator may have put it back in between.
        self.objects.remove_key(patched, name).await?;
        let soon = Self {
            limit: self.limit.min(Duration::from_mins(1)),
            ..*self
        };
        soon.gone(patched, name, &uid).await?;
        Ok(Removed::Gone)
    }

    /// Until neither that object nor its key is there. A key that outlives its patch is not waited for as long.
    async fn gone(&self, patched: Patched, name: &str, uid: &str) -> Result<(), ProcedureError> {
        let mut dangling = Lasting::default();
        let look = || async {
            let patch = self.objects.patch(name).await?;
            Ok(Rest {
                patch: patch.filter(|patch| patch.uid().as_deref() == Some(uid)),
                key: self.objects.active(patched).await?.lists(name),
            })
        };
        let what = format!("until the operator has let go of TemporaryPatch {name}");
        let gave_up = self
            .until(what.clone(), look, |rest| match (&rest.patch, rest.key) {
                (None, false) => Probe::Done(None),
                (Some(_), _) => Probe::Pending("it is being deleted".to_owned()),
                (None, true) => {
                    let state = format!("it is gone, and {} still lists it", patched.kind);
                    if dangling.so() >= DANGLING_AFTER {
                        Probe::Done(Some(state))
                    } else {
                        Probe::Pending(state)
                    }
                }
            })
            .await?;
        match gave_up {
            None => Ok(()),
            Some(state) => Err(ProcedureError::not_in_time(what, DANGLING_AFTER, state)),
        }
    }
}
