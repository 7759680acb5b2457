//! The auth-encryption secret as a file of a set.

use std::collections::BTreeMap;

use anyhow::Context as _;
use backup_set::{AUTH_ENCRYPTION_FILE, BegunSet, CompletedFile, FileRole, SetError, SetWriter};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use serde::Serialize;
use serde_json::json;

use super::AUTH_ENCRYPTION_KEY;
use crate::report::{Steps, bytes};

/// What a restore needs of the secret: its key, its name and labels. What the cluster added (uid, owner, managed fields)
/// would keep the file from being applied elsewhere.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct File<'a> {
    api_version: &'static str,
    kind: &'static str,
    metadata: Metadata<'a>,
    #[serde(rename = "type")]
    type_: &'a str,
    data: BTreeMap<&'static str, &'a ByteString>,
}

#[derive(Serialize)]
struct Metadata<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<&'a BTreeMap<String, String>>,
}

/// The secret as YAML that `kubectl apply` takes, like the file the CronJob writes beside its dumps.
pub fn auth_encryption_yaml(secret: &Secret) -> anyhow::Result<String> {
    let data = secret
        .data
        .iter()
        .filter_map(|data| data.get(AUTH_ENCRYPTION_KEY))
        .map(|value| (AUTH_ENCRYPTION_KEY, value))
        .collect();
    let file = File {
        api_version: "v1",
        kind: "Secret",
        metadata: Metadata {
            name: secret.metadata.name.as_deref().unwrap_or_default(),
            labels: secret.metadata.labels.as_ref(),
        },
        type_: secret.type_.as_deref().unwrap_or("Opaque"),
        data,
    };
    serde_saphyr::to_string(&file).context("cannot write the auth-encryption secret as YAML")
}

/// Puts that YAML into a set, as one of `steps`.
pub fn store_auth_encryption<B: BegunSet>(
    set: &SetWriter<B>,
    yaml: &str,
    steps: &Steps<'_>,
) -> Result<CompletedFile, SetError> {
    let step = steps.begin(AUTH_ENCRYPTION_FILE, "");
    let file = set.write(
        AUTH_ENCRYPTION_FILE,
        FileRole::AuthEncryption,
        yaml.as_bytes(),
    )?;
    step.done_with(
        format!(
            "{}, needed to read restored data: keep it secret",
            bytes(file.bytes())
        ),
        json!({"bytes": file.bytes()}),
    );
    Ok(file)
}

/// Reads the YAML that the CronJob writes beside its dumps; an error where it is not such a secret.
pub fn read_auth_encryption(yaml: &[u8]) -> anyhow::Result<Secret> {
    let text = std::str::from_utf8(yaml).context("it is not text")?;
    // The library's error quotes what it read, which may be the key.
    let secret: Secret = serde_saphyr::from_str(text)
        .map_err(|_| anyhow::anyhow!("it is not the YAML of a Secret"))?;
    let has_key = |data: &BTreeMap<_, _>| data.contains_key(AUTH_ENCRYPTION_KEY);
    anyhow::ensure!(
        secret.data.as_ref().is_some_and(has_key),
        "the Secret in it has no {AUTH_ENCRYPTION_KEY}"
    );
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_file_holds_the_key_and_nothing_of_the_old_cluster() {
        let secret: Secret = serde_json::from_value(json!({
            "metadata": {"name": "wa-auth-encryption", "namespace": "cpd", "uid": "u", "resourceVersion": "7",
                         "labels": {"service": "conversation", "app": "wa-auth-encryption"}},
            "type": "Opaque",
            "data": {"authorization_encryption_key": "c2VjcmV0", "other": "eA=="},
        }))
        .unwrap();
        let yaml = auth_encryption_yaml(&secret).unwrap();
        let back: Secret = serde_saphyr::from_str(&yaml).unwrap();
        assert_eq!(back.metadata.name.as_deref(), Some("wa-auth-encryption"));
        assert_eq!(back.metadata.labels.unwrap()["service"], "conversation");
        assert_eq!(
            back.data.unwrap()["authorization_encryption_key"].0,
            b"secret"
        );
        assert!(read_auth_encryption(yaml.as_bytes()).is_ok());
        assert!(
            !yaml.contains("resourceVersion") && !yaml.contains("other"),
            "{yaml}"
        );
    }

    #[test]
    fn what_is_no_such_secret_is_refused_and_not_quoted() {
        for yaml in [
            "data: {authorization_encryption_key: [c2VjcmV0]}",
            "data: {other: c2VjcmV0}",
            "c2VjcmV0",
        ] {
            let error = format!("{:#}", read_auth_encryption(yaml.as_bytes()).unwrap_err());
            assert!(!error.contains("c2VjcmV0"), "{error}");
        }
        assert!(read_auth_encryption(b"\xff").is_err());
    }
}
