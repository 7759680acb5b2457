//! The Deployments that retraining looks at.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Container, EnvVar, PodSpec};
use kube::ResourceExt as _;
use wa_common::assistant::Instance;
use wa_common::cluster::Cluster;

use crate::component::Component;
use crate::error::RetrainError;
use crate::patch::STORE_ADMIN;
use crate::rollout::Rollout;

/// One Deployment of the product.
#[derive(Debug, Clone)]
pub struct Workload {
    /// Its name.
    pub name: String,
    /// How many replicas it is to have.
    pub replicas: u32,
    /// What its pods are made from.
    pub pod: PodSpec,
}

/// The value of a variable of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Variable {
    /// It is not set.
    Unset,
    /// It stands in the Deployment.
    Value(String),
    /// It comes from a ConfigMap, a secret or the pod itself.
    Elsewhere,
}

impl Workload {
    /// The Deployment of a component; `None` where there is none.
    pub async fn find(
        cluster: &Cluster,
        instance: &Instance,
        component: Component,
    ) -> Result<Option<Self>, RetrainError> {
        Self::named(cluster, component.deployment(&instance.name)).await
    }

    /// The Deployment of a component, which must be there.
    pub async fn read(
        cluster: &Cluster,
        instance: &Instance,
        component: Component,
    ) -> Result<Self, RetrainError> {
        let found = Self::find(cluster, instance, component).await?;
        found.ok_or_else(|| RetrainError::NoDeployment {
            name: component.deployment(&instance.name),
            namespace: instance.namespace.clone(),
        })
    }

    /// store-admin's Deployment, which must be there and have its container.
    pub async fn store_admin(cluster: &Cluster, instance: &Instance) -> Result<Self, RetrainError> {
        let name = format!("{}-{STORE_ADMIN}", instance.name);
        let found = Self::named(cluster, name.clone()).await?;
        let found = found.ok_or_else(|| RetrainError::NoDeployment {
            name: name.clone(),
            namespace: instance.namespace.clone(),
        })?;
        if found.container(STORE_ADMIN).is_none() {
            return Err(RetrainError::NoContainer {
                deployment: name,
                container: STORE_ADMIN,
            });
        }
        Ok(found)
    }

    async fn named(cluster: &Cluster, name: String) -> Result<Option<Self>, RetrainError> {
        let found: Option<Deployment> = cluster.find(&name).await?;
        Ok(found.as_ref().map(Self::from_deployment))
    }

    /// What a Deployment is.
    pub fn from_deployment(deployment: &Deployment) -> Self {
        let template = deployment.spec.as_ref().map(|spec| &spec.template);
        Self {
            name: deployment.name_any(),
            replicas: Rollout::from_deployment(deployment).wanted,
            pod: template
                .and_then(|template| template.spec.clone())
                .unwrap_or_default(),
        }
    }

    fn container(&self, name: &str) -> Option<&Container> {
        self.pod.containers.iter().find(|one| one.name == name)
    }

    /// A variable of the container `store-admin` as it is written. Of several of one name, the last one counts.
    pub fn entry(&self, name: &str) -> Option<&EnvVar> {
        let mut variables = self
            .container(STORE_ADMIN)
            .into_iter()
            .flat_map(|one| one.env.iter().flatten());
        variables.rfind(|variable| variable.name == name)
    }

    /// What such a variable is.
    pub fn variable(&self, name: &str) -> Variable {
        match self.entry(name) {
            None => Variable::Unset,
            Some(found) if found.value_from.is_some() => Variable::Elsewhere,
            Some(found) => Variable::Value(found.value.clone().unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_variable_is_that_of_the_container_store_admin_and_the_last_of_its_name() {
        let pod = json!({ "containers": [
            { "name": "proxy", "env": [{ "name": "AUTO_RETRAIN", "value": "proxy" }] },
            { "name": "store-admin", "env": [
                { "name": "AUTO_RETRAIN", "value": "false" },
                { "name": "AUTO_RETRAIN", "value": "true" },
                { "name": "EMPTY" },
                { "name": "SECRET", "valueFrom": { "secretKeyRef": { "name": "a", "key": "b" } } },
            ] },
        ] });
        let workload = Workload {
            name: "wa-store-admin".to_owned(),
            replicas: 1,
            pod: serde_json::from_value(pod).unwrap(),
        };
        assert_eq!(
            workload.variable("AUTO_RETRAIN"),
            Variable::Value("true".to_owned())
        );
        assert_eq!(workload.variable("EMPTY"), Variable::Value(String::new()));
        assert_eq!(workload.variable("SECRET"), Variable::Elsewhere);
        assert_eq!(
            workload.variable("AUTO_RETRAIN_ALL_ENABLED"),
            Variable::Unset
        );
    }
}
