//! Programs that give credentials: client-go's credential plugins.
//!
//! A plugin is told of the cluster in an environment variable, talks to the user on the terminal, and prints credentials.
//! Nothing it prints or is given is quoted in errors; its own words on standard error pass through.

use std::io::{self, IsTerminal as _};
use std::process::{ExitStatus, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;

use super::super::kubeconfig::{Cluster, Exec};
use crate::report::printable;

/// The versions of the protocol there are.
pub(in super::super) const VERSIONS: [&str; 2] = [
    "client.authentication.k8s.io/v1",
    "client.authentication.k8s.io/v1beta1",
];
/// Certificates and tokens are some kilobytes.
const LARGEST_ANSWER_BYTES: u64 = 4 << 20;

/// Why a plugin gave no credentials.
#[derive(Debug, thiserror::Error)]
pub(in super::super) enum PluginError {
    #[error("the credential plugin {command:?} cannot be started: {why}{}", hint("install it", .install_hint))]
    Start {
        command: String,
        why: io::Error,
        install_hint: String,
    },
    #[error("the credential plugin {command:?} failed ({status}); what it says stands above{}", hint("log in again", .install_hint))]
    Failed {
        command: String,
        status: ExitStatus,
        install_hint: String,
    },
    #[error(
        "the credential plugin {command:?} must be able to ask the user (interactiveMode: Always), and standard input is not a terminal; run this in a terminal, or log in another way"
    )]
    NoTerminal { command: String },
    #[error("the credential plugin {command:?} printed no credential: {why}")]
    Answer { command: String, why: String },
}

fn hint(what_to_do: &str, install_hint: &str) -> String {
    let hint = install_hint.trim();
    if hint.is_empty() {
        format!("; {what_to_do}, or log in another way")
    } else {
        format!(
            "; the kubeconfig says how to install it:\n{}",
            crate::report::printable_lines(hint)
        )
    }
}

/// What a plugin that asks for it is told of the cluster.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(in super::super) struct ClusterInfo {
    server: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    tls_server_name: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    insecure_skip_tls_verify: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    certificate_authority_data: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    proxy_url: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    disable_compression: bool,
    config: Option<Value>,
}

impl ClusterInfo {
    /// Of a cluster whose authority, wherever it is kept, is `authority`.
    pub(in super::super) fn from_cluster(cluster: &Cluster, authority: &[u8]) -> Self {
        Self {
            server: cluster.server.clone(),
            tls_server_name: cluster.tls_server_name.clone(),
            insecure_skip_tls_verify: cluster.insecure_skip_tls_verify,
            certificate_authority_data: STANDARD.encode(authority),
            proxy_url: cluster.proxy_url.clone(),
            disable_compression: cluster.disable_compression,
            config: cluster.plugin_config.clone(),
        }
    }
}

/// A plugin of the kubeconfig.
pub(in super::super) struct Plugin {
    exec: Exec,
    cluster: Option<ClusterInfo>,
}

/// What it printed.
pub(super) struct Printed {
    pub(super) token: Option<SecretString>,
    /// Certificate and key in PEM.
    pub(super) identity: Option<(String, SecretString)>,
    pub(super) expires: Option<Timestamp>,
}

/// What goes in and comes out.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Question<'a> {
    kind: &'static str,
    api_version: &'a str,
    spec: Spec<'a>,
}

#[derive(Serialize)]
struct Spec<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster: Option<&'a ClusterInfo>,
    interactive: bool,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Answer {
    kind: String,
    api_version: String,
    status: Option<Status>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    expiration_timestamp: Option<Timestamp>,
    token: Option<SecretString>,
    client_certificate_data: Option<String>,
    client_key_data: Option<SecretString>,
}

impl Plugin {
    /// The cluster is told to plugins that ask for it only.
    pub(in super::super) fn new(exec: Exec, cluster: ClusterInfo) -> Self {
        let cluster = exec.provide_cluster_info.then_some(cluster);
        Self { exec, cluster }
    }

    /// Starts it and waits for what it prints, as long as that takes.
    pub(super) async fn run(&self) -> Result<Printed, PluginError> {
        let interactive = self.is_interactive()?;
        let mut command = Command::new(&self.exec.command);
        command.args(&self.exec.args).kill_on_drop(true);
        for (name, value) in &self.exec.env {
            command.env(name, value.expose_secret());
        }
        command
            .env("KUBERNETES_EXEC_INFO", self.question(interactive)?)
            .stdin(if interactive {
                Stdio::inherit()
            } else {
                Stdio::null()
            })
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit());
        let failed = |why| PluginError::Start {
            command: self.name(),
            why,
            install_hint: self.exec.install_hint.clone(),
        };
        let mut child = command.spawn().map_err(failed)?;
        let mut printed = zeroize::Zeroizing::new(Vec::new());
        if let Some(stdout) = child.stdout.take() {
            stdout
                .take(LARGEST_ANSWER_BYTES)
                .read_to_end(&mut printed)
                .await
                .map_err(failed)?;
        }
        let status = child.wait().await.map_err(failed)?;
        if !status.success() {
            return Err(PluginError::Failed {
                command: self.name(),
                status,
                install_hint: self.exec.install_hint.clone(),
            });
        }
        self.read(&printed).map_err(|why| PluginError::Answer {
            command: self.name(),
            why,
        })
    }

    fn name(&self) -> String {
        self.exec.command.clone()
    }

    fn is_interactive(&self) -> Result<bool, PluginError> {
        let terminal = io::stdin().is_terminal();
        match self.exec.interactive_mode.as_str() {
            "Never" => Ok(false),
            "Always" if !terminal => Err(PluginError::NoTerminal {
                command: self.name(),
            }),
            _ => Ok(terminal),
        }
    }

    fn question(&self, interactive: bool) -> Result<String, PluginError> {
        let question = Question {
            kind: "ExecCredential",
            api_version: &self.exec.api_version,
            spec: Spec {
                cluster: self.cluster.as_ref(),
                interactive,
            },
        };
        serde_json::to_string(&question)
            // Go ends every object with one.
            .map(|text| text + "\n")
            .map_err(|error| PluginError::Answer {
                command: self.name(),
                why: error.to_string(),
            })
    }

    /// JSON, or, as client-go reads them both, YAML.
    fn read(&self, printed: &[u8]) -> Result<Printed, String> {
        let answer: Answer = serde_saphyr::from_slice(printed)
            .map_err(|_| "what it printed on standard output is no ExecCredential".to_owned())?;
        if answer.api_version != self.exec.api_version {
            return Err(format!(
                "the kubeconfig asks for version {}, and it answers in version {:?}",
                printable(&self.exec.api_version),
                answer.api_version
            ));
        }
        if answer.kind != "ExecCredential" {
            return Err(format!(
                "its answer is of the kind {:?}, not \"ExecCredential\"",
                answer.kind
            ));
        }
        let status = answer.status.ok_or("its answer has no status")?;
        let token = status
            .token
            .filter(|token| !token.expose_secret().is_empty());
        let certificate = status
            .client_certificate_data
            .filter(|data| !data.is_empty());
        let key = status
            .client_key_data
            .filter(|data| !data.expose_secret().is_empty());
        let identity = match (certificate, key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) if token.is_none() => {
                return Err("its answer holds neither a token nor a client certificate".to_owned());
            }
            (None, None) => None,
            _ => {
                return Err("its answer holds a client certificate or its key, not both".to_owned());
            }
        };
        Ok(Printed {
            token,
            identity,
            expires: status.expiration_timestamp,
        })
    }
}
