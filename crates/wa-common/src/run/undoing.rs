//! What an undo works with, and what it tells of its waiting.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::cluster::Cluster;
use crate::report::{Event, Reporter};

/// The cluster and the run of a change that is being undone.
#[derive(Clone, Copy)]
pub struct Undoing<'a> {
    /// Where.
    pub cluster: &'a Cluster,
    /// The name of the run that made the change.
    pub run: &'a str,
    /// Who is told of the steps.
    pub reporter: &'a dyn Reporter,
    /// When this attempt is given up.
    pub deadline: Instant,
    pub(super) waiting: &'a Waiting,
}

/// What is being undone, and what that waits for at the moment, for a user who gives up waiting.
#[derive(Debug, Default)]
pub(super) struct Waiting(Mutex<(String, Option<String>)>);

impl Waiting {
    /// Begins with the change so described.
    pub(super) fn begin(&self, change: String) {
        *self.lock() = (change, None);
    }

    /// What the undo of the change so described waits for.
    pub(super) fn of(&self, change: &str) -> Option<String> {
        let (undone, on) = self.lock().clone();
        on.filter(|_| undone == change)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, (String, Option<String>)> {
        // Each change of it is one step: it is whole whatever panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Undoing<'_> {
    /// How much time this attempt has left.
    pub fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Tells, once, what is waited for. Should the user not wait for it, it is the reason for what is left.
    pub fn waits_for(&self, on: String) {
        let (_, told) = &mut *self.waiting.lock();
        if told.as_ref() == Some(&on) {
            return;
        }
        self.reporter.report(&Event::Step {
            step: "waiting",
            detail: on.clone(),
        });
        *told = Some(on);
    }
}
