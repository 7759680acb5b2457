//! How a remote command can end.

use std::{io, time::Duration};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use tokio_tungstenite::tungstenite;

use crate::text::printable;

/// The end of a session. Only [`Exited`](End::Exited) says that the command ran to its end.
#[derive(Debug)]
pub enum End {
    /// The command ran and exited; 128 + n when signal n killed it.
    Exited {
        /// Its exit code.
        code: i32,
    },
    /// The API server or the kubelet reports a failure of its own, such as a command that does not exist.
    Failed(Failure),
    /// The stream broke. What the command did, and whether it still runs, is not known.
    Lost(Lost),
}

/// A failure that the API server or the kubelet reported instead of an exit code.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}", message_of(.status))]
pub struct Failure {
    /// The status as received.
    pub status: Box<Status>,
}

/// How a kubelet begins to say that a container does not run now, such as one that is being started again.
const NOT_RUNNING: &str = "container not found (";

impl Failure {
    /// Whether the container did not run just then.
    pub(crate) fn container_is_not_running(&self) -> bool {
        let message = self.status.message.as_deref();
        message.is_some_and(|message| message.contains(NOT_RUNNING))
    }
}

fn message_of(status: &Status) -> String {
    printable(
        status
            .message
            .as_deref()
            .unwrap_or("no reason given")
            .as_bytes(),
    )
}

/// Why a stream ended without a status.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Lost {
    /// The peer answered neither data nor pings.
    #[error("nothing was heard from the API server for {} s", .limit.as_secs_f32())]
    Silent {
        /// How long was waited.
        limit: Duration,
    },
    /// The connection ended without a closing handshake.
    #[error("the connection ended in the middle of the stream")]
    Eof,
    /// The connection broke.
    #[error("the connection broke")]
    Broken(#[source] io::Error),
    /// A closing handshake without a status before it.
    #[error("the server closed the stream without a status (close code {code}: {reason:?})")]
    Closed {
        /// The WebSocket close code; 1005 when there was none.
        code: u16,
        /// The reason given, often empty.
        reason: String,
    },
    /// A message larger than this side accepts.
    #[error("the server sent a message of {bytes} bytes; at most {limit} are accepted")]
    Oversized {
        /// Its announced size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// Not a valid WebSocket stream.
    #[error("the server broke the WebSocket protocol")]
    Protocol(#[source] Box<tungstenite::Error>),
    /// A message that the exec protocol does not know.
    #[error("the server broke the exec protocol: {0}")]
    Unexpected(&'static str),
    /// A message on a channel that the exec protocol does not know.
    #[error("the server broke the exec protocol: it used unknown channel {0}")]
    UnknownChannel(u8),
    /// The final status cannot be read.
    #[error("the final status of the command cannot be read")]
    BadStatus(#[source] serde_json::Error),
}

impl Lost {
    pub(crate) fn from_websocket(error: tungstenite::Error) -> Self {
        use tungstenite::error::{CapacityError, ProtocolError};
        match error {
            tungstenite::Error::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Self::Eof
            }
            tungstenite::Error::Io(error) => Self::Broken(error),
            tungstenite::Error::ConnectionClosed
            | tungstenite::Error::AlreadyClosed
            | tungstenite::Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
                Self::Eof
            }
            tungstenite::Error::Capacity(CapacityError::MessageTooLong { size, max_size }) => {
                Self::Oversized {
                    bytes: size,
                    limit: max_size,
                }
            }
            other => Self::Protocol(Box::new(other)),
        }
    }
}

impl End {
    /// Reads the message of the status channel: `{"status":"Success"}`, or a Failure whose reason `NonZeroExitCode`
    /// carries the exit code as a cause named `ExitCode`.
    pub(super) fn from_status(json: &[u8]) -> Self {
        let status: Status = match serde_json::from_slice(json) {
            Ok(status) => status,
            Err(error) => return Self::Lost(Lost::BadStatus(error)),
        };
        match status.status.as_deref() {
            Some("Success") => Self::Exited { code: 0 },
            Some("Failure") => match exit_code(&status) {
                Some(code) => Self::Exited { code },
                None => Self::Failed(Failure {
                    status: Box::new(status),
                }),
            },
            _ => Self::Lost(Lost::Unexpected(
                "a final status that is neither Success nor Failure",
            )),
        }
    }
}

/// Zero is not taken for an exit code here: a Failure that claims it contradicts itself.
fn exit_code(status: &Status) -> Option<i32> {
    if status.reason.as_deref() != Some("NonZeroExitCode") {
        return None;
    }
    let causes = status.details.as_ref()?.causes.as_ref()?;
    let cause = causes
        .iter()
        .find(|cause| cause.reason.as_deref() == Some("ExitCode"))?;
    cause
        .message
        .as_deref()?
        .parse()
        .ok()
        .filter(|code| *code != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_that_claims_exit_code_zero_is_not_an_exit() {
        let json = br#"{"status":"Failure","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"0"}]}}"#;
        assert!(matches!(End::from_status(json), End::Failed(_)));
    }

    #[test]
    fn an_unreadable_or_unknown_status_is_a_lost_stream() {
        assert!(matches!(
            End::from_status(b"{"),
            End::Lost(Lost::BadStatus(_))
        ));
        assert!(matches!(
            End::from_status(b"{}"),
            End::Lost(Lost::Unexpected(_))
        ));
    }
}
