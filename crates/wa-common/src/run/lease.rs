//! A Lease: who holds it, what is kept in it, and how it is changed without overwriting somebody else's change.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, OwnerReference};
use kube::api::{DeleteParams, Preconditions};
use kube::{Api, Resource as _, ResourceExt as _};
use serde::{Deserialize, Serialize};

use super::{Data, Holder, Loss, RunError, VALID_FOR, swap};
use crate::cluster::Cluster;

/// The annotation that holds an [`Annotation`].
const RECORD_ANNOTATION: &str = "kubectl-wa/record";
/// How often a change of the Lease is tried again after somebody else's.
const CONFLICTS: u32 = 5;

/// What a Lease says.
#[derive(Debug, Clone)]
pub(super) struct LeaseRecord<D> {
    /// `None` where its holder has given it up.
    pub(super) holder: Option<Holder>,
    /// What it is held for.
    pub(super) purpose: String,
    pub(super) started: Timestamp,
    pub(super) renewed: Timestamp,
    /// How often it has got another holder (`leaseTransitions`): no two of them have the same number.
    pub(super) epoch: i32,
    pub(super) data: D,
}

/// The content of the annotation.
#[derive(Serialize, Deserialize)]
struct Annotation<D> {
    holder: Option<Holder>,
    purpose: String,
    #[serde(flatten)]
    data: D,
}

/// A Lease as the API server last returned it.
#[derive(Debug, Clone)]
pub(super) struct StoredLease<D> {
    pub(super) lease: LeaseRecord<D>,
    object: Lease,
}

impl<D: Data> LeaseRecord<D> {
    pub(super) fn new(holder: Holder, purpose: String, now: Timestamp, data: D) -> Self {
        Self {
            holder: Some(holder),
            purpose,
            started: now,
            renewed: now,
            epoch: 0,
            data,
        }
    }

    /// The same with another holder.
    pub(super) fn taken_over(&self, holder: Holder, now: Timestamp) -> Self {
        Self {
            holder: Some(holder),
            renewed: now,
            epoch: self.epoch.saturating_add(1),
            ..self.clone()
        }
    }

    /// Stores it as a new Lease called `name`.
    pub(super) async fn create(
        self,
        cluster: &Cluster,
        name: &str,
        labels: BTreeMap<String, String>,
    ) -> Result<StoredLease<D>, RunError> {
        let lease = self.object(name, labels)?;
        let object = cluster
            .create_object(&api(cluster), &lease)
            .await
            .map_err(RunError::cluster(format!("create lease {name}")))?;
        let record = |lease: &Lease| lease.annotations().get(RECORD_ANNOTATION).cloned();
        // Where the answer was lost, what is found may be somebody else's.
        if record(&object) != record(&lease) {
            return Err(RunError::owned(name.to_owned(), None));
        }
        Ok(StoredLease {
            lease: self,
            object,
        })
    }

    /// The Lease called `name` that it is stored as.
    pub(super) fn object(
        &self,
        name: &str,
        labels: BTreeMap<String, String>,
    ) -> Result<Lease, RunError> {
        self.written_to(Lease {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                labels: Some(labels),
                ..ObjectMeta::default()
            },
            spec: None,
        })
    }

    /// Whether both are of one holder, who did not lose it in between.
    fn is_same_holding(&self, other: &Self) -> bool {
        (&self.holder, self.epoch) == (&other.holder, other.epoch)
    }

    fn written_to(&self, mut object: Lease) -> Result<Lease, RunError> {
        let content = Annotation {
            holder: self.holder.clone(),
            purpose: self.purpose.clone(),
            data: self.data.clone(),
        };
        let json = serde_json::to_string(&content).map_err(|error| RunError::Unreadable {
            run: object.name_any(),
            why: error.to_string(),
        })?;
        let annotations = object.metadata.annotations.get_or_insert_default();
        annotations.insert(RECORD_ANNOTATION.to_owned(), json);
        object.spec = Some(LeaseSpec {
            holder_identity: self.holder.as_ref().map(Holder::to_string),
            lease_duration_seconds: i32::try_from(VALID_FOR.as_secs()).ok(),
            acquire_time: Some(MicroTime(self.started)),
            renew_time: Some(MicroTime(self.renewed)),
            lease_transitions: Some(self.epoch),
            ..object.spec.unwrap_or_default()
        });
        Ok(object)
    }
}

impl<D: Data> StoredLease<D> {
    /// Reads a Lease that a plugin made.
    pub(super) fn read(object: Lease) -> Result<Self, RunError> {
        let unreadable = |why: String| RunError::Unreadable {
            run: object.name_any(),
            why,
        };
        let json = object
            .annotations()
            .get(RECORD_ANNOTATION)
            .ok_or_else(|| unreadable(format!("it has no annotation {RECORD_ANNOTATION}")))?;
        let content: Annotation<D> =
            serde_json::from_str(json).map_err(|error| unreadable(error.to_string()))?;
        let created = object
            .creation_timestamp()
            .map_or(Timestamp::UNIX_EPOCH, |time| time.0);
        let spec = object.spec.as_ref();
        let time = |time: Option<&MicroTime>| time.map_or(created, |time| time.0);
        let lease = LeaseRecord {
            holder: content.holder,
            purpose: content.purpose,
            started: time(spec.and_then(|spec| spec.acquire_time.as_ref())),
            renewed: time(spec.and_then(|spec| spec.renew_time.as_ref())),
            epoch: spec
                .and_then(|spec| spec.lease_transitions)
                .unwrap_or_default(),
            data: content.data,
        };
        Ok(Self { lease, object })
    }

