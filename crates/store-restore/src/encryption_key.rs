//! The one key that restored data is read with, put into the target's auth-encryption secret.
//!
//! Of the secret only this key is changed, and only while it is what was looked at: IBM's page applies the whole object,
//! with the old cluster's uid. The value of before is the caller's to keep, somewhere that is not in the open.

use std::fmt;
use std::io::Read;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use wa_common::assistant::{AUTH_ENCRYPTION_KEY, Instance, read_auth_encryption};
use wa_common::cluster::{Cluster, ClusterError};

/// More than the file with the key ever takes.
const FILE_LIMIT_BYTES: u64 = 1 << 20;
/// How often others may change the secret at the same time.
const ATTEMPTS: u32 = 5;

/// A value of the key. It is shown nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyValue(ByteString);

impl KeyValue {
    /// The bytes that were kept, as [`bytes`](Self::bytes) gave them.
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(ByteString(bytes))
    }

    /// Its bytes, for where secrets are kept.
    pub fn bytes(&self) -> &[u8] {
        &self.0.0
    }

    /// The key in a file of a set, or in one that the nightly backup writes beside its dumps, as it is read; `path` is where
    /// it is.
    pub fn read(file: impl Read, path: &Path) -> anyhow::Result<Self> {
        let cannot = || format!("cannot read the key in {}", path.display());
        let mut yaml = Vec::new();
        file.take(FILE_LIMIT_BYTES)
            .read_to_end(&mut yaml)
            .with_context(cannot)?;
        let secret = read_auth_encryption(&yaml).with_context(cannot)?;
        Self::from_secret(&secret)
            .with_context(|| format!("there is no {AUTH_ENCRYPTION_KEY} in {}", path.display()))
    }

    /// The key in a secret, where it has one.
    pub(crate) fn from_secret(secret: &Secret) -> Option<Self> {
        let value = secret.data.as_ref()?.get(AUTH_ENCRYPTION_KEY)?;
        Some(Self(value.clone()))
    }
}

impl fmt::Debug for KeyValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyValue(…)")
    }
}

/// What putting a key in place came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Merged {
    /// It was there already.
    AlreadyThere,
    /// It has taken the place of the one of before.
    Replaced,
}

/// The key that the target's secret has now; `None` where it has none.
pub async fn current_key(
    cluster: &Cluster,
    instance: &Instance,
) -> anyhow::Result<Option<KeyValue>> {
    Ok(KeyValue::from_secret(&secret_of(cluster, instance).await?))
}

/// Puts `new` in place of `old` in the target's secret, and leaves everything else of it as it is. `old` is what
/// [`current_key`] told, and the caller has kept; `None` is no key. To go back, the two change places.
///
/// Does nothing where `new` is there already, so that it can be done again after a lost connection. It is an error where
/// the secret has neither: somebody else has changed it.
pub async fn replace_key(
    cluster: &Cluster,
    instance: &Instance,
    old: Option<&KeyValue>,
    new: Option<&KeyValue>,
) -> anyhow::Result<Merged> {
    let name = instance.auth_encryption_name();
    let mut attempt = 0;
    loop {
        let secret = secret_of(cluster, instance).await?;
        let found = KeyValue::from_secret(&secret);
        if found.as_ref() == new {
            let merged = if attempt == 0 {
                Merged::AlreadyThere
            } else {
                Merged::Replaced
            };
            return Ok(merged);
        }
        ensure!(
            found.as_ref() == old,
            "the {AUTH_ENCRYPTION_KEY} of the secret {name} is neither the one of before nor the one to be put there: somebody else has changed it; look at it with `kubectl get secret {name} -n {} -o yaml`",
            instance.namespace
        );
        attempt += 1;
        match put(cluster, instance, &secret, new, &PatchParams::default()).await {
            Ok(()) => return Ok(Merged::Replaced),
            // Another part of it was changed meanwhile, or the answer was lost: the next look tells.
            Err(error)
                if attempt < ATTEMPTS && (error.code() == Some(409) || error.is_transient()) => {}
            Err(error) => {
                return Err(error).with_context(|| format!("cannot change the secret {name}"));
            }
        }
    }
}

/// Asks the API server whether `new` could be put into the target's `secret`, without doing it.
pub(crate) async fn try_key(
    cluster: &Cluster,
    instance: &Instance,
    secret: &Secret,
    new: &KeyValue,
) -> Result<(), ClusterError> {
    let trial = PatchParams {
        dry_run: true,
        ..PatchParams::default()
    };
    put(cluster, instance, secret, Some(new), &trial).await
}

async fn secret_of(cluster: &Cluster, instance: &Instance) -> anyhow::Result<Secret> {
    let name = instance.auth_encryption_name();
    let found: Option<Secret> = cluster
        .in_namespace(&instance.namespace)
        .find(&name)
        .await?;
    let Some(secret) = found else {
        bail!(
            "there is no secret {name} in namespace {:?} to put the key into",
            instance.namespace
        );
    };
    Ok(secret)
}

/// Only while the secret is still the one that was looked at.
async fn put(
    cluster: &Cluster,
    instance: &Instance,
    secret: &Secret,
    new: Option<&KeyValue>,
    parameters: &PatchParams,
) -> Result<(), ClusterError> {
    let name = instance.auth_encryption_name();
    let patch = json!({
        "metadata": {"resourceVersion": secret.metadata.resource_version},
        "data": {AUTH_ENCRYPTION_KEY: new.map(|key| &key.0)},
    });
    let api: Api<Secret> = Api::namespaced(cluster.client().clone(), &instance.namespace);
    let patch = Patch::Merge(&patch);
    let request = api.patch(&name, parameters, &patch);
    cluster
        .once(&format!("patch secret {name}"), request)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_from_a_file_and_shown_nowhere() {
        let path = Path::new("key.yaml");
        let yaml: &[u8] = b"apiVersion: v1\nkind: Secret\ndata:\n  authorization_encryption_key: c2VjcmV0\n  other: eA==\n";
        let key = KeyValue::read(yaml, path).unwrap();
        assert_eq!(key.bytes(), b"secret");
        assert_eq!(KeyValue::from_bytes(b"secret".to_vec()), key);
        assert_eq!(format!("{key:?}"), "KeyValue(…)");
        let yaml: &[u8] = b"data: {other: c2VjcmV0}";
        let error = format!("{:#}", KeyValue::read(yaml, path).unwrap_err());
        assert!(
            error.contains("key.yaml") && !error.contains("c2VjcmV0"),
            "{error}"
        );
    }
}
