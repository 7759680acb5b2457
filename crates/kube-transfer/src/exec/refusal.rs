//! Why a command was not started.

use std::{error::Error, io, time::Duration};

use kube::{
    client::{AuthError, UpgradeConnectionError},
    core::Status,
};

use super::PodContainer;
use crate::text::printable;

/// Why a session could not be opened. The command did not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// A name that would lead elsewhere as part of a URL.
    #[error("cannot run a command in {target}: {name:?} is not the name of a pod or a namespace")]
    InvalidName {
        /// Where it should have run.
        target: PodContainer,
        /// The part that is no name.
        name: String,
    },
    /// The API server was not reached, or refused; [`kube::Error::Api`] holds its own words.
    ///
    /// The message tells the cause; it is no [`source`](Error::source), as some of its own messages are made for
    /// debugging and quote the environment of a credential plugin.
    #[error("cannot run a command in {target}: {}", told(.cause))]
    Refused {
        /// Where it should have run.
        target: PodContainer,
        /// What the API server or the connection said.
        cause: Box<kube::Error>,
    },
    /// No answer in time.
    #[error("cannot run a command in {target}: the API server did not answer within {} s", .limit.as_secs())]
    TimedOut {
        /// Where it should have run.
        target: PodContainer,
        /// How long was waited.
        limit: Duration,
    },
}

impl OpenError {
    /// Whether the API server knows no such pod.
    pub fn pod_is_gone(&self) -> bool {
        let Self::Refused { cause, .. } = self else {
            return false;
        };
        matches!(cause.as_ref(), kube::Error::Api(status) if status.code == 404)
    }

    /// Whether something between here and the API server does not pass the WebSocket on that runs the command. Every other
    /// request may work all the same.
    pub fn is_for_want_of_websockets(&self) -> bool {
        let Self::Refused { cause, .. } = self else {
            return false;
        };
        websocket_problem(cause).is_some()
    }

    /// Whether the same request may succeed later: an overloaded or unreachable server, not a refusal.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::InvalidName { .. } => false,
            Self::TimedOut { .. } => true,
            Self::Refused { cause, .. } => match cause.as_ref() {
                kube::Error::Api(status) => matches!(status.code, 408 | 429 | 500..),
                kube::Error::Service(_) | kube::Error::HyperError(_) => {
                    !is_about_a_certificate(cause.as_ref())
                        && find::<AuthError>(cause.as_ref()).is_none()
                        && find::<CredentialsError>(cause.as_ref()).is_none()
                }
                kube::Error::UpgradeConnection(UpgradeConnectionError::GetPendingUpgrade(_)) => {
                    true
                }
                _ => false,
            },
        }
    }
}

/// Why the layer of a client that puts credentials into requests has none. The message is reported as it is, so it must hold no
/// secret; the request is not made again.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct CredentialsError(String);

impl CredentialsError {
    /// An error with this message.
    pub fn new(message: String) -> Self {
        Self(message)
    }
}

/// What to make of an answer that is not the API server's own but that of a proxy or load balancer in front of it: a page
/// of HTML, not an object.
pub fn front_problem(status: &Status) -> Option<&'static str> {
    let start = status
        .message
        .trim_start()
        .get(..9)
        .unwrap_or_default()
        .to_ascii_lowercase();
    (start.starts_with("<html") || start.starts_with("<!doctype")).then_some(
        "the answer is a page of HTML, not the API server's own answer: a proxy or load balancer in front of it gave it; ask whoever runs that",
    )
}

/// What is told of a WebSocket that did not come to be.
const NO_WEBSOCKETS: &str = "a proxy or load balancer in front of the API server does not pass WebSockets on (the headers Upgrade and Connection), which commands in pods are run through; connect to the API server directly, or ask whoever runs the proxy to pass them on";

/// Whether a handshake failed for what stands between, and not for the API server or the node.
fn websocket_problem(error: &kube::Error) -> Option<String> {
    match error {
        // The API server's words for a request that arrives without `Upgrade`.
        kube::Error::Api(status)
            if status.code == 400 && status.message.contains("Upgrade request required") =>
        {
            Some(NO_WEBSOCKETS.to_owned())
        }
        kube::Error::Api(status) if status.code == 426 => Some(NO_WEBSOCKETS.to_owned()),
        kube::Error::Api(status) => front_problem(status).map(|_| {
            format!(
                "HTTP {} with a page of HTML instead of the API server's answer: {NO_WEBSOCKETS}",
                status.code
            )
        }),
        // An answer to a plain request.
        kube::Error::UpgradeConnection(
            UpgradeConnectionError::ProtocolSwitch(_)
            | UpgradeConnectionError::MissingUpgradeWebSocketHeader
            | UpgradeConnectionError::MissingConnectionUpgradeHeader
            | UpgradeConnectionError::SecWebSocketAcceptKeyMismatch,
        ) => Some(NO_WEBSOCKETS.to_owned()),
        _ => None,
    }
}

