//! An ObjectBucketClaim, and the ConfigMap and the Secret of its name.

use anyhow::{Context as _, bail, ensure};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::ResourceExt as _;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use kube_transfer::Secret as Hidden;
use wa_common::cluster::{Cluster, ClusterError, is_label};
use wa_common::preflight::require_permissions;
use wa_common::report::printable;

use crate::access::{SERVICE_CA, to_read_claim};
use crate::endpoint::Endpoint;

const GROUP_VERSION: &str = "objectbucket.io/v1alpha1";
const KIND: &str = "ObjectBucketClaim";
/// What stands in for a region where there is none: signatures need one.
const NO_REGION: &str = "us-east-1";
/// How many claims are named where one is not found.
const NAMED: usize = 10;

/// A claim that is Bound.
pub(crate) struct Claim {
    pub(crate) name: String,
    /// The bucket's own name.
    pub(crate) bucket: String,
    pub(crate) region: String,
    pub(crate) endpoint: Endpoint,
    pub(crate) access_key: Hidden,
    pub(crate) secret_key: Hidden,
    /// The certificate by which the cluster's own Services are trusted.
    pub(crate) service_ca: Option<String>,
    class: Option<String>,
    /// What becomes of the bucket when the claim is deleted.
    reclaim_policy: Option<String>,
}

fn kind() -> ApiResource {
    let kind = GroupVersionKind::gvk("objectbucket.io", "v1alpha1", KIND);
    ApiResource::from_gvk_with_plural(&kind, "objectbucketclaims")
}

/// The names of the claims of this namespace.
pub async fn names(cluster: &Cluster) -> Result<Vec<String>, ClusterError> {
    let claims = cluster.list_custom(&kind(), false).await?;
    Ok(claims.iter().map(kube::ResourceExt::name_any).collect())
}

impl Claim {
    /// The claim of this name, with all that is needed to use its bucket.
    pub(crate) async fn read(cluster: &Cluster, name: &str) -> anyhow::Result<Self> {
        ensure!(
            name.len() <= 253 && name.split('.').all(is_label),
            "{name:?} is no name of an ObjectBucketClaim"
        );
        let claim = find(cluster, name).await?;
        let namespace = cluster.namespace();
        let what = format!("the ObjectBucketClaim {name} in namespace {namespace:?}");
        require_bound(&claim, &what)?;
        let map = allowed(cluster, name, cluster.find::<ConfigMap>(name).await).await?;
        let map =
            map.with_context(|| format!("{what} is Bound, but has no ConfigMap of its name"))?;
        let secret = allowed(cluster, name, cluster.find::<Secret>(name).await).await?;
        let secret =
            secret.with_context(|| format!("{what} is Bound, but has no Secret of its name"))?;
        let class = claim.data["spec"]["storageClassName"].as_str();
        let class = class.map(str::to_owned);
        Self::from_objects(name, &map, &secret)
            .map(|claim| Self { class, ..claim })
            .with_context(|| format!("cannot use {what}"))?
            .with_surroundings(cluster)
            .await
    }

    fn from_objects(name: &str, map: &ConfigMap, secret: &Secret) -> anyhow::Result<Self> {
        let value = |key: &str| {
            let data = map.data.as_ref();
            data.and_then(|data| data.get(key))
                .map_or("", String::as_str)
        };
        for key in ["BUCKET_NAME", "BUCKET_HOST"] {
            ensure!(!value(key).is_empty(), "its ConfigMap has no {key}");
        }
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        let bucket = value("BUCKET_NAME");
        ensure!(
            bucket.len() <= 255 && bucket.bytes().all(plain),
            "its BUCKET_NAME is no name of a bucket"
        );
        let region = match value("BUCKET_REGION") {
            "" => NO_REGION,
            region if region.bytes().all(plain) => region,
            _ => bail!("its BUCKET_REGION is no name of a region"),
        };
        Ok(Self {
            name: name.to_owned(),
            bucket: bucket.to_owned(),
            region: region.to_owned(),
            endpoint: Endpoint::parse(value("BUCKET_HOST"), value("BUCKET_PORT"))?,
            access_key: hidden(secret, "AWS_ACCESS_KEY_ID")?,
            secret_key: hidden(secret, "AWS_SECRET_ACCESS_KEY")?,
            service_ca: None,
            class: None,
            reclaim_policy: None,
        })
    }

    /// With what the cluster says of it elsewhere, as far as the user may know that.
    async fn with_surroundings(mut self, cluster: &Cluster) -> anyhow::Result<Self> {
        let certificates = optional(cluster.find::<ConfigMap>(SERVICE_CA).await)?;
        self.service_ca = certificates.and_then(|map| map.data?.remove("service-ca.crt"));
        if let Some(class) = &self.class {
            let class = optional(cluster.find_global::<StorageClass>(class).await)?;
            // Kubernetes' default.
            let policy = |class: StorageClass| class.reclaim_policy.unwrap_or("Delete".to_owned());
            self.reclaim_policy = class.map(policy);
        }
        Ok(self)
    }