    /// Whether the plugins made it, who leave others' Leases alone.
    pub(super) fn is_ours(object: &Lease) -> bool {
        object.annotations().contains_key(RECORD_ANNOTATION)
    }

    pub(super) fn name(&self) -> String {
        self.object.name_any()
    }

    /// The Lease as the owner of an object. It does not block the owner's deletion, for which OpenShift would ask for
    /// one more permission.
    pub(super) fn owner_reference(&self) -> OwnerReference {
        OwnerReference {
            api_version: Lease::api_version(&()).into_owned(),
            kind: Lease::kind(&()).into_owned(),
            name: self.name(),
            uid: self.object.uid().unwrap_or_default(),
            ..OwnerReference::default()
        }
    }

    /// Stores `next` in place of this, as long as the Lease is still this holder's.
    pub(super) async fn update(
        &self,
        cluster: &Cluster,
        next: LeaseRecord<D>,
    ) -> Result<Self, RunError> {
        let mut current = self.object.clone();
        for _ in 0..CONFLICTS {
            match replace(cluster, &next.written_to(current)?).await? {
                Some(object) => {
                    return Ok(Self {
                        lease: next,
                        object,
                    });
                }
                None => current = self.still_held(cluster).await?,
            }
        }
        Err(self.contended())
    }

    /// Stores `next`, which has another holder, if nobody changed the Lease since it was read.
    pub(super) async fn take_over(
        &self,
        cluster: &Cluster,
        next: LeaseRecord<D>,
    ) -> Result<Self, RunError> {
        if let Some(object) = replace(cluster, &next.written_to(self.object.clone())?).await? {
            return Ok(Self {
                lease: next,
                object,
            });
        }
        let found = Self::read(self.look_again(cluster).await?)?;
        // The request was repeated, because only its answer was lost.
        if found.lease.is_same_holding(&next) {
            return Ok(found);
        }
        Err(RunError::owned(self.name(), found.lease.holder.as_ref()))
    }

    /// Deletes the Lease unless it has become somebody else's.
    pub(super) async fn delete(&self, cluster: &Cluster) -> Result<(), RunError> {
        let mut current = self.object.clone();
        for _ in 0..CONFLICTS {
            let what = format!("delete lease {}", self.name());
            let parameters = DeleteParams::default().preconditions(Preconditions {
                uid: current.uid(),
                resource_version: current.resource_version(),
            });
            let api = api(cluster);
            let deleted = cluster.send_idempotent(&what, || async {
                api.delete(&self.name(), &parameters).await.map(drop)
            });
            match deleted.await {
                Ok(()) => return Ok(()),
                Err(error) if error.code() == Some(404) => return Ok(()),
                Err(error) if error.code() == Some(409) => match self.still_held(cluster).await {
                    Ok(changed) => current = changed,
                    Err(RunError::Lost { .. }) => return Ok(()),
                    Err(error) => return Err(error),
                },
                Err(source) => return Err(RunError::cluster(what)(source)),
            }
        }
        Err(self.contended())
    }

    /// The Lease as it is now, if it is still the same one and this holder's.
    async fn still_held(&self, cluster: &Cluster) -> Result<Lease, RunError> {
        let found = self.look_again(cluster).await?;
        let now = Self::read(found.clone())?.lease;
        if now.is_same_holding(&self.lease) {
            return Ok(found);
        }
        let holder = now
            .holder
            .map_or_else(|| "somebody".to_owned(), |holder| holder.to_string());
        Err(self.lost(Loss::TakenOver { holder }))
    }

    /// The Lease as it is now, whoever holds it.
    async fn look_again(&self, cluster: &Cluster) -> Result<Lease, RunError> {
        let name = self.name();
        let found: Option<Lease> = cluster
            .find(&name)
            .await
            .map_err(RunError::cluster(format!("read lease {name} again")))?;
        found
            .filter(|found| found.uid() == self.object.uid())
            .ok_or_else(|| self.lost(Loss::Gone))
    }

    fn lost(&self, loss: Loss) -> RunError {
        RunError::Lost {
            run: self.name(),
            loss,
        }
    }

    fn contended(&self) -> RunError {
        RunError::Contended { run: self.name() }
    }
}

fn api(cluster: &Cluster) -> Api<Lease> {
    Api::namespaced(cluster.client().clone(), cluster.namespace())
}

async fn replace(cluster: &Cluster, object: &Lease) -> Result<Option<Lease>, RunError> {
    let what = format!("update lease {}", object.name_any());
    swap::replace(cluster, object)
        .await
        .map_err(RunError::cluster(what))
}
