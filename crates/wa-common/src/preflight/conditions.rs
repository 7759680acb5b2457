//! Conditions that every plugin has.

use super::{Finding, Needed, Needs, Preflight, in_short, in_words, require_permissions};
use crate::assistant::Instance;
use crate::cluster::Cluster;

impl Preflight {
    /// The API server answers.
    pub async fn connection(&mut self, cluster: &Cluster) -> Finding<()> {
        let look = async |()| Ok(cluster.version().await?);
        let version = self
            .check("connection", (), look, |version| {
                format!("{}, Kubernetes {version}", cluster.server())
            })
            .await;
        version.map(drop)
    }

    /// The instance named, or the only one, is there.
    pub async fn instance<N: Needs>(
        &mut self,
        needs: N,
        cluster: &Cluster,
        name: Option<&str>,
    ) -> Finding<Instance> {
        let look = async |_| Ok(Instance::find(cluster, name).await?);
        self.check("instance", needs, look, |instance| {
            format!("{} in namespace {}", instance.name, instance.namespace)
        })
        .await
    }

    /// Which release the instance is of, which may not be known.
    pub async fn release(&mut self, instance: &Finding<Instance>) {
        let look = async |instance: &Instance| Ok(instance.release.clone());
        self.check("release", instance, look, |release| match release {
            Some(release) => release.clone(),
            None => "not known from the WatsonAssistant resource".to_owned(),
        })
        .await;
    }

    /// The user may do everything that is needed.
    pub async fn permissions<N: Needs>(
        &mut self,
        needs: N,
        cluster: &Cluster,
        needed: &[Needed],
    ) -> Finding<()> {
        let look = async |_| require_permissions(cluster, needed).await;
        let found = self
            .check("permissions", needs, look, |()| in_words(needed))
            .await;
        self.shorten(&found, in_short(needed));
        found
    }
}
