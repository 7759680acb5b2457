//! The pod that keeps the volume mounted while its files are read.

use std::time::Duration;

use anyhow::Context as _;
use kube_transfer::PodContainer;
use serde_json::json;
use wa_common::cluster::helper_pod::{self, HelperPodSpec};

use crate::change::{VolumeChange, VolumeRun};
use crate::survey::Template;

/// No fetch takes longer: the kubelet cuts every stream after four hours, and resumed ones are new ones.
const LIFETIME: Duration = Duration::from_hours(24);
const CLAIM_PATH: &str = "/volume";

/// A helper pod to be.
#[derive(Debug, Clone)]
pub(crate) struct Helper(HelperPodSpec);

impl Helper {
    /// A pod like those of the template, with `claim` in the place of theirs.
    pub(crate) fn of(
        template: &Template<'_>,
        claim: &str,
        image: Option<&str>,
    ) -> Result<Self, String> {
        let Template {
            origin,
            spec,
            claim: own,
        } = template;
        let mut helper = HelperPodSpec::derive(spec, origin, own, LIFETIME)
            .map_err(|error| error.to_string())?;
        helper.read_only = true;
        claim.clone_into(&mut helper.claim);
        if let Some(image) = image {
            image.clone_into(&mut helper.image);
        }
        Ok(Self(helper))
    }

    /// A pod of nothing but an image.
    pub(crate) fn bare(claim: &str, image: &str) -> Result<Self, String> {
        let spec = json!({
            "containers": [{
                "name": "helper", "image": image,
                "volumeMounts": [{ "name": "volume", "mountPath": CLAIM_PATH }],
            }],
            "volumes": [{ "name": "volume", "persistentVolumeClaim": { "claimName": claim } }],
        });
        let spec = serde_json::from_value(spec).map_err(|error| error.to_string())?;
        let template = Template {
            origin: "the image".to_owned(),
            spec: &spec,
            claim: claim.to_owned(),
        };
        Self::of(&template, claim, None)
    }

    pub(crate) fn on_node(mut self, node: &str) -> Self {
        self.0.node = Some(node.to_owned());
        self
    }

    pub(crate) fn on_claim(mut self, claim: &str) -> Self {
        claim.clone_into(&mut self.0.claim);
        self
    }

    pub(crate) fn node(&self) -> Option<&str> {
        self.0.node.as_deref()
    }

    /// Makes it and waits until the volume's files can be read in it.
    pub(crate) async fn start(
        &self,
        run: &VolumeRun,
        timeout: Duration,
    ) -> anyhow::Result<(PodContainer, String)> {
        let name = run.name("helper");
        let change = VolumeChange::Pod { name: name.clone() };
        run.create(change, self.0.pod(&name)).await?;
        let ready = helper_pod::ready(run.cluster(), &name, timeout, run.reporter());
        let ready = async { ready.await.context("the helper pod does not start") };
        let target = run.guard(ready).await?;
        run.step("helper pod", format!("{name} runs"));
        Ok((target, self.0.mount_path().to_owned()))
    }
}
