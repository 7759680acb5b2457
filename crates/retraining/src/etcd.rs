//! Counting the workspaces to train, in the etcd that the product keeps them in.

use k8s_openapi::api::core::v1::{Pod, Secret as SecretObject};
use kube_transfer::{DownloadError, PodContainer, RemoteCommand};
use serde::Deserialize;
use serde_json::Value;
use wa_common::assistant::{AssistantError, Instance};
use wa_common::cluster::{Cluster, pod_is_ready};

use crate::error::RetrainError;

const SCRIPT: &str = include_str!("count.sh");
/// The members that may be asked: `<instance>-etcd-0` and its siblings.
const MEMBERS: std::ops::Range<u8> = 0..3;
const CONTAINER: &str = "etcd";
/// The key of the secret with the endpoints.
const SECRET_KEY: &str = "etcd";

/// An etcd that can be asked.
#[derive(Debug, Clone)]
pub struct Etcd {
    pod: PodContainer,
    service: String,
    prefix: String,
    /// Where the release publishes them; else they follow from the pod's host name.
    endpoints: Option<String>,
}

/// etcdctl's answer. What is zero is left out of it.
#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "header")]
    _header: Value,
    #[serde(default)]
    count: u64,
}

impl Etcd {
    /// The secret that may hold the endpoints.
    pub fn secret_name(instance: &str) -> String {
        format!("{instance}-cluruntime-datastore-connection-strings")
    }

    /// A member of the instance's etcd that is Ready.
    pub async fn find(cluster: &Cluster, instance: &Instance) -> Result<Self, RetrainError> {
        let mut seen = Vec::new();
        for member in MEMBERS {
            let name = format!("{}-etcd-{member}", instance.name);
            let Some(pod) = cluster.find::<Pod>(&name).await? else {
                continue;
            };
            if !pod_is_ready(&pod) {
                seen.push(format!("{name} is not"));
                continue;
            }
            return Ok(Self {
                pod: PodContainer {
                    namespace: instance.namespace.clone(),
                    container: container(&pod),
                    pod: name,
                },
                service: format!("{}-etcd", instance.name),
                prefix: prefix(&instance.name),
                endpoints: endpoints(cluster, instance).await?,
            });
        }
        Err(RetrainError::NoEtcdPod {
            instance: instance.name.clone(),
            namespace: instance.namespace.clone(),
            found: if seen.is_empty() {
                format!("there is no pod {}-etcd-0", instance.name)
            } else {
                seen.join(", ")
            },
        })
    }

    /// The pod that is asked.
    pub fn pod(&self) -> &str {
        &self.pod.pod
    }

    /// Where the workspaces are.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// How many workspaces there are to train.
    pub async fn count_workspaces(&self, cluster: &Cluster) -> Result<u64, RetrainError> {
        let failed = |source| self.failed(source);
        let printed = cluster
            .run_idempotent(&self.pod, &self.command())
            .await
            .map_err(failed)?;
        let answer: Result<Answer, _> = serde_json::from_slice(&printed.stdout);
        let answer = answer.map_err(|_| RetrainError::EtcdAnswer {
            pod: self.pod.pod.clone(),
        })?;
        Ok(answer.count)
    }

    fn command(&self) -> RemoteCommand {
        // Endpoints have no quotes: `parse_endpoints` lets none in.
        let endpoints = self.endpoints.as_deref().unwrap_or_default();
        let script = format!("ENDPOINTS='{endpoints}'\n{SCRIPT}");
        RemoteCommand::sent_script(&script).args([
            self.prefix.as_str(),
            self.service.as_str(),
            self.pod.namespace.as_str(),
        ])
    }

    fn failed(&self, source: DownloadError) -> RetrainError {
        let pod = self.pod.pod.clone();
        match source {
            DownloadError::Command { stderr, .. } if is_refusal(&stderr) => {
                RetrainError::EtcdRefused {
                    pod,
                    said: last_line(&stderr),
                }
            }
            source => RetrainError::Etcd { pod, source },
        }
    }
}

