//! Finding the Watson Assistant instance a command is about.

use std::fmt;

use kube::ResourceExt as _;
use kube::api::DynamicObject;
use serde_json::Value;

use super::{AssistantError, names};
use crate::cluster::{Cluster, ClusterError, is_label};

/// One WatsonAssistant in one namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Its name, usually `wa`.
    pub name: String,
    /// The operands' namespace.
    pub namespace: String,
    /// The product release the operator has reconciled, such as `4.8.8`; absent where the custom resource does not say.
    pub release: Option<String>,
}

/// How far the operator says that an instance is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceState {
    /// Such as `Completed` or `InProgress`.
    pub status: String,
    /// Such as `100%`.
    pub progress: Option<String>,
}

/// More than a status or a progress ever has.
const LONGEST_STATE: usize = 64;

impl InstanceState {
    /// Whether everything of it is there and ready.
    pub fn is_completed(&self) -> bool {
        self.status == "Completed" && self.progress.as_deref().is_none_or(|done| done == "100%")
    }
}

impl fmt::Display for InstanceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.status)?;
        let progress = self.progress.as_ref();
        progress.map_or(Ok(()), |progress| write!(f, ", {progress}"))
    }
}

impl Instance {
    /// The instance named, else the only one in the namespace.
    ///
    /// With a name and without the permission to read WatsonAssistants, the name is believed: everything else is
    /// looked up by it, and fails clearly where there is no such instance.
    pub async fn find(cluster: &Cluster, name: Option<&str>) -> Result<Self, AssistantError> {
        let instance = Self::search(cluster, name).await?;
        // It becomes a part of URLs, selectors and a directory's name.
        if is_label(&instance.name) {
            return Ok(instance);
        }
        Err(AssistantError::InvalidInstance {
            instance: instance.name,
        })
    }

    async fn search(cluster: &Cluster, name: Option<&str>) -> Result<Self, AssistantError> {
        let namespace = cluster.namespace().to_owned();
        let found = match (
            cluster.list_custom(&names::watson_assistant(), false).await,
            name,
        ) {
            (Ok(found), _) => found,
            (Err(error), Some(name)) if error.code() == Some(403) => {
                return Ok(Self {
                    name: name.to_owned(),
                    namespace,
                    release: None,
                });
            }
            // Without the custom resource definition the API server does not know the path.
            (Err(error), _) if error.code() == Some(404) => Vec::new(),
            (Err(error), _) => return Err(error.into()),
        };
        let available = || found.iter().map(kube::ResourceExt::name_any).collect();
        match (name, found.as_slice()) {
            (Some(name), several) => {
                if let Some(one) = several.iter().find(|one| one.name_any() == name) {
                    return Ok(Self::from_resource(one, namespace));
                }
                require_namespace(cluster).await?;
                Err(AssistantError::NoSuchInstance {
                    instance: name.to_owned(),
                    namespace,
                    available: available(),
                })
            }
            (None, [only]) => Ok(Self::from_resource(only, namespace)),
            (None, []) => {
                require_namespace(cluster).await?;
                let found = elsewhere(cluster).await?;
                Err(AssistantError::NoInstance { namespace, found })
            }
            (None, _) => Err(AssistantError::SeveralInstances {
                namespace,
                available: available(),
            }),
        }
    }

    /// The instances of the cluster's namespace.
    pub async fn all_in_namespace(cluster: &Cluster) -> Result<Vec<Self>, ClusterError> {
        let found = cluster
            .list_custom(&names::watson_assistant(), false)
            .await?;
        let instance =
            |one: &DynamicObject| Self::from_resource(one, cluster.namespace().to_owned());
        Ok(found.iter().map(instance).collect())
    }

    /// The instances of all namespaces, or `None` where the user may not list them.
    pub async fn everywhere(cluster: &Cluster) -> Result<Option<Vec<Self>>, ClusterError> {
        match cluster.list_custom(&names::watson_assistant(), true).await {
            Ok(found) => {
                let instances = found.iter();
                let instance = |one: &DynamicObject| {
                    Self::from_resource(one, one.namespace().unwrap_or_default())
                };
                Ok(Some(instances.map(instance).collect()))
            }
            Err(error) if error.code() == Some(403) => Ok(None),
            Err(error) if error.code() == Some(404) => Ok(Some(Vec::new())),
            Err(error) => Err(error),
        }
    }

