//! `pxctl` in a Portworx pod.

use anyhow::Context as _;
use kube_transfer::{Captured, DownloadError, PodContainer, RemoteCommand};
use serde::Deserialize;
use serde_json::Value;
use wa_common::cluster::Cluster;
use wa_common::report::printable;

/// Where it is in the pod.
pub(crate) const PROGRAM: &str = "/opt/pwx/bin/pxctl";

/// pxctl in one pod, and so on one node.
pub(crate) struct Pxctl<'a> {
    target: &'a PodContainer,
}

/// What `pxctl volume inspect` says of a volume, as far as it can be relied on: `attached_state` cannot.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct VolumeState {
    #[serde(default)]
    state: Value,
    #[serde(default, deserialize_with = "text_or_nothing")]
    attached_on: String,
    #[serde(default, deserialize_with = "list_or_nothing")]
    attach_path: Vec<String>,
    #[serde(default)]
    spec: VolumeSpec,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct VolumeSpec {
    #[serde(default)]
    encrypted: bool,
}

/// openstorage's `VOLUME_STATE_ATTACHED` and `VOLUME_STATE_DETACHING`: as numbers, or by name, as releases print them.
const ATTACHED: [u64; 3] = [3, 5, 8];

fn text_or_nothing<'de, D: serde::Deserializer<'de>>(input: D) -> Result<String, D::Error> {
    Ok(Option::deserialize(input)?.unwrap_or_default())
}

fn list_or_nothing<'de, D: serde::Deserializer<'de>>(input: D) -> Result<Vec<String>, D::Error> {
    Ok(Option::deserialize(input)?.unwrap_or_default())
}

impl VolumeState {
    /// Reads the array that `pxctl -j volume inspect NAME` prints.
    fn parse(json: &[u8]) -> anyhow::Result<Self> {
        let mut volumes: Vec<Self> =
            serde_json::from_slice(json).context("pxctl's answer cannot be read")?;
        match volumes.len() {
            1 => Ok(volumes.remove(0)),
            several => anyhow::bail!("pxctl told of {several} volumes where one was asked for"),
        }
    }

    pub(crate) fn is_attached(&self) -> bool {
        let state = match &self.state {
            Value::Number(number) => number.as_u64().is_some_and(|n| ATTACHED.contains(&n)),
            Value::String(name) => {
                let name = name.to_ascii_uppercase();
                name.ends_with("ATTACHED") && !name.ends_with("DETACHED")
                    || name.ends_with("DETACHING")
            }
            _ => false,
        };
        state || !self.attached_on.is_empty() || self.is_mounted()
    }

    pub(crate) fn is_mounted(&self) -> bool {
        !self.attach_path.is_empty()
    }

    pub(crate) fn is_mounted_at(&self, path: &str) -> bool {
        self.attach_path.iter().any(|mounted| mounted == path)
    }

    pub(crate) fn is_encrypted(&self) -> bool {
        self.spec.encrypted
    }

    pub(crate) fn attached_to(&self) -> &str {
        if self.attached_on.is_empty() {
            "a node"
        } else {
            &self.attached_on
        }
    }

    /// Why the volume must not be attached.
    pub(crate) fn obstacle(&self, volume: &str) -> Option<String> {
        self.is_attached().then(|| {
            format!(
                "volume {volume} is attached to {}; wait until nothing uses it",
                printable(self.attached_to())
            )
        })
    }
}

impl<'a> Pxctl<'a> {
    pub(crate) fn new(target: &'a PodContainer) -> Self {
        Self { target }
    }

    pub(crate) async fn inspect(
        &self,
        cluster: &Cluster,
        volume: &str,
    ) -> anyhow::Result<VolumeState> {
        let printed = self
            .pxctl(cluster, &["-j", "volume", "inspect", volume])
            .await?;
        VolumeState::parse(&printed.stdout)
    }

    pub(crate) async fn attach(&self, cluster: &Cluster, volume: &str) -> anyhow::Result<()> {
        self.pxctl(cluster, &["host", "attach", volume])
            .await
            .map(drop)
    }

    pub(crate) async fn detach(&self, cluster: &Cluster, volume: &str) -> anyhow::Result<()> {
        self.pxctl(cluster, &["host", "detach", volume])
            .await
            .map(drop)
    }

    pub(crate) async fn mount(
        &self,
        cluster: &Cluster,
        volume: &str,
        path: &str,
    ) -> anyhow::Result<()> {
        self.pxctl(cluster, &["host", "mount", volume, "--path", path])
            .await
            .map(drop)
    }

    pub(crate) async fn unmount(
        &self,
        cluster: &Cluster,
        volume: &str,
        path: &str,
    ) -> anyhow::Result<()> {
        self.pxctl(cluster, &["host", "unmount", "--path", path, volume])
            .await
            .map(drop)
    }

