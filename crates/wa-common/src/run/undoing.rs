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
    /// Where the steps are reported.
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
}

/// What is reported through it is reported to the user. What it waits for is noted as well: should the user not wait for
/// it, that is the reason for what is left.
impl Reporter for Undoing<'_> {
    fn report(&self, event: &Event) {
        if let Event::Waiting { what, state, .. } = event {
            let (_, on) = &mut *self.waiting.lock();
            *on = Some(format!("{what}: {state}"));
        }
        self.reporter.report(event);
    }
}
