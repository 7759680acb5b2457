//! A run of this plugin: what it changes is recorded, then made.

use std::sync::Arc;

use k8s_openapi::NamespaceResourceScope;
use kube::Resource;
use kube::api::{ApiResource, DynamicObject};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use wa_common::cluster::Cluster;
use wa_common::report::{Event, Reporter};
use wa_common::run::{Recorded, Run, RunError};

use crate::caller::Caller;
use crate::change::{PLUGIN, VolumeChange};

/// A run of this plugin that changes something.
pub(crate) struct VolumeRun {
    run: Arc<Run<VolumeChange>>,
    cluster: Cluster,
    reporter: Arc<dyn Reporter>,
}

impl VolumeRun {
    /// Begins one. What it changes is undone when the command ends, however it ends.
    pub(crate) async fn begin(caller: &Caller, purpose: String) -> Result<Self, RunError> {
        Ok(Self {
            run: Run::begin(
                &caller.exit_hooks,
                &caller.reporter,
                &caller.cluster,
                PLUGIN,
                purpose,
            )
            .await?,
            cluster: caller.cluster.clone(),
            reporter: Arc::clone(&caller.reporter),
        })
    }

    pub(crate) fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    pub(crate) fn reporter(&self) -> &dyn Reporter {
        &*self.reporter
    }

    pub(crate) fn step(&self, step: &'static str, detail: String) {
        self.reporter.report(&Event::Step { step, detail });
    }

    /// The run's own name.
    pub(crate) fn run_name(&self) -> &str {
        self.run.run_name()
    }

    /// A name for an object of this run.
    pub(crate) fn name(&self, suffix: &str) -> String {
        self.run.name(suffix)
    }

    pub(crate) async fn record(&self, change: VolumeChange) -> Result<Recorded, RunError> {
        self.run.record(change).await
    }

    /// Records the change, then creates the object that it is.
    pub(crate) async fn create<K>(&self, change: VolumeChange, object: K) -> anyhow::Result<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned
            + Serialize
            + Send
            + Sync
            + 'static,
    {
        let recorded = self.record(change).await?;
        Ok(recorded.create(&self.cluster, object).await?)
    }

    /// As [`Self::create`], for a custom resource.
    pub(crate) async fn create_custom(
        &self,
        change: VolumeChange,
        kind: &ApiResource,
        object: Value,
    ) -> anyhow::Result<DynamicObject> {
        let recorded = self.record(change).await?;
        let object = serde_json::from_value(object)?;
        Ok(recorded.create_custom(&self.cluster, kind, object).await?)
    }

    /// Does `work`, as long as nobody else has taken over this run.
    pub(crate) async fn guard<T>(
        &self,
        work: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        self.run.guard(work).await?
    }
}
