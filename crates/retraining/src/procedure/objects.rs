//! The single changes of a retraining in the cluster. Each comes to the same when it is made twice, or is guarded by what it
//! was decided on.

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{
    ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams, Preconditions,
};
use kube::{Api, ResourceExt as _};
use serde_json::{Map, Value, json};
use wa_common::assistant::Instance;
use wa_common::cluster::{Cluster, ClusterError};
use wa_common::run::RUN_LABEL;
use wa_common::run::journal::Permit;

use super::error::ProcedureError;
use super::record::OriginalVariable;
use crate::active::{ANNOTATIONS, ActivePatches, without_key};
use crate::component::Patched;
use crate::error::RetrainError;
use crate::kinds::{Kinds, TEMPORARY_PATCH};
use crate::patch::{STORE_ADMIN, TemporaryPatch};
use crate::plan::patched;

/// The operator's finalizer on a patch.
const FINALIZER: &str = "finalizers.temporarypatch.assistant.watson.ibm.com";
/// How often a guarded change is tried again when somebody else was faster.
const CONFLICTS: u32 = 8;

/// The objects of one instance that a retraining changes.
#[derive(Clone)]
pub(crate) struct Objects {
    pub(crate) cluster: Cluster,
    pub(crate) instance: String,
    kinds: Kinds,
}

impl Objects {
    pub(crate) fn new(cluster: &Cluster, instance: &Instance, kinds: Kinds) -> Self {
        Self {
            cluster: cluster.clone(),
            instance: instance.name.clone(),
            kinds,
        }
    }

    fn patches(&self) -> Result<(Api<DynamicObject>, ApiResource), RetrainError> {
        let kind = self.kinds.resource(TEMPORARY_PATCH)?;
        let client = self.cluster.client().clone();
        let api = Api::namespaced_with(client, self.cluster.namespace(), &kind);
        Ok((api, kind))
    }

    /// The patch of that name.
    pub(crate) async fn patch(&self, name: &str) -> Result<Option<DynamicObject>, RetrainError> {
        let kind = self.kinds.resource(TEMPORARY_PATCH)?;
        Ok(self.cluster.find_custom(&kind, name).await?)
    }

    /// All patches of the namespace.
    pub(crate) async fn all_patches(&self) -> Result<Vec<TemporaryPatch>, RetrainError> {
        TemporaryPatch::list(&self.cluster, &self.kinds).await
    }

    /// Creates a patch as this run's. One that is there already must be.
    pub(super) async fn create_patch(
        &self,
        permit: &Permit,
        patch: &TemporaryPatch,
    ) -> Result<(), ProcedureError> {
        let (api, kind) = self.patches()?;
        let spec = patch.manifest(self.cluster.namespace())["spec"].take();
        let mut object = DynamicObject::new(&patch.name, &kind).data(json!({ "spec": spec }));
        permit.label(&mut object.metadata);
        let what = format!("create TemporaryPatch {}", patch.name);
        let parameters = PostParams::default();
        // Sent again, it finds what it has created.
        let created = self
            .cluster
            .send_idempotent(&what, || api.create(&parameters, &object))
            .await;
        let found = match created {
            Err(error) if error.code() == Some(409) => {
                self.patch(&patch.name).await?.ok_or(error)?
            }
            created => created?,
        };
        if found.labels().get(RUN_LABEL).map(String::as_str) != Some(permit.run_id()) {
            return Err(ProcedureError::Foreign {
                patch: patch.name.clone(),
                what: "was created just now".to_owned(),
            });
        }
        Ok(())
    }