/// Where the product keeps the workspaces of an instance.
fn prefix(instance: &str) -> String {
    format!("/bluegoat/voyager-nlu/voyager-nlu-slot-{instance}/workspaces/")
}

/// etcd's own words for a user or password that it does not take.
fn is_refusal(stderr: &str) -> bool {
    [
        "authentication failed",
        "permission denied",
        "user name is empty",
    ]
    .iter()
    .any(|words| stderr.contains(words))
        && stderr.contains("etcdserver:")
}

fn last_line(text: &str) -> String {
    text.trim_end()
        .lines()
        .last()
        .unwrap_or_default()
        .to_owned()
}

/// The container of etcd itself, which may have companions.
fn container(pod: &Pod) -> String {
    let names = || {
        pod.spec
            .iter()
            .flat_map(|spec| spec.containers.iter().map(|one| &one.name))
    };
    let found = names()
        .find(|name| *name == CONTAINER)
        .or_else(|| names().next());
    found.cloned().unwrap_or_else(|| CONTAINER.to_owned())
}

/// The endpoints that the release publishes; `None` where it does not.
async fn endpoints(cluster: &Cluster, instance: &Instance) -> Result<Option<String>, RetrainError> {
    let name = Etcd::secret_name(&instance.name);
    let Some(secret) = cluster.find::<SecretObject>(&name).await? else {
        return Ok(None);
    };
    parse_endpoints(&secret).map(Some).map_err(|what| {
        AssistantError::MalformedSecret {
            secret: name,
            namespace: instance.namespace.clone(),
            what: what.to_owned(),
        }
        .into()
    })
}

