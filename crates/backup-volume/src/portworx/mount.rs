//! A volume that is attached and mounted, and how that is undone.

use std::convert::Infallible;
use std::fmt;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use kube_transfer::PodContainer;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use wa_common::cluster::{Cluster, Probe, Wait, WaitError};
use wa_common::report::error_text;
use wa_common::run::Undoing;

use super::pods::{CONTAINER, NAMESPACES, container_of, node_of, ready_pods};
use super::pxctl::{self, Pxctl};
use crate::names::is_object_name;

/// The only directory that Portworx's container shares with its host.
const MOUNTS: &str = "/var/lib/osd/mounts";
/// How long the volume may not want to be released: what a command that was killed had been reading through ends only
/// when it notices, and keeps the mount busy until then.
const RELEASED_WITHIN: Duration = Duration::from_secs(15);
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Where the run called `run` mounts its volume.
pub(crate) fn path_of(run: &str) -> String {
    format!("{MOUNTS}/{run}-mount")
}

/// A directory beside that of the mount, which Portworx may remove itself: there from before the volume is attached until
/// it is detached, and so it tells whether the run may have attached it.
pub(crate) fn mark_of(path: &str) -> String {
    format!("{path}.mark")
}

/// A Portworx volume that this run attaches and mounts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortworxMount {
    /// Of the Portworx pods.
    pub(crate) namespace: String,
    /// The pod that attached it; it may have been replaced since.
    pub(crate) pod: String,
    /// The node it is attached to.
    pub(crate) node: String,
    pub(crate) volume: String,
    pub(crate) path: String,
}

impl fmt::Display for PortworxMount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Portworx volume {} at {} on {}",
            self.volume, self.path, self.node
        )
    }
}

impl PortworxMount {
    /// The Portworx pod that is on the node now.
    async fn target(&self, cluster: &Cluster) -> anyhow::Result<PodContainer> {
        let pods = ready_pods(&cluster.in_namespace(&*self.namespace)).await?;
        let here = pods.iter().find(|pod| node_of(pod) == self.node);
        let pod = here.with_context(|| {
            format!(
                "no Portworx pod is Ready on {}, where volume {} was attached",
                self.node, self.volume
            )
        })?;
        Ok(container_of(pod, &self.namespace))
    }

    /// Whether the run called `run` can have made it; the pods of Portworx are privileged.
    pub(crate) fn is_of(&self, run: &str) -> bool {
        self.path == path_of(run)
            && NAMESPACES.contains(&&*self.namespace)
            && [&self.pod, &self.node, &self.volume]
                .into_iter()
                .all(|name| is_object_name(name))
    }

    /// Unmounts and detaches, as far as this run did the opposite, and makes sure of the result. Tries for
    /// [`RELEASED_WITHIN`], in which the directory should go too.
    pub(crate) async fn undo(&self, undoing: Undoing<'_>) -> anyhow::Result<()> {
        let (cluster, started) = (undoing.cluster, Instant::now());
        let what = format!("until Portworx releases volume {}", self.volume);
        let wait = Wait::new(what, RELEASED_WITHIN, &undoing);
        let seen = |error: &anyhow::Error| Probe::Pending(error_text(error));
        until_done(wait, seen, || self.release(cluster)).await?;
        // Portworx keeps the directory from being removed for a while, and an empty one is in nobody's way.
        let left = RELEASED_WITHIN.saturating_sub(started.elapsed());
        let wait = Wait::new("until the directory can be removed", left, &undoing);
        let remove = || self.remove_directories(cluster);
        if let Err(error) = until_done(wait, |_| Probe::Silent, remove).await {
            tracing::warn!(
                "volume {} is detached, and the empty directory of its mount is left: {error:#}",
                self.volume
            );
        }
        Ok(())
    }

