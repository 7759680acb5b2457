//! Provides a bucket to each claim of the class, as NooBaa's operator does by the library that all such provisioners share.
//!
//! Left out: claims of a bucket that is there already (`spec.bucketName` with an ObjectBucket made by hand), and its events.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use kube_sandbox::controllers::{Concerns, Controller};
use kube_sandbox::meta::{Object, Resource, Status, object, resources};
use kube_sandbox::store::{DeleteOptions, Store};
use serde_json::{Value, json};
use uuid::Uuid;

use super::accounts::{Accounts, Keys};
use super::manifests::PROVISIONER;
use super::{HOST, PORT};
use crate::world::kinds;
use crate::world::secrets::encoded;

/// What keeps the objects of a claim from going before its bucket has.
const FINALIZER: &str = "objectbucket.io/finalizer";
/// How long until a claim is looked at again that cannot be provided for.
const AGAIN: Duration = Duration::from_secs(2);

/// Provides the buckets.
pub(crate) struct Provisioner {
    pub(super) buckets: PathBuf,
    pub(super) accounts: Accounts,
}

impl Controller for Provisioner {
    fn kind(&self) -> &'static Resource {
        &kinds::OBJECT_BUCKET_CLAIMS
    }

    fn watches(&self) -> &'static [(&'static Resource, Concerns)] {
        &[]
    }

    fn reconcile(&self, store: &Store, claim: &Object) -> Result<Option<Duration>, Status> {
        let is_kept = finalizers(claim).any(|one| one == FINALIZER);
        if object::is_terminating(claim) {
            if is_kept {
                self.release(store, claim)?;
            }
            return Ok(None);
        }
        if claim["status"]["phase"] == "Bound" {
            return Ok(None);
        }
        let class = claim["spec"]["storageClassName"]
            .as_str()
            .unwrap_or_default();
        let class = store.get(&resources::STORAGE_CLASSES, "", class);
        let Some(class) = class
            .ok()
            .filter(|class| class["provisioner"] == PROVISIONER)
        else {
            // Another one's, or of a class that may still come.
            return Ok(Some(AGAIN));
        };
        if !is_kept {
            modify(store, &kinds::OBJECT_BUCKET_CLAIMS, claim, |claim| {
                let labels = object::map_mut(&mut claim["metadata"]["labels"]);
                labels.insert("app".into(), "noobaa".into());
                labels.insert(
                    "bucket-provisioner".into(),
                    PROVISIONER.replace('/', "-").into(),
                );
                object::map_mut(&mut claim["metadata"])
                    .insert("finalizers".into(), json!([FINALIZER]));
                claim["status"] = json!({ "phase": "Pending" });
            })?;
        }
        self.provide(store, claim, &class)
    }
}

impl Provisioner {
    fn provide(
        &self,
        store: &Store,
        claim: &Object,
        class: &Value,
    ) -> Result<Option<Duration>, Status> {
        let bucket = match claim["spec"]["bucketName"].as_str() {
            Some(name) if !name.is_empty() => name.to_owned(),
            _ => {
                let prefix = claim["spec"]["generateBucketName"].as_str();
                format!("{}-{}", prefix.unwrap_or("nb"), Uuid::new_v4())
            }
        };
        let is_name = bucket
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte));
        // Taken already, or no name: the claim stays Pending.
        if !is_name || fs::create_dir(self.buckets.join(&bucket)).is_err() {
            return Ok(Some(AGAIN));
        }
        let keys = self.accounts.open(&bucket);
        let object_bucket = object_bucket(claim, class, &bucket);
        let name = object::name(&object_bucket).to_owned();
        store.create(&kinds::OBJECT_BUCKETS, object_bucket)?;
        store.create(&resources::CONFIG_MAPS, config_map(claim, &bucket))?;
        store.create(&resources::SECRETS, secret(claim, &keys))?;
        modify(store, &kinds::OBJECT_BUCKET_CLAIMS, claim, |claim| {
            claim["spec"]["bucketName"] = bucket.as_str().into();
            claim["spec"]["objectBucketName"] = name.as_str().into();
            claim["status"]["phase"] = "Bound".into();
        })?;
        Ok(None)
    }

    /// What the class's reclaimPolicy says becomes of the bucket; the keys are void in any case.
    fn release(&self, store: &Store, claim: &Object) -> Result<(), Status> {
        let name = claim["spec"]["objectBucketName"]
            .as_str()
            .unwrap_or_default();
        if let Ok(bound) = store.get(&kinds::OBJECT_BUCKETS, "", name) {
            let bucket = bound["spec"]["endpoint"]["bucketName"].as_str();
            let bucket = bucket.unwrap_or_default();
            self.accounts.close(bucket);
            if bound["spec"]["reclaimPolicy"] == "Delete" {
                match fs::remove_dir_all(self.buckets.join(bucket)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(Status::internal(error.to_string()));
                    }
                    _ => remove(store, &kinds::OBJECT_BUCKETS, &bound)?,
                }
            } else {
                modify(store, &kinds::OBJECT_BUCKETS, &bound, |bound| {
                    bound["status"]["phase"] = "Released".into();
                })?;
            }
        }
        for resource in [&resources::SECRETS, &resources::CONFIG_MAPS] {
            if let Ok(one) = store.get(resource, object::namespace(claim), object::name(claim)) {
                remove(store, resource, &one)?;
            }
        }
        modify(store, &kinds::OBJECT_BUCKET_CLAIMS, claim, drop_finalizers)
    }
}

