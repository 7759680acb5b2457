//! What can go wrong between this machine and the API server, said as kubectl says it.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use kube::client::AuthError;
use kube::core::Status;
use kube_transfer::exec::{CredentialsError, certificate_error, front_problem};
use rustls::CertificateError;

use super::kubeconfig::KubeconfigError;
use super::tls::Distrust;
use crate::report::{printable, printable_lines};

/// A failed attempt to reach, or to be served by, the Kubernetes API.
///
/// Messages that start with "Error from server" are the API server's own, unchanged but for control characters.
#[derive(Debug, thiserror::Error)]
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
    /// There is a kubeconfig, with no cluster in it.
    #[error(
        "the kubeconfig {} names no cluster; log in to the cluster first (`oc login …`), or name another with --kubeconfig",
        file.display()
    )]
    EmptyKubeconfig {
        /// The file.
        file: PathBuf,
    },
    /// A kubeconfig file cannot be read.
    #[error(transparent)]
    Kubeconfig(#[from] KubeconfigError),
    /// What the kubeconfig and the flags say of a cluster or user does not go together, or cannot be used.
    #[error("cannot use the kubeconfig: {}", printable_lines(.0))]
    Entry(String),
    /// The address of the API server is none.
    #[error("{server:?} is not the address of an API server: {why}")]
    Server {
        /// What was given, without a password.
        server: String,
        /// What is wrong with it.
        why: String,
    },
    /// A context or cluster without an address.
    #[error(
        "the current context in {file} names no cluster with a server; log in to the cluster first (`oc login …`), or give --server"
    )]
    NoServer {
        /// The kubeconfig files.
        file: String,
    },
    /// Nothing says who the user is.
    #[error(
        "cannot use the kubeconfig: {} has no credentials: no token, client certificate or credential plugin; log in to the cluster first (`oc login …`)",
        printable(user)
    )]
    NoCredentials {
        /// The user's entry.
        user: String,
    },
    /// The context names a user that is in no file.
    #[error(
        "cannot use the kubeconfig: the context's user {user:?} does not exist in it, so that there are no credentials; log in to the cluster again (`oc login …`), or name another with --user"
    )]
    UserNotThere {
        /// The user's name.
        user: String,
    },
    /// The client certificate, the CA or TLS itself cannot be used.
    #[error("cannot set up the connection to {server}: {why}")]
    Tls {
        /// The API server.
        server: String,
        /// What is wrong.
        why: String,
    },
    /// A credential plugin, token file or login provider did not give a credential.
    #[error("cannot get credentials for {server}: {why}")]
    Credentials {
        /// The API server.
        server: String,
        /// What failed, without its output and environment.
        why: String,
    },
    /// kubectl's rule: groups and a UID are those of an impersonated user.
    #[error("{flag} needs --as: name the user to impersonate")]
    ImpersonatesNobody {
        /// What was given without a user.
        flag: &'static str,
    },
    /// The namespace cannot be one, and would lead elsewhere as part of a URL.
    #[error(
        "{namespace:?} is not the name of a namespace: lower-case letters, digits and '-', at most 63"
    )]
    InvalidNamespace {
        /// What was given.
        namespace: String,
    },
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
    Proxy(http::uri::InvalidUri),
    /// The proxy's URL has a scheme that is no proxy's. The URL itself may hold a password.
    #[error("a proxy URL with the scheme {scheme:?} is not supported: use http, https or socks5")]
    ProxyScheme {
        /// The scheme.
        scheme: String,
    },
    /// The client cannot be set up: certificates, keys.
    #[error("cannot set up the connection to {server}: {why}")]
    Setup {
        /// The API server.
        server: String,
        /// The innermost reason.
        why: String,
    },
    /// The API server's certificate is not trusted.
    #[error(
        "unable to connect to the server {server}: {}; {}",
        certificate_problem(why),
        certificate_advice(why)
    )]
    Untrusted {
        /// The API server.
        server: String,
        /// Why not.
        why: CertificateError,
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
    #[error("Error from server ({}): {}", reason(status), words(status))]
    Api {
        /// Its answer.
        status: Box<Status>,
    },
    /// No connection, or it broke.
    #[error(
        "unable to connect to the server {server}: {why}; check the network, the VPN and the address in the kubeconfig{}",
        without_tls(server)
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
    pub fn from_kube(error: kube::Error, server: &str, what: &str) -> Self {
        let server = server.to_owned();
        match error {
            kube::Error::Api(status) if status.code == 401 => Self::Unauthorized { server },
            kube::Error::Api(status) => Self::Api { status },
            // The source would quote the answer, which may be a Secret.
            kube::Error::SerdeError(_) => Self::Answer {
                what: what.to_owned(),
            },
            kube::Error::Auth(error) => Self::Credentials {
                server,
                why: credential_problem(&error),
            },
            error @ (kube::Error::HyperError(_) | kube::Error::Service(_)) => {
                Self::from_connection(&error, server)
            }
            error => Self::Setup {
                server,
                why: innermost(&error),
            },
        }
    }

    fn from_connection(error: &kube::Error, server: String) -> Self {
        let found = causes(error).find_map(|cause| cause.downcast_ref::<CredentialsError>());
        if let Some(error) = found {
            let why = printable_lines(&error.to_string());
            return Self::Credentials { server, why };
        }
        if let Some(why) = certificate_error(error) {
            let why = why.clone();
            return Self::Untrusted { server, why };
        }
        if let Some(error) = causes(error).find_map(|cause| cause.downcast_ref::<AuthError>()) {
            let why = credential_problem(error);
            return Self::Credentials { server, why };
        }
        Self::Unreachable {
            server,
            why: innermost(error),
            broke: broke(error),
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

    /// Whether the API server cannot be reached, or does not serve: it may be back in minutes.
    pub fn is_away(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::TimedOut { .. })
            || self.is_transient()
            || self.code().is_some_and(|code| code >= 500)
    }

    /// Whether the same request can succeed a moment later.
    pub fn is_transient(&self) -> bool {
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

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&cause| cause.source())
}

/// What the last of the causes says: the outer ones are kube's names for the layers it passed.
fn innermost(error: &kube::Error) -> String {
    let innermost = causes(error).last().map(ToString::to_string);
    printable(&innermost.unwrap_or_default()).into_owned()
}

/// The server's own words; where a front answered in its place, what that means.
fn words(status: &Status) -> String {
    match front_problem(status) {
        Some(problem) => problem.to_owned(),
        None => printable(&status.message).into_owned(),
    }
}

/// kubectl takes an address without a scheme for http, which is hardly ever meant.
fn without_tls(server: &str) -> &'static str {
    if server.starts_with("http://") {
        " (it is http://, without TLS and credentials: an address without a scheme is taken for that; write https:// if the server speaks TLS)"
    } else {
        ""
    }
}

