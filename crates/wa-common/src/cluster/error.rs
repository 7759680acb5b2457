//! What can go wrong between this machine and the API server, said as kubectl says it.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use kube::core::Status;
use thiserror::Error;

use crate::report::printable;

/// A failed attempt to reach, or to be served by, the Kubernetes API.
///
/// Messages that start with "Error from server" are the API server's own, unchanged but for control characters.
#[derive(Debug, Error)]
pub enum ClusterError {
    /// There is no kubeconfig, and this is not a pod.
    #[error(
        "no kubeconfig: {} missing; log in to the cluster first (`oc login …`), or name one with --kubeconfig",
        missing(paths)
    )]
    NoKubeconfig {
        /// The files that were looked for.
        paths: Vec<PathBuf>,
    },
    /// The kubeconfig cannot be read.
    #[error("cannot use the kubeconfig: {0}")]
    Kubeconfig(#[source] kube::config::KubeconfigError),
    /// The named context is not in the kubeconfig.
    #[error(
        "context {context:?} does not exist in {file}; it has: {}",
        list(available)
    )]
    NoSuchContext {
        /// The context asked for.
        context: String,
        /// The kubeconfig files.
        file: String,
        /// The contexts there are.
        available: Vec<String>,
    },
    /// The kubeconfig has no current context and none was named.
    #[error(
        "{file} has no current context; choose one with --context: {}",
        list(available)
    )]
    NoCurrentContext {
        /// The kubeconfig files.
        file: String,
        /// The contexts there are.
        available: Vec<String>,
    },
    /// The cluster is not in the kubeconfig.
    #[error(
        "cluster {cluster:?} does not exist in the kubeconfig; it has: {}",
        list(available)
    )]
    NoSuchCluster {
        /// The cluster asked for.
        cluster: String,
        /// The clusters there are.
        available: Vec<String>,
    },
    /// The user is not in the kubeconfig.
    #[error(
        "user {user:?} does not exist in the kubeconfig; it has: {}",
        list(available)
    )]
    NoSuchUser {
        /// The user asked for.
        user: String,
        /// The users there are.
        available: Vec<String>,
    },
    /// kubectl's rule: a CA without verification is a contradiction.
    #[error(
        "--certificate-authority and --insecure-skip-tls-verify contradict each other; give one of them"
    )]
    InsecureWithAuthority,
    /// The proxy's URL is not one.
    #[error("the proxy URL is not valid: {0}; check proxy-url in the kubeconfig and HTTPS_PROXY")]
    Proxy(#[source] http::uri::InvalidUri),
    /// The client cannot be set up: certificates, keys, credential plugins.
    #[error("cannot set up the connection to {server}: {}", innermost(source))]
    Setup {
        /// The API server.
        server: String,
        /// Why.
        #[source]
        source: kube::Error,
    },
    /// The API server refused the credentials.
    #[error(
        "you must be logged in to the server (Unauthorized): {server} does not accept these credentials; log in again (`oc login {server}`), or check the user of the kubeconfig context"
    )]
    Unauthorized {
        /// The API server.
        server: String,
    },
    /// The API server answered with an error.
    #[error("Error from server ({}): {}", reason(status), printable(&status.message))]
    Api {
        /// Its answer.
        status: Box<Status>,
    },
    /// No connection, or it broke.
    #[error(
        "unable to connect to the server {server}: {why}; check the network, the VPN and the address in the kubeconfig"
    )]
    Unreachable {
        /// The API server.
        server: String,
        /// The innermost reason.
        why: String,
        /// Whether a connection that stood broke, rather than none being made: then a new one may hold.
        broke: bool,
    },
    /// The API server did not answer in time.
    #[error(
        "the server {server} did not answer within {after:?} ({what}); try again, or allow more with --request-timeout"
    )]
    TimedOut {
        /// The API server.
        server: String,
        /// What was asked.
        what: String,
        /// How long it was waited for.
        after: Duration,
    },
    /// The answer is not what the Kubernetes API documents.
    #[error(
        "cannot read the server's answer ({what}): it is not what the Kubernetes API documents"
    )]
    Answer {
        /// What was asked.
        what: String,
    },
}

impl ClusterError {
    /// Turns kube's error about a request for `what` into one a user can act on.
    pub fn of(error: kube::Error, server: &str, what: &str) -> Self {
        let server = server.to_owned();
        match error {
            kube::Error::Api(status) if status.code == 401 => Self::Unauthorized { server },
            kube::Error::Api(status) => Self::Api { status },
            // The source would quote the answer, which may be a Secret.
            kube::Error::SerdeError(_) => Self::Answer {
                what: what.to_owned(),
            },
            error @ (kube::Error::HyperError(_) | kube::Error::Service(_)) => Self::Unreachable {
                server,
                why: innermost(&error),
                broke: broke(&error),
            },
            source => Self::Setup { server, source },
        }
    }

    /// The HTTP status of the API server's answer.
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Api { status } => Some(status.code),
            Self::Unauthorized { .. } => Some(401),
            _ => None,
        }
    }

    /// Whether the same read can succeed a moment later.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Api { status } => matches!(status.code, 429 | 500 | 502..=504),
            Self::Unreachable { broke, .. } => *broke,
            _ => false,
        }
    }
}

fn reason(status: &Status) -> String {
    if status.reason.is_empty() {
        format!("HTTP {}", status.code)
    } else {
        printable(&status.reason).into_owned()
    }
}

fn list(names: &[String]) -> String {
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}

fn missing(paths: &[PathBuf]) -> String {
    let paths: Vec<String> = paths
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    match paths.as_slice() {
        [] => "$HOME/.kube/config is".to_owned(),
        [path] => format!("{path} is"),
        paths => format!("{} are", paths.join(", ")),
    }
}

/// The chain of causes in one line, without kube's repetitions: the innermost cause says what a user can act on.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    printable(&cause.to_string()).into_owned()
}

fn broke(error: &kube::Error) -> bool {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return matches!(
                error.kind(),
                io::ErrorKind::ConnectionReset
                    | io::ErrorKind::ConnectionAborted
                    | io::ErrorKind::BrokenPipe
                    | io::ErrorKind::UnexpectedEof
            );
        }
        cause = error.source();
    }
    // hyper's own: the server closed the connection before it answered.
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api(code: u16, reason: &str, message: &str) -> ClusterError {
        let status = Status {
            code,
            reason: reason.to_owned(),
            message: message.to_owned(),
            ..Status::default()
        };
        ClusterError::of(
            kube::Error::Api(Box::new(status)),
            "https://api.example:6443",
            "list pods",
        )
    }

    #[test]
    fn the_servers_own_words_are_kept_as_kubectl_shows_them() {
        let message = r#"pods is forbidden: User "alice" cannot list resource "pods" in API group "" in the namespace "cpd""#;
        assert_eq!(
            api(403, "Forbidden", message).to_string(),
            format!("Error from server (Forbidden): {message}")
        );
    }

    #[test]
    fn an_expired_token_says_to_log_in_again() {
        let text = api(401, "Unauthorized", "Unauthorized").to_string();
        assert!(
            text.contains("you must be logged in") && text.contains("oc login"),
            "{text}"
        );
    }

    #[test]
    fn only_answers_that_may_change_are_temporary() {
        for (code, temporary) in [
            (400, false),
            (403, false),
            (404, false),
            (429, true),
            (500, true),
            (503, true),
            (504, true),
        ] {
            assert_eq!(api(code, "", "").is_temporary(), temporary, "{code}");
        }
    }
}
