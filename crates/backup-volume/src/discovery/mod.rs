//! The backup volume as the cluster knows it: claim, volume, who has it mounted, and what writes to it.

mod mounts;

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod, PodTemplateSpec};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::ResourceExt as _;
use wa_common::assistant::{BackupCronJob, Instance, backup_claim};
use wa_common::cluster::{Cluster, ClusterError, pod_has_ended};
use wa_common::preflight::{Finding, Preflight};

use crate::driver::{PROVISIONER_NOTES, WAIT_FOR_FIRST_CONSUMER};
use crate::permissions::to_discover;
pub(crate) use mounts::Template;
pub use mounts::{Mount, MountPath};
use mounts::{admit, claim_volume, created, job_of, mount_in, mounted_claim, mounts};

const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";
const READ_WRITE_ONCE: &str = "ReadWriteOnce";
const SEVERAL_NODES: [&str; 2] = ["ReadWriteMany", "ReadOnlyMany"];
const READ_WRITE_ONCE_POD: &str = "ReadWriteOncePod";

/// What the cluster tells of the volume, before any of its files is read.
#[derive(Debug)]
pub struct Discovery {
    /// Whose volume it is.
    pub instance: Instance,
    pub(crate) claim: PersistentVolumeClaim,
    /// The bound volume; `None` where the claim is not bound or the user may not look.
    pub(crate) volume: Option<PersistentVolume>,
    /// Its class; `None` where it has none or the user may not look.
    pub(crate) class: Option<StorageClass>,
    /// The pods that have the claim and have not ended.
    pub mounts: Vec<Mount>,
    /// The newest pod that has ended, of a Job if there is one: a backup's.
    pub(crate) finished_pod: Option<Pod>,
    /// What writes the dumps, where the instance has it.
    pub cron_job: Option<BackupCronJob>,
}

impl Discovery {
    /// Looks at the claim named, or at the instance's backup claim.
    pub async fn discover(
        cluster: &Cluster,
        instance: Option<&str>,
        claim: Option<&str>,
    ) -> anyhow::Result<Self> {
        let mut conditions = Preflight::default();
        let discovery = Self::look(&mut conditions, cluster, instance, claim).await;
        discovery
            .into_value()
            .ok_or_else(|| conditions.into_error())
    }

    /// The same, as conditions of a preflight.
    pub(crate) async fn look(
        conditions: &mut Preflight,
        cluster: &Cluster,
        instance: Option<&str>,
        claim: Option<&str>,
    ) -> Finding<Self> {
        let needed = to_discover(instance.is_some());
        let permissions = conditions.permissions((), cluster, &needed).await;
        let instance = conditions.instance(&permissions, cluster, instance).await;
        let look = async |instance: &Instance| Self::from_claim(cluster, instance, claim).await;
        let detail = |found: &Self| format!("{}, {}", found.claim_name(), found.phase());
        conditions.check("claim", &instance, look, detail).await
    }

    async fn from_claim(
        cluster: &Cluster,
        instance: &Instance,
        claim: Option<&str>,
    ) -> anyhow::Result<Self> {
        let claim = match claim {
            Some(name) => cluster
                .find::<PersistentVolumeClaim>(name)
                .await?
                .with_context(|| {
                    format!(
                        "persistentvolumeclaim {name:?} not found in namespace {:?}; `kubectl get pvc` lists the claims",
                        cluster.namespace()
                    )
                })?,
            None => backup_claim(cluster, instance).await?,
        };
        let volume = match volume_name(&claim) {
            Some(name) => if_allowed(cluster.find_global(name).await)?,
            None => None,
        };
        let class = match class_name(&claim) {
            Some(name) => if_allowed(cluster.find_global(name).await)?,
            None => None,
        };
        let name = claim.name_any();
        // No selector tells which pods mount a claim.
        let mounting = |pod: &Pod| claim_volume(pod, &name).is_some();
        let pods: Vec<Pod> = cluster.list_matching("", mounting).await?;
        let (ended, live): (Vec<Pod>, Vec<Pod>) = pods.into_iter().partition(pod_has_ended);
        Ok(Self {
            cron_job: BackupCronJob::find(cluster, instance).await?,
            instance: instance.clone(),
            mounts: live.iter().flat_map(|pod| mounts(pod, &name)).collect(),
            finished_pod: ended
                .into_iter()
                .max_by_key(|pod| (job_of(pod).is_some(), created(pod))),
            claim,
            volume,
            class,
        })
    }