    /// Asks for the deletion of just that object.
    pub(crate) async fn delete_patch(&self, name: &str, uid: &str) -> Result<(), ProcedureError> {
        let (api, _) = self.patches()?;
        let parameters = DeleteParams {
            preconditions: Some(Preconditions {
                uid: Some(uid.to_owned()),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        let deleted = self
            .cluster
            .send_idempotent(&format!("delete TemporaryPatch {name}"), || {
                api.delete(name, &parameters)
            })
            .await;
        match deleted {
            // It is gone, or another one has its name.
            Err(error) if matches!(error.code(), Some(404 | 409)) => Ok(()),
            deleted => Ok(deleted.map(drop)?),
        }
    }

    /// Takes the operator's finalizer, and no other, from a patch that is to be deleted.
    pub(crate) async fn clear_finalizer(
        &self,
        name: &str,
        uid: &str,
    ) -> Result<(), ProcedureError> {
        let (api, _) = self.patches()?;
        for _ in 0..CONFLICTS {
            let found = self.patch(name).await?;
            let Some(found) = found.filter(|found| found.uid().as_deref() == Some(uid)) else {
                return Ok(());
            };
            let mut finalizers = found.finalizers().to_vec();
            finalizers.retain(|one| one != FINALIZER);
            if finalizers.len() == found.finalizers().len() {
                return Ok(());
            }
            let change = json!({ "metadata": {
                "resourceVersion": found.resource_version(), "finalizers": finalizers,
            } });
            let what = format!("clear the finalizer of TemporaryPatch {name}");
            if guarded(self.merge(&api, name, &what, &change).await)? {
                return Ok(());
            }
        }
        Err(ProcedureError::Contended {
            what: format!("TemporaryPatch {name}"),
        })
    }

    /// What the custom resource lists as active; nothing where it does not exist.
    pub(crate) async fn active(&self, patched: Patched) -> Result<ActivePatches, RetrainError> {
        let object = self.custom_resource(patched).await?;
        Ok(match object {
            Some(object) => ActivePatches::from_object(&object)?,
            None => ActivePatches::default(),
        })
    }

    async fn custom_resource(
        &self,
        patched: Patched,
    ) -> Result<Option<DynamicObject>, RetrainError> {
        let kind = self.kinds.resource(patched.kind)?;
        Ok(self.cluster.find_custom(&kind, &self.instance).await?)
    }

    /// Removes exactly this key from both annotations of the custom resource.
    pub(crate) async fn remove_key(
        &self,
        patched: Patched,
        key: &str,
    ) -> Result<(), ProcedureError> {
        let kind = self.kinds.resource(patched.kind)?;
        let client = self.cluster.client().clone();
        let api: Api<DynamicObject> = Api::namespaced_with(client, self.cluster.namespace(), &kind);
        for _ in 0..CONFLICTS {
            let Some(object) = self.custom_resource(patched).await? else {
                return Ok(());
            };
            let mut annotations = Map::new();
            for annotation in ANNOTATIONS {
                let text = object.annotations().get(annotation);
                let Some(text) = text.filter(|text| !text.trim().is_empty()) else {
                    continue;
                };
                let rest = without_key(text, key).map_err(|_| crate::error::Unreadable {
                    annotation,
                    kind: patched.kind.to_owned(),
                    name: self.instance.clone(),
                })?;
                if let Some(rest) = rest {
                    annotations.insert(annotation.to_owned(), rest.into());
                }
            }
            if annotations.is_empty() {
                return Ok(());
            }
            let change = json!({ "metadata": {
                "resourceVersion": object.resource_version(), "annotations": annotations,
            } });
            let what = format!(
                "remove the key {key} from {} {}",
                patched.kind, self.instance
            );
            if guarded(self.merge(&api, &self.instance, &what, &change).await)? {
                return Ok(());
            }
        }
        Err(ProcedureError::Contended {
            what: format!("{} {}", patched.kind, self.instance),
        })
    }

    /// The keys in the annotations of the custom resources whose patch does not exist. One that is only just coming or
    /// going is none.
    pub(crate) async fn dangling(&self) -> Result<Vec<Dangling>, RetrainError> {
        let mut found = self.dangling_now().await?;
        if !found.is_empty() {
            let again = self.dangling_now().await?;
            found.retain(|one| again.contains(one));
        }
        Ok(found)
    }

    async fn dangling_now(&self) -> Result<Vec<Dangling>, RetrainError> {
        let mut active = Vec::new();
        for patched in patched() {
            active.push((patched, self.active(patched).await?));
        }
        let patches = self.all_patches().await?;
        let dangling = active.iter().flat_map(|(patched, active)| {
            active.dangling(&patches).map(|(annotation, key)| Dangling {
                patched: *patched,
                annotation,
                key: key.to_owned(),
            })
        });
        Ok(dangling.collect())
    }

    async fn merge(
        &self,
        api: &Api<DynamicObject>,
        name: &str,
        what: &str,
        change: &Value,
    ) -> Result<DynamicObject, ClusterError> {
        let (parameters, change) = (PatchParams::default(), Patch::Merge(change));
        self.cluster
            .send_idempotent(what, || api.patch(name, &parameters, &change))
            .await
    }

    /// The Deployment of that name, which must be there.
    pub(crate) async fn deployment(&self, name: &str) -> Result<Deployment, RetrainError> {
        let found: Option<Deployment> = self.cluster.find(name).await?;
        found.ok_or_else(|| RetrainError::NoDeployment {
            name: name.to_owned(),
            namespace: self.cluster.namespace().to_owned(),
        })
    }

    /// Gives a Deployment so many replicas.
    pub(crate) async fn set_replicas(
        &self,
        name: &str,
        replicas: u32,
    ) -> Result<(), ProcedureError> {
        let (parameters, change) = (
            PatchParams::default(),
            Patch::Merge(json!({ "spec": { "replicas": replicas } })),
        );
        let api = self.deployments();
        self.cluster
            .send_idempotent(&format!("scale deployment {name}"), || {
                api.patch_scale(name, &parameters, &change)
            })
            .await?;
        Ok(())
    }

    /// Gives the container store-admin of a Deployment these variables back; `false` where the Deployment is not the one
    /// that `found` is any more.
    pub(crate) async fn set_variables(
        &self,
        found: &Deployment,
        variables: &[OriginalVariable],
    ) -> Result<bool, ProcedureError> {
        let entry = |one: &OriginalVariable| match &one.entry {
            Some(entry) => {
                let mut entry = json!(entry);
                // What is merged must not keep the other way to say it.
                for field in ["value", "valueFrom"] {
                    if entry[field].is_null() {
                        entry[field] = Value::Null;
                    }
                }
                entry
            }
            None => json!({ "name": one.name, "$patch": "delete" }),
        };
        let env: Vec<Value> = variables.iter().map(entry).collect();
        let change = json!({
            "metadata": { "resourceVersion": found.resource_version() },
            "spec": { "template": { "spec": { "containers": [{ "name": STORE_ADMIN, "env": env }] } } },
        });
        let (parameters, change) = (PatchParams::default(), Patch::Strategic(change));
        let (api, name) = (self.deployments(), found.name_any());
        let changed = self
            .cluster
            .send_idempotent(&format!("set the variables of deployment {name}"), || {
                api.patch(&name, &parameters, &change)
            })
            .await;
        guarded(changed)
    }

    fn deployments(&self) -> Api<Deployment> {
        Api::namespaced(self.cluster.client().clone(), self.cluster.namespace())
    }
}

/// A key whose patch does not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dangling {
    /// The custom resource that has it.
    pub(crate) patched: Patched,
    /// The annotation.
    pub(crate) annotation: &'static str,
    /// The key.
    pub(crate) key: String,
}

/// Whether a guarded change was made; not where somebody else was faster.
fn guarded<T>(changed: Result<T, ClusterError>) -> Result<bool, ProcedureError> {
    match changed {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.code(), Some(404 | 409)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
