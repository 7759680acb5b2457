//! Getting a pod its volumes: attached to the machine, published by their driver, mounted.

use super::{
    super::{
        attachments::{Attached, Refused},
        events::{self, Severity},
    },
    RETRY, Worker,
};
use crate::meta::{Object, object, resources};

/// Why a pod has to wait for its volumes: reason and message of the event.
struct Obstacle {
    reason: &'static str,
    message: String,
}

impl Obstacle {
    fn mount(message: &impl ToString) -> Self {
        Self {
            reason: "FailedMount",
            message: message.to_string(),
        }
    }
}

impl Worker {
    /// Waits until the pod has all its volumes.
    pub(super) async fn prepare_volumes(&self) {
        let mut reported = String::new();
        while let Err(Obstacle { reason, message }) = self.try_volumes() {
            if message != reported {
                if reason == "FailedAttachVolume" {
                    self.attach_event(Severity::Warning, reason, &message);
                } else {
                    self.event(None, Severity::Warning, reason, &message);
                }
                reported = message;
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Ends the pod's use of its volumes.
    pub(super) fn release_volumes(&self) {
        if let Some(driver) = &self.node.driver {
            driver.unpublish(&self.pod().metadata.uid);
        }
        self.node.attachments.detach(self.pod());
    }

    fn try_volumes(&self) -> Result<(), Obstacle> {
        for volume in self.persistent_volumes()? {
            self.attach(&volume)?;
            if let Some(driver) = &self.node.driver {
                driver
                    .publish(self.machine().name, &self.pod().metadata.uid, &volume)
                    .map_err(|message| {
                        let volume = object::name(&volume);
                        Obstacle::mount(&format!(
                            "MountVolume.SetUp failed for volume {volume:?} : {message}"
                        ))
                    })?;
            }
        }
        self.volumes()
            .make(self.pod())
            .map_err(|error| Obstacle::mount(&error))
    }

    fn attach(&self, volume: &Object) -> Result<(), Obstacle> {
        let driver = self.node.driver.as_ref();
        let driver_attaches = driver.is_some_and(|driver| driver.attaches(volume));
        let attachments = &self.node.attachments;
        match attachments.attach(volume, driver_attaches, self.machine(), self.pod()) {
            Ok(Attached::Already) => Ok(()),
            Ok(Attached::Now) => {
                let message = format!(
                    "AttachVolume.Attach succeeded for volume {:?}",
                    object::name(volume)
                );
                self.attach_event(Severity::Normal, "SuccessfulAttachVolume", &message);
                Ok(())
            }
            Err(refused @ Refused::OtherMachine { .. }) => Err(Obstacle {
                reason: "FailedAttachVolume",
                message: refused.to_string(),
            }),
            Err(refused @ Refused::OtherPod { .. }) => Err(Obstacle::mount(&refused)),
        }
    }

    /// The volumes of the pod's claims. A pod that names its node itself can have claims that no scheduler has seen.
    fn persistent_volumes(&self) -> Result<Vec<Object>, Obstacle> {
        let (store, namespace) = (&self.node.store, &self.pod().metadata.namespace);
        let volumes = self.pod().spec.volumes.iter();
        let claimed = volumes
            .filter_map(|volume| Some((&volume.name, volume.persistent_volume_claim.as_ref()?)));
        claimed
            .map(|(volume, source)| {
                let name = &source.claim_name;
                let unusable = |why: String| {
                    Obstacle::mount(&format!(
                        "Unable to attach or mount volumes: unmounted volumes=[{volume}], unattached volumes=[], failed to \
                         process volumes=[{volume}]: error processing PVC {namespace}/{name}: {why}"
                    ))
                };
                let claim = store
                    .get(&resources::CLAIMS, namespace, name)
                    .map_err(|missing| {
                        unusable(format!("failed to fetch PVC from API server: {missing}"))
                    })?;
                if claim["status"]["phase"] != "Bound" {
                    return Err(unusable("PVC is not bound".to_owned()));
                }
                let volume = claim["spec"]["volumeName"].as_str().unwrap_or_default();
                store
                    .get(&resources::VOLUMES, "", volume)
                    .map_err(|missing| {
                        unusable(format!("failed to fetch PV {volume} from API server: {missing}"))
                    })
            })
            .collect()
    }

    fn attach_event(&self, severity: Severity, reason: &str, message: &str) {
        events::from_attach_detach(&self.node.store, self.pod(), severity, reason, message);
    }
}