#[cfg(any(feature = "rustls", test))]
fn is_about_a_certificate(error: &(dyn Error + 'static)) -> bool {
    certificate_error(error).is_some()
}

/// Not to be told without knowing the TLS library.
#[cfg(not(any(feature = "rustls", test)))]
fn is_about_a_certificate(_: &(dyn Error + 'static)) -> bool {
    false
}

/// Why the API server's certificate is not trusted, where that is what keeps a connection from being made. Trying again
/// does not help.
#[cfg(any(feature = "rustls", test))]
pub fn certificate_error<'a>(
    error: &'a (dyn Error + 'static),
) -> Option<&'a rustls::CertificateError> {
    match find::<rustls::Error>(error)? {
        rustls::Error::InvalidCertificate(why) => Some(why),
        _ => None,
    }
}

/// The first error of this type among `error` and its causes.
fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        // An I/O error passes over the error it wraps when it is asked for its source.
        cause = match error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
        {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    None
}

/// Why a request was refused, in words.
pub(crate) fn told(error: &kube::Error) -> String {
    if let Some(problem) = websocket_problem(error) {
        return problem;
    }
    if let Some(problem) = find::<CredentialsError>(error) {
        return crate::text::printable(problem.to_string().as_bytes());
    }
    if let kube::Error::Api(status) = error {
        let reason = if status.reason.is_empty() {
            format!("HTTP {}", status.code)
        } else {
            status.reason.clone()
        };
        return printable(format!("Error from server ({reason}): {}", status.message).as_bytes());
    }
    if find::<AuthError>(error).is_some() {
        return "the credentials could not be renewed; log in again".to_owned();
    }
    let mut innermost: &dyn Error = error;
    while let Some(cause) = innermost.source() {
        innermost = cause;
    }
    printable(innermost.to_string().as_bytes())
}

#[cfg(test)]
mod tests {
    use tokio_tungstenite::tungstenite;

    use super::*;

    fn refused(cause: kube::Error) -> OpenError {
        OpenError::Refused {
            target: PodContainer {
                namespace: "cpd".into(),
                pod: "p".into(),
                container: "c".into(),
            },
            cause: Box::new(cause),
        }
    }

    /// As hyper-rustls and tokio-rustls wrap what rustls says.
    fn handshake(error: rustls::Error) -> kube::Error {
        let error = io::Error::other(io::Error::new(io::ErrorKind::InvalidData, error));
        kube::Error::Service(Box::new(error))
    }

    #[test]
    fn a_certificate_that_is_not_trusted_is_found_and_not_tried_again() {
        let unknown = rustls::CertificateError::UnknownIssuer;
        let error = handshake(rustls::Error::InvalidCertificate(unknown.clone()));
        assert_eq!(certificate_error(&error), Some(&unknown));
        let error = refused(error);
        assert!(!error.is_transient());
        assert!(error.to_string().contains("UnknownIssuer"), "{error}");
        let broken = handshake(rustls::Error::General("broken off".to_owned()));
        assert!(certificate_error(&broken).is_none() && refused(broken).is_transient());
    }

    #[test]
    fn a_credential_plugin_that_fails_is_neither_quoted_nor_tried_again() {
        let plugin = AuthError::AuthExec("SECRET=hunter2 plugin".to_owned());
        let error = refused(kube::Error::Service(Box::new(plugin)));
        assert!(!error.is_transient());
        assert!(error.source().is_none() && !error.to_string().contains("hunter2"));
    }

    fn answer(code: u16, message: &str) -> OpenError {
        let status = Status {
            code,
            message: message.to_owned(),
            ..Status::default()
        };
        refused(kube::Error::Api(Box::new(status)))
    }

    #[test]
    fn a_front_that_passes_no_websockets_is_distinguished_from_a_server_that_refuses() {
        let switch = UpgradeConnectionError::ProtocolSwitch(tungstenite::http::StatusCode::OK);
        let broken = [
            answer(400, "Upgrade request required"),
            answer(426, "Upgrade Required"),
            answer(403, "<html><body>Forbidden</body></html>"),
            answer(502, "<!DOCTYPE html><title>Bad Gateway</title>"),
            refused(kube::Error::UpgradeConnection(switch)),
        ];
        for error in broken {
            assert!(error.is_for_want_of_websockets(), "{error}");
            assert!(
                error.to_string().contains("does not pass WebSockets on"),
                "{error}"
            );
            assert!(!error.to_string().contains('<'), "{error}");
        }
        for error in [
            answer(403, "pods is forbidden"),
            answer(400, "container x is not valid"),
            answer(503, "busy"),
        ] {
            assert!(!error.is_for_want_of_websockets(), "{error}");
        }
        assert!(!answer(400, "Upgrade request required").is_transient());
    }

    #[test]
    fn why_a_layer_has_no_credentials_is_reported_and_not_tried_again() {
        let error = refused(kube::Error::Service(Box::new(CredentialsError::new(
            "no plugin".to_owned(),
        ))));
        assert!(!error.is_transient());
        assert!(error.to_string().ends_with(": no plugin"), "{error}");
    }

    #[test]
    fn the_servers_words_are_kept_without_what_drives_a_terminal() {
        let status = kube::core::Status {
            code: 403,
            reason: "Forbidden".to_owned(),
            message: "no \u{1b}[2J".to_owned(),
            ..kube::core::Status::default()
        };
        assert_eq!(
            refused(kube::Error::Api(Box::new(status))).to_string(),
            "cannot run a command in container c of pod cpd/p: Error from server (Forbidden): no \\u{1b}[2J"
        );
    }
}