    pub(crate) async fn make_directory(&self, cluster: &Cluster, path: &str) -> anyhow::Result<()> {
        self.run(cluster, RemoteCommand::new("mkdir").args(["-p", path]))
            .await
            .map(drop)
            .with_context(|| format!("cannot make {path} in pod {}", self.target.pod))
    }

    pub(crate) async fn has_directory(
        &self,
        cluster: &Cluster,
        path: &str,
    ) -> anyhow::Result<bool> {
        let script = r#"[ ! -d "$1" ] || echo there"#;
        let look = RemoteCommand::script(script).arg(path);
        let printed = self.run(cluster, look).await;
        let printed = printed
            .with_context(|| format!("cannot look for {path} in pod {}", self.target.pod))?;
        Ok(!printed.stdout.is_empty())
    }

    /// Whether the pod has something mounted there: Portworx may mount on the node alone.
    pub(crate) async fn sees_mount(&self, cluster: &Cluster, path: &str) -> anyhow::Result<bool> {
        let mounts = RemoteCommand::new("cat").arg("/proc/self/mountinfo");
        let printed = self.run(cluster, mounts).await;
        let printed =
            printed.with_context(|| format!("cannot see the mounts of pod {}", self.target.pod))?;
        Ok(is_mount_point(
            path,
            &String::from_utf8_lossy(&printed.stdout),
        ))
    }

    /// Removes the directory of a mount, where it is there; never what is in it.
    pub(crate) async fn remove_directory(
        &self,
        cluster: &Cluster,
        path: &str,
    ) -> anyhow::Result<()> {
        let script = r#"[ ! -d "$1" ] || rmdir "$1""#;
        let remove = RemoteCommand::script(script).arg(path);
        self.run(cluster, remove)
            .await
            .map(drop)
            .with_context(|| format!("cannot remove {path} in pod {}", self.target.pod))
    }

    async fn pxctl(&self, cluster: &Cluster, arguments: &[&str]) -> anyhow::Result<Captured> {
        let command = RemoteCommand::new(PROGRAM).args(arguments.iter().copied());
        self.run(cluster, command).await.with_context(|| {
            let line = arguments.join(" ");
            format!("`pxctl {line}` in pod {} failed", self.target.pod)
        })
    }

    async fn run(
        &self,
        cluster: &Cluster,
        command: RemoteCommand,
    ) -> Result<Captured, DownloadError> {
        cluster.pod(self.target).run(&command).await
    }
}

/// Whether `path` is one by the lines of proc(5)'s `mountinfo`, whose fifth field it is.
fn is_mount_point(path: &str, mountinfo: &str) -> bool {
    mountinfo
        .lines()
        .any(|line| line.split(' ').nth(4) == Some(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn state(fields: &Value) -> VolumeState {
        let mut volume = json!({"id": "1", "locator": {"name": "pvc-1"}, "attached_state": "ATTACH_STATE_INTERNAL",
            "state": 4, "attached_on": "", "attach_path": null, "spec": {"encrypted": false}});
        volume
            .as_object_mut()
            .unwrap()
            .extend(fields.as_object().unwrap().clone());
        VolumeState::parse(json!([volume]).to_string().as_bytes()).unwrap()
    }

    #[test]
    fn only_what_is_detached_in_every_respect_may_be_attached() {
        assert_eq!(state(&json!({})).obstacle("pvc-1"), None);
        assert_eq!(
            state(&json!({"state": "VOLUME_STATE_DETACHED"})).obstacle("pvc-1"),
            None
        );
        for used in [
            json!({"state": 3}),
            json!({"state": "VOLUME_STATE_ATTACHED"}),
            json!({"attached_on": "10.0.0.7"}),
            json!({"attach_path": ["/var/lib/kubelet/x"]}),
        ] {
            let reason = state(&used).obstacle("pvc-1").unwrap();
            assert!(reason.contains("is attached to"), "{reason}");
        }
    }

    #[test]
    fn an_answer_about_no_volume_or_several_is_an_error() {
        assert!(VolumeState::parse(b"[]").is_err());
        assert!(VolumeState::parse(b"[{},{}]").is_err());
        assert!(VolumeState::parse(b"Error: not found").is_err());
    }

    #[test]
    fn only_what_is_mounted_at_the_very_path_is_a_mount_point() {
        let mountinfo = "36 35 98:0 / /var/lib/osd rw shared:1 - ext4 /dev/sda1 rw\n\
            37 36 252:3 / /var/lib/osd/mounts/wa-pvc-1-mount rw shared:2 - ext4 /dev/pxd/pxd1 rw\n";
        let seen = |path| is_mount_point(path, mountinfo);
        assert!(seen("/var/lib/osd/mounts/wa-pvc-1-mount"));
        assert!(!seen("/var/lib/osd/mounts/wa-pvc-2-mount"));
        assert!(!seen("/var/lib/osd/mounts"));
    }
}
