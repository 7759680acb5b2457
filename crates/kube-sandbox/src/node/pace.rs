//! How long pods take to start and to stop, beyond what their processes do.
//!
//! A pod that starts slowly is as one whose image is being pulled: it has its node, and its containers are being created.
//! One that stops slowly is as one with a hook that runs before the stop: it is Terminating and its processes run on,
//! though not longer than its grace period.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How long pods take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pace {
    /// Before their containers start.
    pub start: Duration,
    /// Before their processes are told to end.
    pub stop: Duration,
}

/// What was set for which pods.
#[derive(Debug, Default)]
pub(super) struct Paces(Mutex<Vec<(BTreeMap<String, String>, Pace)>>);

impl Paces {
    /// Sets the pace of pods that have all of these labels. Of several that fit, the one set last holds.
    pub(super) fn set(&self, labels: BTreeMap<String, String>, pace: Pace) {
        let mut paces = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        paces.retain(|(known, _)| *known != labels);
        paces.push((labels, pace));
    }

    /// The pace of a pod with these labels.
    pub(super) fn pace(&self, labels: &BTreeMap<String, String>) -> Pace {
        let paces = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |wanted: &BTreeMap<String, String>| {
            let mut wanted = wanted.iter();
            wanted.all(|(label, value)| labels.get(label) == Some(value))
        };
        let found = paces.iter().rev().find(|(wanted, _)| fits(wanted));
        found.map(|(_, pace)| *pace).unwrap_or_default()
    }
}