/// What kube's own login provider, OpenID Connect, fails with. Its words may quote what the provider answered.
fn credential_problem(error: &AuthError) -> String {
    let problem = match error {
        AuthError::Oidc(_) => "the login provider (oidc) of the kubeconfig user gave no new token",
        _ => "the login provider of the kubeconfig user failed",
    };
    format!("{problem}; log in again")
}

fn certificate_problem(why: &CertificateError) -> String {
    match why {
        CertificateError::UnknownIssuer => {
            "its certificate is signed by an unknown authority (x509)".to_owned()
        }
        CertificateError::NotValidForNameContext { presented, .. } if presented.is_empty() => {
            "its certificate has no subject alternative name, and the common name has not counted for years (kubectl refuses it too)".to_owned()
        }
        CertificateError::Other(other) if other.0.is::<Distrust>() => {
            format!("its certificate is not accepted: {}", printable(&other.to_string()))
        }
        other => format!(
            "its certificate is not accepted: {}",
            printable(&other.to_string())
        ),
    }
}

fn certificate_advice(why: &CertificateError) -> &'static str {
    match why {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "name the CA's file with --certificate-authority, or log in to the cluster again"
        }
        CertificateError::NotValidForNameContext { presented, .. } if presented.is_empty() => {
            "ask whoever runs the cluster for a certificate with subject alternative names"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "connect by a name that the certificate has, or give that with --tls-server-name"
        }
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => {
            "renew the cluster's certificates, or set this machine's clock"
        }
        _ => "ask whoever runs the cluster about its certificates",
    }
}

fn broke(error: &kube::Error) -> bool {
    let io = causes(error).find_map(|cause| cause.downcast_ref::<io::Error>());
    match io {
        Some(error) => matches!(
            error.kind(),
            io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe
                | io::ErrorKind::UnexpectedEof
        ),
        // hyper's own: the server closed the connection before it answered.
        None => true,
    }
}

#[cfg(test)]
#[path = "error_tests.rs"]
mod tests;
