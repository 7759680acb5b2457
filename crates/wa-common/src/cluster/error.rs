//! What can go wrong between this machine and the API server, said as kubectl says it.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use kube::client::AuthError;
use kube::config::KubeconfigError;
use kube::core::Status;
use kube_transfer::exec::certificate_error;
use rustls::CertificateError;

use crate::report::printable;

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
    /// The kubeconfig cannot be read. Not a source: its own words may quote a line with a token.
    #[error("cannot use the kubeconfig: {}", kubeconfig_problem(.0))]
    Kubeconfig(KubeconfigError),
    /// A credential plugin, token file or login provider did not give a credential.
    #[error("cannot get credentials for {server}: {why}")]
    Credentials {
        /// The API server.
        server: String,
        /// What failed, without its output and environment.
        why: String,
    },
    /// kubectl's rule: groups are those of an impersonated user.
    #[error("--as-group needs --as: name the user to impersonate")]
    GroupsWithoutUser,
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
    /// The certificate authority of the API server cannot be read.
    #[error(
        "the certificate authority of the API server is not a list of certificates: {why}; check certificate-authority in the kubeconfig"
    )]
    Authority {
        /// What is wrong with it.
        why: String,
    },
    /// The token holds what no header can carry. The token itself is not shown.
    #[error(
        "the token holds characters that no token has, such as a line break in the middle; copy it again"
    )]
    InvalidToken,
    /// The proxy's URL is not one.
    #[error("the proxy URL is not valid: {0}; check proxy-url in the kubeconfig and HTTPS_PROXY")]
    Proxy(#[source] http::uri::InvalidUri),
    /// The proxy's URL has a scheme that is no proxy's. The URL itself may hold a password.
    #[error("a proxy with the scheme {scheme:?} is not supported: use http, https or socks5")]
    ProxyScheme {
        /// The scheme.
        scheme: String,
    },
    /// The client cannot be set up: certificates, keys.
    #[error("cannot set up the connection to {server}: {}", innermost(source))]
    Setup {
        /// The API server.
        server: String,
        /// Why.
        #[source]
        source: kube::Error,
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
            kube::Error::Auth(error) => Self::Credentials {
                server,
                why: credential_problem(&error),
            },
            error @ (kube::Error::HyperError(_) | kube::Error::Service(_)) => {
                Self::of_connection(&error, server)
            }
            source => Self::Setup { server, source },
        }
    }

    fn of_connection(error: &kube::Error, server: String) -> Self {
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

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&cause| cause.source())
}

/// What the last of the causes says: the outer ones are kube's names for the layers it passed.
fn innermost(error: &kube::Error) -> String {
    let innermost = causes(error).last().map(ToString::to_string);
    printable(&innermost.unwrap_or_default()).into_owned()
}

/// YAML errors quote the lines they are about, with the tokens and keys in them: only the place is told.
fn kubeconfig_problem(error: &KubeconfigError) -> String {
    let problem = match error {
        KubeconfigError::Parse(error) => {
            let place = error
                .location()
                .map(|place| format!(" (line {}, column {})", place.line(), place.column()));
            format!(
                "it is not the YAML of a kubeconfig{}",
                place.unwrap_or_default()
            )
        }
        other => other.to_string(),
    };
    printable(&problem).into_owned()
}

/// Without what a plugin printed and was given, either of which may hold a secret.
fn credential_problem(error: &AuthError) -> String {
    let problem = match error {
        AuthError::AuthExecStart(error) => format!(
            "the credential plugin of the kubeconfig user cannot be started: {error}; install it, or log in another way"
        ),
        AuthError::AuthExecRun { out, .. } => format!(
            "the credential plugin of the kubeconfig user failed ({}); log in again",
            out.status
        ),
        AuthError::AuthExecParse(_) | AuthError::ExecPluginFailed => {
            "the credential plugin of the kubeconfig user printed no credential".to_owned()
        }
        AuthError::ReadTokenFile(error, path) => {
            format!("cannot read the token file {}: {error}", path.display())
        }
        AuthError::ParseTokenKey(_) | AuthError::AuthExec(_) => {
            "the login provider of the kubeconfig user failed; log in again".to_owned()
        }
        other => other.to_string(),
    };
    printable(&problem).into_owned()
}

fn certificate_problem(why: &CertificateError) -> String {
    match why {
        CertificateError::UnknownIssuer => {
            "its certificate is signed by an unknown authority (x509)".to_owned()
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

    fn connection(error: impl Into<Box<dyn Error + Send + Sync>>) -> ClusterError {
        ClusterError::of(
            kube::Error::Service(error.into()),
            "https://api",
            "list pods",
        )
    }

    #[test]
    fn a_certificate_that_is_not_trusted_says_what_to_give() {
        for (why, advice) in [
            (CertificateError::UnknownIssuer, "--certificate-authority"),
            (CertificateError::NotValidForName, "--tls-server-name"),
            (CertificateError::Expired, "clock"),
        ] {
            let handshake = rustls::Error::InvalidCertificate(why);
            let error = connection(io::Error::other(io::Error::new(
                io::ErrorKind::InvalidData,
                handshake,
            )));
            assert!(
                !error.is_temporary() && error.to_string().contains(advice),
                "{error}"
            );
        }
    }

    #[test]
    fn a_credential_plugin_is_not_quoted() {
        let output = std::process::Output {
            status: std::process::ExitStatus::default(),
            stdout: b"hunter2".to_vec(),
            stderr: Vec::new(),
        };
        let failed = AuthError::AuthExecRun {
            cmd: "PASSWORD=hunter2 plugin".to_owned(),
            out: Box::new(output),
        };
        let error = connection(failed);
        assert!(!error.is_temporary() && error.source().is_none());
        assert!(error.to_string().contains("log in again"), "{error}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }

    #[test]
    fn a_kubeconfig_that_is_not_yaml_is_not_quoted() {
        let text = "users:\n- name: admin\n  user: {token: hunter2\n";
        let error = kube::config::Kubeconfig::from_yaml(text).unwrap_err();
        let error = ClusterError::Kubeconfig(error);
        assert!(error.source().is_none());
        assert!(error.to_string().contains("(line "), "{error}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
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
