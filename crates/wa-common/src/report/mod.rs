//! Events of running work, and what shows them.
//!
//! Work emits an [`Event`] for each step; a [`Reporter`] shows it: as a line and a progress bar for a person
//! ([`HumanReporter`]), as a JSON object a line for a program ([`JsonReporter`]). Both write to standard error, which
//! leaves standard output to the result.

mod exit;
mod human;
mod json;
mod style;
mod text;

pub use exit::{EXIT_CODES, Exit, HasExit};
pub use human::HumanReporter;
// Shown alike by what knows nothing of this crate.
pub use human_text::{bytes, count, printable, printable_lines};
pub use json::JsonReporter;
pub use style::{ColorChoice, Styles};
pub use text::{age, causes_text, elapsed, error_text, table};

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

/// Something that happened, for whoever watches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(
    tag = "event",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum Event {
    /// One step is done, or begins where it takes a while.
    Step {
        /// The step, a word or two.
        step: &'static str,
        /// What came of it, or what it is about.
        detail: String,
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
    /// Bytes have arrived; sent often, and thinned out by the reporter.
    Received {
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
    /// The transfer that [`Event::Received`] told of has ended, one way or the other.
    TransferEnded,
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
