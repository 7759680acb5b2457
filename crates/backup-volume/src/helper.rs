//! The pod that keeps the volume mounted while its files are read.

use std::convert::Infallible;
use std::time::Duration;

use anyhow::{Context as _, bail};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, PodTemplateSpec};
use kube_transfer::PodContainer;
use serde_json::json;
use wa_common::cluster::helper_pod::{self, HelperPodSpec};
use wa_common::cluster::{Lasting, Probe, Wait, WaitError};

use crate::change::VolumeChange;
use crate::discovery::{Template, is_bound};
use crate::driver;
use crate::remedy::{Obstacle, Remedy};
use crate::run::VolumeRun;

/// No fetch takes longer: the kubelet cuts every stream after four hours, and resumed ones are new ones.
const LIFETIME: Duration = Duration::from_hours(24);
const CLAIM_PATH: &str = "/volume";

/// A provisioner that has failed for this long does not succeed by itself.
const PROVISIONING_GRACE: Duration = Duration::from_secs(20);
const PROBE_EVERY: Duration = Duration::from_secs(2);

/// A helper pod to be.
#[derive(Debug, Clone)]
pub(crate) struct Helper(HelperPodSpec);

impl Helper {
    /// A pod like those of the template, with `claim` in the place of theirs.
    pub(crate) fn from_template(
        template: &Template,
        claim: &str,
        image: Option<&str>,
    ) -> Result<Self, Obstacle> {
        let Template {
            origin,
            pod,
            claim: own,
        } = template;
        let mut helper = HelperPodSpec::derive(pod, origin, own, LIFETIME)
            .map_err(|error| Obstacle::new(error.to_string(), Remedy::OtherWay))?;
        helper.read_only = true;
        claim.clone_into(&mut helper.claim);
        if let Some(image) = image {
            image.clone_into(&mut helper.image);
        }
        Ok(Self(helper))
    }

    /// A pod of nothing but an image.
    pub(crate) fn bare(claim: &str, image: &str) -> Result<Self, Obstacle> {
        let pod = json!({
            "spec": {
                "containers": [{
                    "name": "helper", "image": image,
                    "volumeMounts": [{ "name": "volume", "mountPath": CLAIM_PATH }],
                }],
                "volumes": [{ "name": "volume", "persistentVolumeClaim": { "claimName": claim } }],
            },
        });
        let pod: PodTemplateSpec =
            serde_json::from_value(pod).map_err(|error| Obstacle::from(error.to_string()))?;
        let template = Template {
            origin: "the image".to_owned(),
            pod,
            claim: claim.to_owned(),
        };
        Self::from_template(&template, claim, None)
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
        let selectors = helper_pod::selectors(run.cluster()).await?;
        let change = VolumeChange::Pod { name: name.clone() };
        let pod = self.0.clone().unselected(&selectors).pod(&name);
        run.create(change, pod).await?;
        let ready = async {
            let mut passing = None;
            let ready = helper_pod::ready(run.cluster(), &name, timeout, run.reporter());
            let fails = claim_that_fails(run, &self.0.claim, &mut passing);
            tokio::select! {
                ready = ready => ready.with_context(|| match passing {
                    Some(why) => self.no_volume(&why),
                    None => "the helper pod does not start".to_owned(),
                }),
                why = fails => bail!("{}", self.no_volume(&why)),
            }
        };
        let target = run.guard(ready).await?;
        run.step("helper pod", format!("{name} runs"));
        Ok((target, self.0.mount_path().to_owned()))
    }

    fn no_volume(&self, why: &str) -> String {
        let claim = &self.0.claim;
        format!("the helper pod does not start: claim {claim} gets no volume: {why}")
    }
}

/// Ends when the claim's provisioner has failed for a while, with what it says; waits forever otherwise, also where the
/// user may not see events. What it says of a failure that may pass is left in `passing`.
async fn claim_that_fails(run: &VolumeRun, claim: &str, passing: &mut Option<String>) -> String {
    let cluster = run.cluster();
    let look = || async {
        Ok::<_, Infallible>(match cluster.find::<PersistentVolumeClaim>(claim).await {
            Ok(Some(found)) if !is_bound(&found) => {
                driver::provisioning_failure(cluster, &found).await
            }
            _ => None,
        })
    };
    let mut failing = Lasting::default();
    let judge = |failure: Option<String>| {
        *passing = None;
        match failure {
            Some(why) if driver::is_transient(&why) => {
                failing.over();
                *passing = Some(why);
            }
            Some(why) if failing.so() >= PROVISIONING_GRACE => return Ok(Probe::Done(why)),
            Some(_) => {}
            None => failing.over(),
        }
        // The pod's own events say what it waits for.
        Ok(Probe::Silent)
    };
    let wait = Wait::new(format!("for claim {claim}"), Duration::MAX, run.reporter());
    match wait.every(PROBE_EVERY).until(look, judge).await {
        Ok(why) => why,
        Err(WaitError::Failed(never)) => match never {},
        Err(WaitError::TimedOut(_)) => std::future::pending().await,
    }
}
