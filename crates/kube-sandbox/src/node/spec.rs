//! The part of a pod's manifest that the node acts on, read once into types.

use std::{collections::BTreeMap, path::PathBuf};

use serde::Deserialize;
use serde_json::Value;

use crate::meta::quantity;

/// A pod as the node sees it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Pod {
    pub(super) metadata: Metadata,
    pub(super) spec: PodSpec,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Metadata {
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) uid: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) annotations: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PodSpec {
    pub(super) init_containers: Vec<ContainerSpec>,
    pub(super) containers: Vec<ContainerSpec>,
    pub(super) volumes: Vec<Volume>,
    pub(super) restart_policy: RestartPolicy,
    pub(super) active_deadline_seconds: Option<u64>,
    pub(super) node_name: Option<String>,
    pub(super) node_selector: BTreeMap<String, String>,
    pub(super) affinity: Value,
    pub(super) hostname: Option<String>,
    pub(super) subdomain: Option<String>,
    pub(super) security_context: SecurityContext,
    pub(super) service_account_name: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
pub(super) enum RestartPolicy {
    #[default]
    Always,
    OnFailure,
    Never,
}

impl RestartPolicy {
    pub(super) fn restarts_after(self, exit_code: i32) -> bool {
        match self {
            Self::Always => true,
            Self::OnFailure => exit_code != 0,
            Self::Never => false,
        }
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct SecurityContext {
    pub(super) run_as_user: Option<u32>,
    pub(super) run_as_group: Option<u32>,
    pub(super) read_only_root_filesystem: Option<bool>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ContainerSpec {
    pub(super) name: String,
    pub(super) image: String,
    pub(super) image_pull_policy: Option<String>,
    pub(super) command: Vec<String>,
    pub(super) args: Vec<String>,
    pub(super) working_dir: Option<PathBuf>,
    pub(super) env: Vec<EnvironmentVariable>,
    pub(super) env_from: Vec<EnvironmentSource>,
    pub(super) volume_mounts: Vec<VolumeMount>,
    pub(super) security_context: SecurityContext,
    pub(super) readiness_probe: Option<Probe>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct EnvironmentVariable {
    pub(super) name: String,
    pub(super) value: Option<String>,
    pub(super) value_from: Option<ValueSource>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(
    clippy::struct_field_names,
    reason = "the names of EnvVarSource's fields"
)]
pub(super) struct ValueSource {
    pub(super) secret_key_ref: Option<KeyReference>,
    pub(super) config_map_key_ref: Option<KeyReference>,
    pub(super) field_ref: Option<FieldReference>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct KeyReference {
    pub(super) name: String,
    pub(super) key: String,
    pub(super) optional: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct FieldReference {
    pub(super) field_path: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct EnvironmentSource {
    pub(super) prefix: String,
    pub(super) secret_ref: Option<ObjectReference>,
    pub(super) config_map_ref: Option<ObjectReference>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ObjectReference {
    pub(super) name: String,
    pub(super) optional: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct VolumeMount {
    pub(super) name: String,
    pub(super) mount_path: PathBuf,
    pub(super) sub_path: PathBuf,
    pub(super) read_only: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Probe {
    pub(super) exec: Option<ExecAction>,
    pub(super) initial_delay_seconds: u64,
    pub(super) period_seconds: Option<u64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ExecAction {
    pub(super) command: Vec<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Volume {
    pub(super) name: String,
    pub(super) empty_dir: Option<EmptyDir>,
    pub(super) persistent_volume_claim: Option<ClaimSource>,
    pub(super) secret: Option<SecretSource>,
    pub(super) config_map: Option<FilesSource>,
    pub(super) projected: Option<ProjectedSource>,
    pub(super) host_path: Option<HostPath>,
}

/// A directory that lives as long as its pod.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct EmptyDir {
    /// `Memory`, or else the node's disk.
    medium: Option<String>,
    size_limit: Option<Value>,
}

impl EmptyDir {
    /// The bytes that it may hold, and how its manifest says that.
    pub(super) fn limit(&self) -> Option<(u64, String)> {
        let text = match self.size_limit.as_ref()? {
            Value::String(text) => text.clone(),
            number => number.to_string(),
        };
        Some((quantity::bytes(&text)?, text))
    }

    /// How large it is where it is in memory, a file system of its own.
    pub(super) fn bytes_in_memory(&self) -> Option<u64> {
        let (bytes, _) = self.limit()?;
        (self.medium.as_deref() == Some("Memory")).then_some(bytes)
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct HostPath {
    pub(super) path: PathBuf,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ClaimSource {
    pub(super) claim_name: String,
    pub(super) read_only: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct SecretSource {
    pub(super) secret_name: String,
    pub(super) items: Vec<KeyToPath>,
    pub(super) default_mode: Option<u32>,
    pub(super) optional: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct FilesSource {
    pub(super) name: String,
    pub(super) items: Vec<KeyToPath>,
    pub(super) default_mode: Option<u32>,
    pub(super) optional: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ProjectedSource {
    pub(super) sources: Vec<Projection>,
    pub(super) default_mode: Option<u32>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Projection {
    pub(super) secret: Option<FilesSource>,
    pub(super) config_map: Option<FilesSource>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct KeyToPath {
    pub(super) key: String,
    pub(super) path: PathBuf,
    pub(super) mode: Option<u32>,
}

impl Pod {
    /// Reads a stored pod; the error says which field does not have the type it must have.
    pub(super) fn read(object: &Value) -> Result<Self, serde_json::Error> {
        Self::deserialize(object)
    }

    /// The name the pod's containers have for their machine.
    pub(super) fn hostname(&self) -> &str {
        self.spec.hostname.as_deref().unwrap_or(&self.metadata.name)
    }

    /// The user a container runs as: its own setting, else the pod's, else the image's.
    pub(super) fn user(&self, container: &ContainerSpec, image: u32) -> u32 {
        let own = container.security_context.run_as_user;
        own.or(self.spec.security_context.run_as_user)
            .unwrap_or(image)
    }

    /// The group a container runs as.
    pub(super) fn group(&self, container: &ContainerSpec, image: u32) -> u32 {
        let own = container.security_context.run_as_group;
        own.or(self.spec.security_context.run_as_group)
            .unwrap_or(image)
    }
}