    /// The name of the claim.
    pub fn claim_name(&self) -> String {
        self.claim.name_any()
    }

    /// `Bound`, `Pending` or `Lost`.
    pub fn phase(&self) -> &str {
        phase(&self.claim)
    }

    pub(crate) fn is_bound(&self) -> bool {
        is_bound(&self.claim)
    }

    /// The name of the bound volume.
    pub fn volume_name(&self) -> Option<&str> {
        volume_name(&self.claim)
    }

    /// The name of its StorageClass.
    pub fn class_name(&self) -> Option<&str> {
        class_name(&self.claim)
    }

    /// The driver that made the volume: told by the volume, by its class, and in notes on both volume and claim, of
    /// which not every user may read every one.
    pub fn provisioner(&self) -> Option<&str> {
        let volume = self.volume.as_ref();
        let csi = volume
            .and_then(|volume| volume.spec.as_ref()?.csi.as_ref())
            .map(|csi| csi.driver.as_str());
        let provisioned_by =
            volume.and_then(|volume| volume.annotations().get(PROVISIONED_BY).map(String::as_str));
        let class = self.class.as_ref().map(|class| class.provisioner.as_str());
        let noted = PROVISIONER_NOTES
            .iter()
            .find_map(|note| self.claim.annotations().get(*note).map(String::as_str));
        csi.or(provisioned_by).or(class).or(noted)
    }

    /// Whether a CSI driver serves the volume, which is what snapshots need.
    pub(crate) fn is_csi(&self) -> Option<bool> {
        let volume = self.volume.as_ref()?.spec.as_ref()?;
        Some(volume.csi.is_some())
    }

    /// Who may have the volume at a time, as Kubernetes writes it.
    pub fn access_modes(&self) -> &[String] {
        let granted = self.claim.status.as_ref();
        let granted = granted.and_then(|status| status.access_modes.as_deref());
        let asked = self.claim.spec.as_ref();
        let asked = || asked.and_then(|spec| spec.access_modes.as_deref());
        granted.or_else(asked).unwrap_or_default()
    }

    /// The size of the volume, as Kubernetes writes quantities.
    pub fn capacity(&self) -> Option<&str> {
        let status = self.claim.status.as_ref();
        let granted = status.and_then(|status| status.capacity.as_ref()?.get("storage"));
        let asked = || {
            let resources = self.claim.spec.as_ref()?.resources.as_ref()?;
            resources.requests.as_ref()?.get("storage")
        };
        granted.or_else(asked).map(|size| size.0.as_str())
    }

    /// The node on which a further pod must run to share the volume with the pods that have it now.
    pub(crate) fn node_in_use(&self) -> Option<&str> {
        let node = self.mounts.iter().find_map(|mount| mount.node.as_deref());
        node.filter(|_| self.is_for_one_node())
    }

    /// Whether only pods of one node may have the volume at a time.
    pub(crate) fn is_for_one_node(&self) -> bool {
        self.has_mode(READ_WRITE_ONCE) && !SEVERAL_NODES.iter().any(|mode| self.has_mode(mode))
    }

    /// Whether only one pod at a time may have the volume.
    pub(crate) fn is_for_one_pod(&self) -> bool {
        self.has_mode(READ_WRITE_ONCE_POD)
    }

    fn has_mode(&self, wanted: &str) -> bool {
        self.access_modes().iter().any(|mode| mode == wanted)
    }

    /// Jobs that write to the volume now: the CronJob's, and any other whose pod has it mounted.
    pub fn active_jobs(&self) -> BTreeSet<String> {
        let of_cron_job = self.cron_job.as_ref().map(BackupCronJob::active_jobs);
        let mounted = self.mounts.iter().filter_map(|mount| mount.job.clone());
        of_cron_job.into_iter().flatten().chain(mounted).collect()
    }

    /// When the first pod began that may be writing a dump now.
    pub fn backup_running_since(&self) -> Option<Timestamp> {
        let of_jobs = self.mounts.iter().filter(|mount| mount.job.is_some());
        of_jobs.filter_map(|mount| mount.created).min()
    }