fn finalizers(object: &Value) -> impl Iterator<Item = &str> {
    let all = object["metadata"]["finalizers"].as_array();
    all.into_iter().flatten().filter_map(Value::as_str)
}

fn drop_finalizers(object: &mut Value) {
    object::map_mut(&mut object["metadata"]).remove("finalizers");
}

fn modify(
    store: &Store,
    resource: &Resource,
    one: &Value,
    change: impl FnOnce(&mut Value),
) -> Result<(), Status> {
    let (namespace, name) = (object::namespace(one), object::name(one));
    store.modify(resource, namespace, name, change).map(drop)
}

fn remove(store: &Store, resource: &Resource, one: &Value) -> Result<(), Status> {
    modify(store, resource, one, drop_finalizers)?;
    let (namespace, name) = (object::namespace(one), object::name(one));
    match store.delete(resource, namespace, name, &DeleteOptions::default()) {
        Err(status) if status.code != 404 => Err(status),
        _ => Ok(()),
    }
}

/// Metadata of what has the claim's name and goes with it.
fn metadata(claim: &Object) -> Value {
    json!({
        "name": object::name(claim), "namespace": object::namespace(claim),
        "labels": { "app": "noobaa", "bucket-provisioner": PROVISIONER.replace('/', "-") },
        "finalizers": [FINALIZER],
        "ownerReferences": [{
            "apiVersion": kinds::OBJECT_BUCKET_CLAIMS.api_version(), "kind": kinds::OBJECT_BUCKET_CLAIMS.kind,
            "name": object::name(claim), "uid": object::uid(claim),
            "controller": true, "blockOwnerDeletion": true,
        }],
    })
}

fn object_bucket(claim: &Object, class: &Value, bucket: &str) -> Value {
    let (namespace, name) = (object::namespace(claim), object::name(claim));
    json!({
        "apiVersion": kinds::OBJECT_BUCKETS.api_version(), "kind": kinds::OBJECT_BUCKETS.kind,
        "metadata": { "name": format!("obc-{namespace}-{name}"), "finalizers": [FINALIZER] },
        "spec": {
            "claimRef": {
                "apiVersion": kinds::OBJECT_BUCKET_CLAIMS.api_version(), "kind": kinds::OBJECT_BUCKET_CLAIMS.kind,
                "namespace": namespace, "name": name, "uid": object::uid(claim),
            },
            "endpoint": {
                "bucketHost": HOST, "bucketPort": PORT, "bucketName": bucket,
                "region": "", "subRegion": "", "additionalConfig": {},
            },
            "reclaimPolicy": class["reclaimPolicy"].as_str().unwrap_or("Delete"),
            "storageClassName": object::name(class),
        },
        "status": { "phase": "Bound" },
    })
}

fn config_map(claim: &Object, bucket: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata(claim),
        "data": {
            "BUCKET_HOST": HOST, "BUCKET_PORT": PORT.to_string(), "BUCKET_NAME": bucket,
            "BUCKET_REGION": "", "BUCKET_SUBREGION": "",
        },
    })
}

fn secret(claim: &Object, keys: &Keys) -> Value {
    let data = [
        ("AWS_ACCESS_KEY_ID", keys.access_key.as_str()),
        ("AWS_SECRET_ACCESS_KEY", keys.secret_key.as_str()),
    ];
    json!({
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": metadata(claim),
        "data": encoded(&data),
    })
}