    /// The uid of its WatsonAssistant, by which it is distinguished from another one of that name; none where that cannot be read.
    pub async fn uid(&self, cluster: &Cluster) -> Result<Option<String>, ClusterError> {
        // Listed, as when it was looked for: that takes no further permission.
        let found = cluster
            .list_custom(&names::watson_assistant(), false)
            .await?;
        let own = found.into_iter().find(|one| one.name_any() == self.name);
        Ok(own.and_then(|own| own.metadata.uid))
    }

    /// Whether it is part of a watsonx Orchestrate: by its owner, and where that is not known, by the name that
    /// Orchestrate gives.
    pub async fn is_of_orchestrate(&self, cluster: &Cluster) -> Result<bool, ClusterError> {
        let found = match cluster
            .find_custom(&names::watson_assistant(), &self.name)
            .await
        {
            Err(error) if error.code() == Some(403) => None,
            found => found?,
        };
        let owners = found.map(|found| found.metadata.owner_references.unwrap_or_default());
        let owned = owners.is_some_and(|owners| {
            owners
                .iter()
                .any(|owner| owner.kind.to_ascii_lowercase().contains("orchestrate"))
        });
        Ok(owned || self.name == names::ORCHESTRATE_INSTANCE)
    }

    /// How far its operator says that it is; `None` where the user may not know, or nothing is said.
    pub async fn state(&self, cluster: &Cluster) -> Result<Option<InstanceState>, ClusterError> {
        let found = match cluster
            .find_custom(&names::watson_assistant(), &self.name)
            .await
        {
            Err(error) if error.code() == Some(403) => None,
            found => found?,
        };
        let text = |resource: &Value, path: &str| {
            let text = resource.pointer(path)?.as_str()?;
            Some(text.chars().take(LONGEST_STATE).collect::<String>())
        };
        Ok(found.and_then(|found| {
            Some(InstanceState {
                status: text(&found.data, "/status/watsonAssistantStatus")?,
                progress: text(&found.data, "/status/progress"),
            })
        }))
    }

    fn from_resource(resource: &DynamicObject, namespace: String) -> Self {
        Self {
            name: resource.name_any(),
            namespace,
            release: release(&resource.data),
        }
    }
}

async fn require_namespace(cluster: &Cluster) -> Result<(), AssistantError> {
    if cluster.namespace_exists().await? {
        return Ok(());
    }
    Err(AssistantError::NoNamespace {
        namespace: cluster.namespace().to_owned(),
    })
}

/// Where there are instances, for a person; `None` where the user may not list them.
async fn elsewhere(cluster: &Cluster) -> Result<Option<Vec<String>>, ClusterError> {
    let found = Instance::everywhere(cluster).await?;
    Ok(found.map(|found| {
        let places = found.iter();
        places
            .map(|one| format!("{} in {}", one.name, one.namespace))
            .collect()
    }))
}

/// What runs, rather than what is wanted: the status's version before the spec's.
fn release(resource: &Value) -> Option<String> {
    [
        "/status/versions/reconciled",
        "/status/version",
        "/spec/version",
    ]
    .into_iter()
    .find_map(|path| resource.pointer(path)?.as_str())
    .filter(|version| !version.is_empty())
    .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_release_is_the_one_that_runs() {
        let upgrading =
            json!({"spec": {"version": "5.1.0"}, "status": {"versions": {"reconciled": "4.8.8"}}});
        assert_eq!(release(&upgrading).as_deref(), Some("4.8.8"));
        assert_eq!(
            release(&json!({"spec": {"version": "5.1.0"}})).as_deref(),
            Some("5.1.0")
        );
        assert_eq!(release(&json!({"spec": {"version": 5}})), None);
    }
}