    /// Whether a further pod could get the volume; also where the claim is bound only once a pod needs it.
    pub(crate) fn can_be_mounted(&self) -> bool {
        let waits_for_pod = || {
            let mode = self.class.as_ref().map(|class| &class.volume_binding_mode);
            // A class that the user may not read may be of that kind.
            mode.is_none_or(|mode| mode.as_deref() == Some(WAIT_FOR_FIRST_CONSUMER))
        };
        self.is_bound() || self.phase() == "Pending" && waits_for_pod()
    }

    /// The schedule of the backups, where it does not tell when the next one starts.
    pub(crate) fn unreadable_schedule(&self) -> Option<&str> {
        let cron_job = self.cron_job.as_ref()?;
        let unknown = !cron_job.is_suspended() && cron_job.next_run(Timestamp::now()).is_none();
        unknown.then(|| cron_job.schedule())
    }

    /// How long until the next backup starts, where that is less than `window`.
    pub(crate) fn next_backup_within(&self, window: Option<Duration>) -> Option<Duration> {
        let now = Timestamp::now();
        let next = self.cron_job.as_ref()?.next_run(now)?;
        let wait = Duration::try_from(next.duration_since(now)).ok()?;
        (wait < window?).then_some(wait)
    }

    /// What a helper pod can be made from: the CronJob's pods, as the cluster admits them, else a Job's pod that has
    /// ended. Where neither mounts the claim, because the user has named another one, the CronJob's pods with their own
    /// claim.
    pub(crate) fn template(&self) -> Option<Template> {
        let finished = self.finished_pod.as_ref();
        let of_cron_job = self.cron_job.as_ref().and_then(|cron_job| {
            let pod = cron_job.pod_template()?.clone();
            Some((format!("CronJob {}", cron_job.name()), pod))
        });
        let of_pod = finished.map(|pod| {
            let template = PodTemplateSpec {
                metadata: Some(pod.metadata.clone()),
                spec: pod.spec.clone(),
            };
            (format!("finished pod {}", pod.name_any()), template)
        });
        let claim = self.claim_name();
        let mounts_it = |(_, pod): &(String, PodTemplateSpec)| {
            let spec = pod.spec.as_ref();
            spec.is_some_and(|spec| mount_in(spec, &claim).is_some())
        };
        let own = [of_cron_job.clone(), of_pod].into_iter().flatten();
        let own = own.into_iter().find(mounts_it);
        let (origin, mut pod, claim) = if let Some((origin, pod)) = own {
            (origin, pod, claim)
        } else {
            let (origin, pod) = of_cron_job?;
            let claim = mounted_claim(pod.spec.as_ref()?)?;
            (origin, pod, claim)
        };
        admit(&mut pod, finished, &claim);
        Some(Template { origin, pod, claim })
    }
}

/// What has the claim mounted in pods that have not ended.
pub(crate) async fn mounts_of(cluster: &Cluster, claim: &str) -> Result<Vec<Mount>, ClusterError> {
    let mounting = |pod: &Pod| claim_volume(pod, claim).is_some() && !pod_has_ended(pod);
    let pods: Vec<Pod> = cluster.list_matching("", mounting).await?;
    Ok(pods.iter().flat_map(|pod| mounts(pod, claim)).collect())
}

fn phase(claim: &PersistentVolumeClaim) -> &str {
    let status = claim.status.as_ref();
    let phase = status.and_then(|status| status.phase.as_deref());
    phase.unwrap_or("Pending")
}

/// Whether a claim has its volume.
pub(crate) fn is_bound(claim: &PersistentVolumeClaim) -> bool {
    phase(claim) == "Bound"
}

fn volume_name(claim: &PersistentVolumeClaim) -> Option<&str> {
    let name = claim.spec.as_ref()?.volume_name.as_deref();
    name.filter(|name| !name.is_empty())
}

fn class_name(claim: &PersistentVolumeClaim) -> Option<&str> {
    let name = claim.spec.as_ref()?.storage_class_name.as_deref();
    name.filter(|name| !name.is_empty())
}

/// Not every administrator of a namespace may look at what is outside of it.
pub(crate) fn if_allowed<T>(
    found: Result<Option<T>, ClusterError>,
) -> Result<Option<T>, ClusterError> {
    match found {
        Err(error) if error.code() == Some(403) => Ok(None),
        found => found,
    }
}