/// A text with commas, or a list. Everything wrong is said without values.
fn parse_endpoints(secret: &SecretObject) -> Result<String, &'static str> {
    let data = secret.data.iter().find_map(|data| data.get(SECRET_KEY));
    let data = data.ok_or("it has no key \"etcd\"")?;
    let connection: Value =
        serde_json::from_slice(&data.0).map_err(|_| "the value of \"etcd\" is not JSON")?;
    let text = match &connection["endpoints"] {
        Value::String(text) => text.clone(),
        Value::Array(several) => {
            let texts: Option<Vec<&str>> = several.iter().map(Value::as_str).collect();
            texts.unwrap_or_default().join(",")
        }
        _ => String::new(),
    };
    // It becomes a line of a script.
    let is_plain = |character: char| character.is_ascii_graphic() && !"'\"\\`$".contains(character);
    if text.is_empty() || !text.chars().all(is_plain) {
        return Err("the value of \"etcd\" has no usable \"endpoints\"");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::process::Command;

    use k8s_openapi::ByteString;
    use serde_json::json;

    use super::*;

    /// Prints its arguments and what it is told in its environment, then a million keys, unless it is asked for one.
    const ETCDCTL: &str = r#"#!/bin/sh
echo "$@" >&2
env | grep ETCDCTL_ | sort >&2
case " $* " in *" --limit=1 "*) ;; *) seq 1000000 ;; esac
echo '{"header":{"revision":3},"kvs":[{"key":"YQ=="}],"more":true,"count":1000000}'
"#;

    fn secret(value: &str) -> SecretObject {
        SecretObject {
            data: Some([("etcd".to_owned(), ByteString(value.as_bytes().to_vec()))].into()),
            ..SecretObject::default()
        }
    }

    #[test]
    fn endpoints_are_a_text_or_a_list_and_never_shell() {
        let parse = |value: Value| parse_endpoints(&secret(&value.to_string()));
        let one = "https://wa-etcd.cpd.svc:2379";
        assert_eq!(parse(json!({ "endpoints": one })).unwrap(), one);
        assert_eq!(
            parse(json!({ "endpoints": [one, one] })).unwrap(),
            format!("{one},{one}")
        );
        for bad in [
            json!({}),
            json!([]),
            json!({ "endpoints": "" }),
            json!({ "endpoints": "a'; rm" }),
            json!({ "endpoints": [1] }),
        ] {
            assert!(parse(bad.clone()).is_err(), "{bad}");
        }
        assert!(
            parse_endpoints(&secret("hunter2"))
                .unwrap_err()
                .contains("not JSON")
        );
        assert!(
            parse_endpoints(&SecretObject::default())
                .unwrap_err()
                .contains("no key")
        );
    }

    #[test]
    fn an_answer_without_a_count_is_none_and_one_of_nothing_is_zero() {
        let count = |text: &str| {
            serde_json::from_str::<Answer>(text)
                .map(|answer| answer.count)
                .ok()
        };
        assert_eq!(
            count(r#"{"header":{"revision":3},"kvs":[{}],"count":24}"#),
            Some(24)
        );
        assert_eq!(count(r#"{"header":{"revision":3}}"#), Some(0));
        for text in ["", "{}", "[]", "24", r#"{"header":{},"count":"many"}"#] {
            assert_eq!(count(text), None, "{text}");
        }
    }

    #[test]
    fn only_what_etcd_says_of_user_and_password_is_a_refusal() {
        assert!(is_refusal(
            "Error: etcdserver: authentication failed, invalid user ID or password\n"
        ));
        assert!(is_refusal(
            "{\"level\":\"warn\"}\nError: etcdserver: permission denied"
        ));
        assert!(!is_refusal(
            "cat: /var/run/credentials/pass.key: Permission denied"
        ));
        assert!(!is_refusal("Error: context deadline exceeded"));
    }

    #[test]
    fn a_million_workspaces_are_counted_by_the_server_and_the_password_is_no_argument() {
        let scratch = std::env::temp_dir().join(format!("retraining-etcd-{}", std::process::id()));
        fs::create_dir_all(&scratch).unwrap();
        let etcdctl = scratch.join("etcdctl");
        fs::write(&etcdctl, ETCDCTL).unwrap();
        fs::set_permissions(&etcdctl, fs::Permissions::from_mode(0o755)).unwrap();
        let file = scratch.join("pass.key");
        fs::write(&file, "hun'ter$2\n").unwrap();
        let script = SCRIPT.replace("/var/run/credentials/pass.key", file.to_str().unwrap());
        let path = format!("{}:{}", scratch.display(), std::env::var("PATH").unwrap());
        let run = |endpoints: &str| {
            let output = Command::new("sh")
                .args(["-c", &script, "sh", "/slot/", "wa-etcd", "cpd"])
                .envs([
                    ("PATH", path.as_str()),
                    ("ENDPOINTS", endpoints),
                    ("ETCDCTL_DEBUG", "true"),
                ])
                .env_remove("CLUSTER_NAME")
                .output()
                .unwrap();
            assert!(
                output.stdout.len() < 10_000,
                "{} bytes",
                output.stdout.len()
            );
            let answer: Answer = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!(answer.count, 1_000_000);
            String::from_utf8(output.stderr).unwrap()
        };
        let said = run("https://wa-etcd:2379");
        let (arguments, environment) = said.split_once('\n').unwrap();
        assert_eq!(
            arguments,
            "get --prefix /slot/ --keys-only --limit=1 --write-out=json"
        );
        assert!(
            environment.contains("ETCDCTL_USER=root:hun'ter$2\n"),
            "{environment}"
        );
        assert!(
            environment.contains("ETCDCTL_ENDPOINTS=https://wa-etcd:2379\n"),
            "{environment}"
        );
        assert!(!environment.contains("ETCDCTL_DEBUG"), "{environment}");
        // Where the release publishes no endpoints, they follow from the host name.
        let said = run("");
        assert!(
            said.contains(".wa-etcd.cpd.svc.cluster.local:2379"),
            "{said}"
        );
        fs::remove_dir_all(scratch).unwrap();
    }
}
