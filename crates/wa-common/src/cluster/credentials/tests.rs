//! Credential plugins, each a shell script that counts how often it is started.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::super::kubeconfig::{Cluster, Exec};
use super::plugin::VERSIONS;
use super::*;

const TOKEN: &str = r#"{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","status":{"token":"t"}}"#;

/// A plugin that notes its environment in `log` and prints `answer`.
fn exec(directory: &Path, answer: &str) -> Exec {
    fs::write(directory.join("answer"), answer).unwrap();
    let here = directory.display();
    let script = format!(
        "#!/bin/sh\nprintf '%s' \"$KUBERNETES_EXEC_INFO\" >>{here}/log\ncat {here}/answer\ntest ! -e {here}/fail\n"
    );
    let path = directory.join("plugin");
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    Exec {
        command: path.display().to_string(),
        api_version: VERSIONS[0].to_owned(),
        interactive_mode: "Never".to_owned(),
        install_hint: "get it at example.com".to_owned(),
        ..Exec::default()
    }
}

fn credentials(exec: Exec) -> Credentials {
    let cluster = Cluster {
        server: "https://a".to_owned(),
        ..Cluster::default()
    };
    let plugin = Plugin::new(exec, ClusterInfo::from_cluster(&cluster, b"ca"));
    Credentials::Plugin(Box::new(PluginCredentials::new(
        plugin,
        Presented::default(),
        Box::new(|| ()),
    )))
}

fn log(directory: &Path) -> String {
    fs::read_to_string(directory.join("log")).unwrap_or_default()
}

fn starts(directory: &Path) -> usize {
    log(directory).lines().count()
}

async fn error(exec: Exec) -> String {
    let mut headers = HeaderMap::new();
    let error = credentials(exec).authorize(&mut headers).await.unwrap_err();
    assert!(headers.is_empty());
    error.to_string()
}

#[tokio::test]
async fn a_plugin_is_started_once_and_again_when_its_credential_has_expired() {
    let directory = tempfile::tempdir().unwrap();
    let expiring = |when: &str| {
        TOKEN.replace(
            "\"token\"",
            &format!("\"expirationTimestamp\":\"{when}\",\"token\""),
        )
    };
    for (answer, expected) in [
        (TOKEN.to_owned(), 1),
        (expiring("2999-01-01T00:00:00Z"), 1),
        (expiring("2001-01-01T00:00:00Z"), 3),
    ] {
        let _ = fs::remove_file(directory.path().join("log"));
        let credentials = credentials(exec(directory.path(), &answer));
        for _ in 0..3 {
            let mut headers = HeaderMap::new();
            credentials.authorize(&mut headers).await.unwrap();
            assert_eq!(headers[AUTHORIZATION], "Bearer t");
        }
        assert_eq!(starts(directory.path()), expected, "{answer}");
    }
}

#[tokio::test]
async fn a_refused_credential_is_renewed_once_and_not_again_until_one_was_taken() {
    let directory = tempfile::tempdir().unwrap();
    let credentials = credentials(exec(directory.path(), TOKEN));
    let mut headers = HeaderMap::new();
    let first = credentials.authorize(&mut headers).await.unwrap();
    assert!(credentials.refused(first).await.unwrap());
    assert!(
        credentials.refused(first).await.unwrap(),
        "another request has renewed it"
    );
    assert_eq!(starts(directory.path()), 2);
    let second = credentials.authorize(&mut headers).await.unwrap();
    assert!(!credentials.refused(second).await.unwrap());
    assert_eq!(starts(directory.path()), 2);
    credentials.accepted(second).await;
    assert!(credentials.refused(second).await.unwrap());
    assert_eq!(starts(directory.path()), 3);
}

#[tokio::test]
async fn a_plugin_is_reported_of_the_cluster_only_when_it_asks_and_in_client_gos_words() {
    let directory = tempfile::tempdir().unwrap();
    let told = r#"{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","spec":{"cluster":{"server":"https://a","certificate-authority-data":"Y2E=","config":null},"interactive":false}}"#;
    let not_told = r#"{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","spec":{"interactive":false}}"#;
    for (asks, expected) in [(true, told), (false, not_told)] {
        let _ = fs::remove_file(directory.path().join("log"));
        let exec = Exec {
            provide_cluster_info: asks,
            ..exec(directory.path(), TOKEN)
        };
        credentials(exec).prepare().await.unwrap();
        assert_eq!(log(directory.path()), format!("{expected}\n"));
    }
}

#[tokio::test]
async fn a_credential_that_is_none_is_an_error_without_what_was_printed() {
    let directory = tempfile::tempdir().unwrap();
    for (answer, expected) in [
        (
            TOKEN.replace(r#"{"token":"t"}"#, "{}"),
            "neither a token nor a client certificate",
        ),
        (
            TOKEN.replace(r#""t""#, r#""""#),
            "neither a token nor a client certificate",
        ),
        (TOKEN.replace(r#","status":{"token":"t"}"#, ""), "no status"),
        (
            TOKEN.replace("/v1\"", "/v1beta1\""),
            "answers in version \"client.authentication.k8s.io/v1beta1\"",
        ),
        (
            TOKEN.replace("ExecCredential", "Pod"),
            "of the kind \"Pod\"",
        ),
        (
            TOKEN.replace(r#""t""#, r#""hunter2\nb""#),
            "of the credential plugin holds characters",
        ),
        (
            TOKEN
                .replace("token", "clientKeyData")
                .replace("\"t\"", "\"hunter2\""),
            "not both",
        ),
        ("hunter2".to_owned(), "is no ExecCredential"),
        (String::new(), "version"),
    ] {
        let error = error(exec(directory.path(), &answer)).await;
        assert!(error.contains(expected), "{answer}: {error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[tokio::test]
async fn a_plugin_that_cannot_be_started_or_fails_is_named_with_how_to_install_it() {
    let directory = tempfile::tempdir().unwrap();
    let missing = Exec {
        command: "no-such-plugin".to_owned(),
        ..exec(directory.path(), TOKEN)
    };
    let text = error(missing).await;
    assert!(
        text.contains("\"no-such-plugin\" cannot be started")
            && text.contains("get it at example.com"),
        "{text}"
    );
    let failing = exec(directory.path(), TOKEN);
    fs::write(directory.path().join("fail"), "").unwrap();
    let text = error(failing).await;
    assert!(
        text.contains("failed (exit status: 1)") && text.contains("get it at example.com"),
        "{text}"
    );
}