    /// Looks at the volume first, so that it can be done again whatever the last attempt came to.
    async fn release(&self, cluster: &Cluster) -> anyhow::Result<()> {
        let target = self.target(cluster).await?;
        let pxctl = Pxctl::new(&target);
        let before = pxctl.inspect(cluster, &self.volume).await?;
        if before.is_mounted_at(&self.path) {
            pxctl.unmount(cluster, &self.volume, &self.path).await?;
        } else if !pxctl.has_directory(cluster, &mark_of(&self.path)).await? {
            // This run never came to attach it: who has it now is somebody else.
            return Ok(());
        }
        let unmounted = pxctl.inspect(cluster, &self.volume).await?;
        // Another mount is a pod's, which has come to need the volume since: Portworx detaches it when that ends.
        if unmounted.is_attached() && !unmounted.is_mounted() {
            pxctl.detach(cluster, &self.volume).await?;
        }
        let after = pxctl.inspect(cluster, &self.volume).await?;
        ensure!(
            !after.is_mounted_at(&self.path),
            "volume {} is still mounted at {}",
            self.volume,
            self.path
        );
        ensure!(
            !after.is_attached() || after.is_mounted(),
            "volume {} is still attached to {}: until it is detached, backups fail",
            self.volume,
            after.attached_to()
        );
        Ok(())
    }

    async fn remove_directories(&self, cluster: &Cluster) -> anyhow::Result<()> {
        let target = self.target(cluster).await?;
        let pxctl = Pxctl::new(&target);
        pxctl
            .remove_directory(cluster, &mark_of(&self.path))
            .await?;
        pxctl.remove_directory(cluster, &self.path).await
    }

    #[cfg(test)]
    pub(crate) fn example() -> Self {
        Self {
            namespace: "kube-system".to_owned(),
            pod: "portworx-x2k7p".to_owned(),
            node: "worker-1".to_owned(),
            volume: "pvc-1".to_owned(),
            path: path_of("wa-pvc-1"),
        }
    }

    /// What somebody may write into the record of `wa-pvc-1`.
    #[cfg(test)]
    pub(crate) fn forged() -> [Self; 5] {
        let with = |change: fn(&mut Self)| {
            let mut mount = Self::example();
            change(&mut mount);
            mount
        };
        [
            with(|mount| mount.path = "/etc".to_owned()),
            with(|mount| mount.namespace = "elsewhere".to_owned()),
            with(|mount| mount.volume = "--all".to_owned()),
            with(|mount| mount.pod = "x; reboot".to_owned()),
            with(|mount| mount.node = "$(reboot)".to_owned()),
        ]
    }

    /// What a person types to do the same.
    pub(crate) fn manual_commands(&self) -> String {
        let Self {
            namespace,
            pod,
            volume,
            path,
            ..
        } = self;
        let exec = format!("kubectl exec -n {namespace} {pod} -c {CONTAINER} --");
        let pxctl = pxctl::PROGRAM;
        format!(
            "{exec} {pxctl} host unmount --path {path} {volume}\n\
             {exec} {pxctl} host detach {volume}\n\
             {exec} {pxctl} volume inspect {volume}\n\
             {exec} rmdir {path} {}",
            mark_of(path)
        )
    }
}

/// Does `work` until it succeeds, as long as `wait` says; the error is that of the last time.
async fn until_done<F: Future<Output = anyhow::Result<()>>>(
    wait: Wait<'_>,
    seen: impl Fn(&anyhow::Error) -> Probe<()>,
    work: impl Fn() -> F,
) -> anyhow::Result<()> {
    let mut last = None;
    let work = || async { Ok::<_, Infallible>(work().await) };
    let judge = |done: anyhow::Result<()>| {
        Ok(match done {
            Ok(()) => Probe::Done(()),
            Err(error) => {
                let probe = seen(&error);
                last = Some(error);
                probe
            }
        })
    };
    match wait.every(TRY_AGAIN_AFTER).until(work, judge).await {
        Ok(()) => Ok(()),
        Err(WaitError::Failed(never)) => match never {},
        Err(WaitError::TimedOut(timed_out)) => Err(last.unwrap_or_else(|| timed_out.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_no_run_of_this_plugin_wrote_is_not_acted_on() {
        let mount = PortworxMount::example();
        assert!(mount.is_of("wa-pvc-1"));
        assert!(!mount.is_of("wa-pvc-2"));
        for mount in PortworxMount::forged() {
            assert!(!mount.is_of("wa-pvc-1"), "{mount:?}");
        }
    }
}