    /// What may happen to backups in its bucket.
    pub(crate) fn risk(&self) -> String {
        let name = &self.name;
        let class = printable(self.class.as_deref().unwrap_or("(none)"));
        let with_claim = match self.reclaim_policy.as_deref() {
            Some("Delete") => format!(
                "its class {class} has the reclaimPolicy Delete, so that deleting the ObjectBucketClaim {name} deletes every backup in it"
            ),
            Some("Retain") => format!(
                "its class {class} has the reclaimPolicy Retain, so that the bucket stays when the ObjectBucketClaim {name} is deleted"
            ),
            _ => format!(
                "whether the bucket is deleted with the ObjectBucketClaim {name} is not known, as its class {class} cannot be read"
            ),
        };
        format!(
            "obc://{name} is object storage of this cluster, and is lost with it: it is not off-site; {with_claim}"
        )
    }
}

async fn find(cluster: &Cluster, name: &str) -> anyhow::Result<DynamicObject> {
    let found = match cluster.find_custom(&kind(), name).await {
        // A kind that is not served is answered by no object.
        Err(error) if error.code() == Some(404) => Ok(None),
        found => found,
    };
    match found {
        Ok(Some(claim)) => Ok(claim),
        Ok(None) => {
            require_served(cluster).await?;
            let there = names(cluster).await;
            let there = there.map(|names| listed(&names)).unwrap_or_default();
            bail!(
                "there is no ObjectBucketClaim {name} in namespace {:?}{there}",
                cluster.namespace()
            )
        }
        Err(error) if error.code() == Some(403) => {
            require_served(cluster).await?;
            allowed(cluster, name, Err(error)).await
        }
        Err(error) => Err(error.into()),
    }
}

fn listed(names: &[String]) -> String {
    if names.is_empty() {
        return ", and no other".to_owned();
    }
    let shown: Vec<_> = names
        .iter()
        .take(NAMED)
        .map(|name| printable(name))
        .collect();
    let more = if names.len() > NAMED { ", …" } else { "" };
    format!("; there are: {}{more}", shown.join(", "))
}

async fn require_served(cluster: &Cluster) -> anyhow::Result<()> {
    // Where that is not told, the answer to the other request is.
    let Ok(served) = cluster.served_kinds(GROUP_VERSION).await else {
        return Ok(());
    };
    let mut served = served.into_iter().flatten();
    if !served.any(|one| one.kind == KIND) {
        bail!(
            "this cluster has no ObjectBucketClaims ({GROUP_VERSION} is not served): they come with OpenShift Data Foundation, or another storage that provides buckets; a bucket elsewhere is s3://BUCKET/PREFIX"
        );
    }
    Ok(())
}

fn require_bound(claim: &DynamicObject, what: &str) -> anyhow::Result<()> {
    let namespace = claim.namespace().unwrap_or_default();
    let look = format!(
        "`kubectl describe objectbucketclaim {} -n {namespace}` may say why",
        claim.name_any()
    );
    ensure!(
        claim.metadata.deletion_timestamp.is_none(),
        "{what} is being deleted"
    );
    match claim.data["status"]["phase"].as_str() {
        Some("Bound") => Ok(()),
        None | Some("") => {
            bail!("{what} is not Bound: nothing provides buckets of its class; {look}")
        }
        Some(phase) => bail!("{what} is {}, not Bound; {look}", printable(phase)),
    }
}

/// An answer; where it was refused, an error with all that the user may not do.
async fn allowed<T>(
    cluster: &Cluster,
    name: &str,
    answer: Result<T, ClusterError>,
) -> anyhow::Result<T> {
    match answer {
        Err(error) if error.code() == Some(403) => {
            require_permissions(cluster, &to_read_claim(name)).await?;
            Err(error.into())
        }
        answer => Ok(answer?),
    }
}

/// Something that can be done without, and may not be the user's to see.
pub(crate) fn optional<T>(
    answer: Result<Option<T>, ClusterError>,
) -> Result<Option<T>, ClusterError> {
    match answer {
        Err(error) if error.code() == Some(403) => Ok(None),
        answer => answer,
    }
}

fn hidden(secret: &Secret, key: &str) -> anyhow::Result<Hidden> {
    let value = secret.data.as_ref().and_then(|data| data.get(key));
    let value = value.with_context(|| format!("its Secret has no {key}"))?;
    let text = String::from_utf8(value.0.clone()).ok();
    let text =
        text.filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()));
    let text = text.with_context(|| format!("the {key} of its Secret is no key"))?;
    Ok(Hidden::new(text)?)
}
