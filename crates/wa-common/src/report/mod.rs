//! Events of running work, and what shows them.
//!
//! Work emits [`Event`]s; a [`Reporter`] shows them: as lines and progress bars for a person ([`HumanReporter`]), as a JSON
//! object a line for a program ([`JsonReporter`]). Both write to standard error, which leaves standard output to the
//! result, and both escape what they are given: it may be a cluster's.
//!
//! What has a beginning and an end is a handle, so that it cannot be left open: a step of [`Steps`], which may know how
//! many there will be, and a [`TransferProgress`], of which several may run at a time.

#[cfg(test)]
mod event_log;
mod exit;
mod human;
mod json;
mod steps;
mod style;
mod table;
mod text;
mod transfer;

#[cfg(test)]
pub(crate) use event_log::EventLog;
pub use exit::{EXIT_CODES, Exit, HasExit};
pub use human::{HumanReporter, beside_progress};
// Shown alike by what knows nothing of this crate.
pub use human_text::{
    bytes, count, printable, printable_lines, short_digest, with_short_digests, wrap,
};
pub use json::JsonReporter;
pub use steps::{RunningStep, Steps};
pub use style::{ColorChoice, Styles};
pub use table::table;
pub use text::{age, causes_text, elapsed, error_text};
pub use transfer::TransferProgress;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

/// Something that happened, for whoever watches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(
    tag = "event",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum Event {
    /// Something was done or found out that is worth a line.
    Step {
        /// The step, a word or two.
        step: &'static str,
        /// What came of it, or what it is about.
        detail: String,
    },
    /// A step begins that takes a while.
    StepStarted {
        /// Which.
        #[serde(flatten)]
        place: StepPlace,
        /// What it is about this time; may be empty.
        detail: String,
    },
    /// A step has ended.
    StepFinished {
        /// Which.
        #[serde(flatten)]
        place: StepPlace,
        /// How.
        outcome: StepOutcome,
        /// How long it took.
        #[serde(serialize_with = "seconds", rename = "durationSeconds")]
        duration: Duration,
        /// What came of it, in words; may be empty.
        detail: String,
        /// What came of it, as fields.
        #[serde(skip_serializing_if = "Value::is_null")]
        data: Value,
    },
    /// Something the user should know that does not stop the work.
    Warning {
        /// The whole sentence.
        message: String,
    },
    /// One of several things that were asked for failed; the others go on.
    Failure {
        /// The error with its causes.
        message: String,
        /// What it left in the cluster.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        leftovers: Vec<Leftover>,
    },
    /// The command failed, or left something behind.
    Error {
        /// The error with its causes.
        message: String,
        /// The exit code that it asks for.
        exit_code: u8,
        /// What it left in the cluster.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        leftovers: Vec<Leftover>,
    },
    /// A signal ended the command.
    Interrupted {
        /// The signal, as a user knows it: `Ctrl-C`.
        by: &'static str,
        /// Whether something is undone now.
        undoing: bool,
    },
    /// The command has ended: the last event of each.
    Ended {
        /// How it ended, a word of the table of exit codes.
        outcome: &'static str,
        /// The process's exit code.
        exit_code: u8,
    },
    /// An attempt failed and another follows.
    Retry {
        /// What is tried again.
        step: &'static str,
        /// The retry about to be made, from 1.
        retry: u32,
        /// How many retries there are in all, where their number and not their time is limited.
        #[serde(skip_serializing_if = "Option::is_none")]
        retries: Option<u32>,
        /// How long until it is made.
        #[serde(serialize_with = "seconds", rename = "waitSeconds")]
        wait: Duration,
        /// Why the attempt failed.
        why: String,
    },
    /// The work waits for something in the cluster; reported once for each state that it is in.
    Waiting {
        /// What is waited for, such as `for pod a` or `until the driver has made it`.
        what: String,
        /// The state in which it was found.
        state: String,
        /// How long it has been waited for.
        #[serde(serialize_with = "seconds", rename = "waitedSeconds")]
        waited: Duration,
        /// How long it will be waited for in all.
        #[serde(serialize_with = "seconds", rename = "limitSeconds")]
        limit: Duration,
    },
    /// A transfer begins.
    TransferStarted {
        /// Which, among those that run at the same time.
        id: u64,
        /// The file.
        file: Arc<str>,
        /// Bytes of it in all, where that is known before the end.
        #[serde(skip_serializing_if = "Option::is_none")]
        of: Option<u64>,
    },
    /// Bytes have arrived; sent often, and thinned out by the reporter.
    Received {
        /// The transfer.
        id: u64,
        /// The file they belong to.
        file: Arc<str>,
        /// Bytes of it so far.
        bytes: u64,
        /// Bytes of it in all, where that is known before the end.
        #[serde(skip_serializing_if = "Option::is_none")]
        of: Option<u64>,
        /// All the files of the command together, where there are several.
        #[serde(skip_serializing_if = "Option::is_none")]
        overall: Option<Share>,
    },
    /// A transfer has ended, one way or the other: what became of it, the work says.
    TransferEnded {
        /// The transfer.
        id: u64,
        /// The file.
        file: Arc<str>,
        /// Bytes of it that have arrived.
        bytes: u64,
        /// How long it took.
        #[serde(serialize_with = "seconds", rename = "durationSeconds")]
        duration: Duration,
    },
}

/// Which step of a piece of work it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct StepPlace {
    /// The same in the beginning and the end of a step, and of no other step or transfer of this process.
    pub id: u64,
    /// The step, a word or two that stay the same from run to run.
    pub step: &'static str,
    /// From 1.
    pub index: u32,
    /// How many there will be, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<u32>,
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum StepOutcome {
    /// It is done.
    Done,
    /// There was nothing to do.
    Skipped,
    /// It failed.
    Failed,
    /// An error or a signal ended it, of which is reported by itself.
    Unfinished,
}

/// A number that no other step or transfer of this process has.
fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// One change in the cluster that could not be undone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Leftover {
    /// What is left, such as `pod wa-pvc-3f9a1c07-helper`.
    pub what: String,
    /// Why it could not be undone.
    pub why: String,
    /// The commands that undo it.
    pub by_hand: String,
}

/// A part of a whole, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Share {
    /// The part.
    pub bytes: u64,
    /// The whole.
    pub of: u64,
}

fn seconds<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

/// Shows events.
pub trait Reporter: Send + Sync {
    /// Shows one event. Must not fail: losing a line must not stop a backup.
    fn report(&self, event: &Event);
}
