//! How the end of an exec is reported to the client: a `Status` on a stream of its own.
//!
//! The API server speaks version 5 itself and wraps what it heard from the kubelet; version 4, over WebSocket or SPDY,
//! is passed through from the kubelet as it is. Hence the small differences, all taken from recordings.

use serde_json::{Value, json};

use crate::node::ExecError;

/// How an exec ended.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The process ended with that exit code.
    Exited(i32),
    /// There was no process.
    NotStarted { error: ExecError, container: String },
}

/// The generation of the streaming protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    V4,
    V5,
}

impl Outcome {
    /// The status object as that version words it.
    pub(super) fn to_json(&self, version: Version) -> Value {
        let mut status = match self {
            Self::Exited(0) => json!({"status": "Success"}),
            Self::Exited(code) => json!({
                "status": "Failure",
                "message": format!("command terminated with non-zero exit code: command terminated with exit code {code}"),
                "reason": "NonZeroExitCode",
                "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
            }),
            Self::NotStarted { error, container } => {
                internal_error(&cause(error, container, version))
            }
        };
        if version == Version::V5 {
            status["metadata"] = json!({});
        }
        status
    }
}

fn cause(error: &ExecError, container: &str, version: Version) -> String {
    let from_kubelet = match error {
        ExecError::NotRunning => {
            return format!("unable to upgrade connection: {}", not_running(container));
        }
        ExecError::Program(why) => {
            let exec_id = format!(
                "{:032x}{:032x}",
                rand::random::<u128>(),
                rand::random::<u128>()
            );
            format!(
                "error executing command in container: failed to exec in container: failed to start exec {exec_id:?}: OCI \
                 runtime exec failed: exec failed: unable to start container process: {why}"
            )
        }
        ExecError::Spawn(source) => {
            format!("error executing command in container: {error}: {source}")
        }
    };
    match version {
        Version::V4 => from_kubelet,
        Version::V5 => format!("Internal error occurred: {from_kubelet}"),
    }
}

/// What a kubelet says about a container that does not run (any more).
pub(super) fn not_running(container: &str) -> String {
    format!("container not found ({container:?})")
}

fn internal_error(cause: &str) -> Value {
    json!({
        "status": "Failure",
        "message": format!("Internal error occurred: {cause}"),
        "reason": "InternalError",
        "details": {"causes": [{"message": cause}]},
        "code": 500,
    })
}
