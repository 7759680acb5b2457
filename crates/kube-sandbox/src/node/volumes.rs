//! Volumes of a pod, as directories of this machine, and the container's own `/etc`.
//!
//! A persistent volume's content is a directory named after it, whatever its type says; a host path leads into a
//! directory that stands for the node's own files. One in memory with a size limit is a file system of that size, for each
//! container by itself and anew when that is started again. Left out: the checks of hostPath's `type` (what is missing
//! is made, as a directory), other types, updates of secret volumes while a pod runs, names of
//! services that are newer than the container, service account tokens (a projected source whose object is missing is
//! skipped, so that the token volume does no harm).

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Component, Path, PathBuf},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Map, Value};

use super::{
    Image, Mount,
    spec::{ContainerSpec, FilesSource, KeyToPath, Pod, Volume, VolumeMount},
};
use crate::disks::Disks;
use crate::meta::{Resource, Status, object, resources};
use crate::store::Store;

/// Kubernetes' default for the files of secrets and config maps.
const DEFAULT_MODE: u32 = 0o644;

/// Why a volume cannot be mounted; the message of the kubelet's `FailedMount` event.
#[derive(Debug, thiserror::Error)]
pub(super) enum VolumeError {
    #[error("MountVolume.SetUp failed for volume {volume:?} : {source}")]
    Missing { volume: String, source: Status },
    #[error(
        "MountVolume.SetUp failed for volume {volume:?} : references non-existent config key: {key}"
    )]
    NoKey { volume: String, key: String },
    #[error("volume {volume:?} is of a type this node does not have")]
    Unsupported { volume: String },
    #[error("volume mount of {path:?} leads out of its volume")]
    Outside { path: PathBuf },
    #[error("volume mount names the volume {volume:?}, which the pod does not have")]
    Unknown { volume: String },
    #[error("failed to write {path:?} of a volume")]
    Write { path: PathBuf, source: io::Error },
}

/// Where a pod's volumes are, once made.
#[derive(Clone, Debug)]
pub(super) struct Volumes<'a> {
    pub(super) store: &'a Store,
    /// Holds the pod's own volumes.
    pub(super) pod_directory: PathBuf,
    /// Holds the persistent ones.
    pub(super) disks: &'a Disks,
    /// Stands for the root of the node's own files.
    pub(super) host: PathBuf,
}

impl Volumes<'_> {
    /// Makes every volume of the pod.
    pub(super) fn make(&self, pod: &Pod) -> Result<(), VolumeError> {
        pod.spec.volumes.iter().try_for_each(|volume| {
            let directory = self.directory(pod, volume)?;
            create_directory(&directory)?;
            self.fill(pod, volume, &directory)
        })
    }

    /// What the container mounts.
    pub(super) fn mounts(
        &self,
        pod: &Pod,
        container: &ContainerSpec,
    ) -> Result<Vec<Mount>, VolumeError> {
        container
            .volume_mounts
            .iter()
            .filter(|mount| bytes_in_memory(pod, mount).is_none())
            .map(|mount| self.mount(pod, mount))
            .collect()
    }

    /// The volumes of the pod with a limit that nothing but a look at them keeps, each with its directory.
    pub(super) fn limited<'p>(&self, pod: &'p Pod) -> Vec<(&'p str, PathBuf, u64, String)> {
        let volumes = pod.spec.volumes.iter();
        let limited = volumes.filter_map(|volume| {
            let empty = volume.empty_dir.as_ref()?;
            let (bytes, text) = empty.limit()?;
            let directory = self.directory(pod, volume).ok()?;
            let on_disk = empty.bytes_in_memory().is_none();
            on_disk.then_some((volume.name.as_str(), directory, bytes, text))
        });
        limited.collect()
    }

    fn mount(&self, pod: &Pod, mount: &VolumeMount) -> Result<Mount, VolumeError> {
        let volume = pod
            .spec
            .volumes
            .iter()
            .find(|volume| volume.name == mount.name)
            .ok_or_else(|| VolumeError::Unknown {
                volume: mount.name.clone(),
            })?;
        let outside = |path: &Path| VolumeError::Outside {
            path: path.to_owned(),
        };
        if !stays_inside(&mount.sub_path) {
            return Err(outside(&mount.sub_path));
        }
        if !mount.mount_path.is_absolute() {
            return Err(outside(&mount.mount_path));
        }
        let source = self.directory(pod, volume)?.join(&mount.sub_path);
        if !source.exists() {
            create_directory(&source)?;
        }
        let claim_is_read_only = volume
            .persistent_volume_claim
            .as_ref()
            .is_some_and(|claim| claim.read_only);
        let is_projected = volume.empty_dir.is_none()
            && volume.persistent_volume_claim.is_none()
            && volume.host_path.is_none();
        Ok(Mount {
            source,
            target: mount.mount_path.clone(),
            read_only: mount.read_only || claim_is_read_only || is_projected,
        })
    }

    fn directory(&self, pod: &Pod, volume: &Volume) -> Result<PathBuf, VolumeError> {
        if let Some(source) = &volume.host_path {
            let inside = source.path.strip_prefix("/").unwrap_or(&source.path);
            if !stays_inside(inside) {
                return Err(VolumeError::Outside {
                    path: source.path.clone(),
                });
            }
            return Ok(self.host.join(inside));
        }
        let Some(claim) = &volume.persistent_volume_claim else {
            return Ok(self.pod_directory.join("volumes").join(&volume.name));
        };
        let claim = self
            .store
            .get(
                &resources::CLAIMS,
                &pod.metadata.namespace,
                &claim.claim_name,
            )
            .map_err(|source| VolumeError::Missing {
                volume: volume.name.clone(),
                source,
            })?;
        Ok(self
            .disks
            .volume(claim["spec"]["volumeName"].as_str().unwrap_or_default()))
    }

    fn fill(&self, pod: &Pod, volume: &Volume, directory: &Path) -> Result<(), VolumeError> {
        if let Some(secret) = &volume.secret {
            let source = FilesSource {
                name: secret.secret_name.clone(),
                items: secret.items.clone(),
                default_mode: secret.default_mode,
                optional: secret.optional,
            };
            return self.project(pod, volume, &resources::SECRETS, &source, directory);
        }
        if let Some(source) = &volume.config_map {
            return self.project(pod, volume, &resources::CONFIG_MAPS, source, directory);
        }
        if let Some(projected) = &volume.projected {
            for source in &projected.sources {
                for (resource, files) in [
                    (&resources::SECRETS, &source.secret),
                    (&resources::CONFIG_MAPS, &source.config_map),
                ] {
                    let Some(files) = files else { continue };
                    let files = FilesSource {
                        default_mode: projected.default_mode,
                        optional: true,
                        ..files.clone()
                    };
                    self.project(pod, volume, resource, &files, directory)?;
                }
            }
            return Ok(());
        }
        if volume.empty_dir.is_none()
            && volume.persistent_volume_claim.is_none()
            && volume.host_path.is_none()
        {
            return Err(VolumeError::Unsupported {
                volume: volume.name.clone(),
            });
        }
        Ok(())
    }

    /// Writes the keys of a secret or config map as files.
    fn project(
        &self,
        pod: &Pod,
        volume: &Volume,
        resource: &'static Resource,
        source: &FilesSource,
        directory: &Path,
    ) -> Result<(), VolumeError> {
        let object = match self
            .store
            .get(resource, &pod.metadata.namespace, &source.name)
        {
            Ok(object) => object,
            Err(_) if source.optional => return Ok(()),
            Err(missing) => {
                return Err(VolumeError::Missing {
                    volume: volume.name.clone(),
                    source: missing,
                });
            }
        };
        let files = file_contents(resource, &object);
        let items = if source.items.is_empty() {
            every_key(&files)
        } else {
            source.items.clone()
        };
        for item in items {
            let Some((_, content)) = files.iter().find(|(key, _)| *key == item.key) else {
                if source.optional {
                    continue;
                }
                return Err(VolumeError::NoKey {
                    volume: volume.name.clone(),
                    key: item.key,
                });
            };
            if !stays_inside(&item.path) {
                return Err(VolumeError::Outside { path: item.path });
            }
            let mode = item.mode.or(source.default_mode).unwrap_or(DEFAULT_MODE);
            write(&directory.join(&item.path), content, mode)?;
        }
        Ok(())
    }
}

/// The file systems in memory that the container mounts, with their bytes.
pub(super) fn in_memory(pod: &Pod, container: &ContainerSpec) -> Vec<(PathBuf, u64)> {
    let mounts = container.volume_mounts.iter();
    let in_memory = mounts.filter_map(|mount| {
        let bytes = bytes_in_memory(pod, mount)?;
        Some((mount.mount_path.clone(), bytes))
    });
    in_memory.collect()
}

fn bytes_in_memory(pod: &Pod, mount: &VolumeMount) -> Option<u64> {
    let mut volumes = pod.spec.volumes.iter();
    let volume = volumes.find(|volume| volume.name == mount.name)?;
    volume.empty_dir.as_ref()?.bytes_in_memory()
}

/// How much the files of a directory take; what goes meanwhile takes nothing.
pub(super) fn used_bytes(directory: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(directory) else {
        return 0;
    };
    let sizes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(found) if found.is_dir() => used_bytes(&entry.path()),
        Ok(found) => found.len(),
        Err(_) => 0,
    });
    sizes.sum()
}

fn every_key(files: &[(String, Vec<u8>)]) -> Vec<KeyToPath> {
    let item = |key: &String| KeyToPath {
        key: key.clone(),
        path: PathBuf::from(key),
        mode: None,
    };
    files.iter().map(|(key, _)| item(key)).collect()
}

fn file_contents(resource: &Resource, object: &Value) -> Vec<(String, Vec<u8>)> {
    let none = Map::new();
    let field = |name: &str| object[name].as_object().unwrap_or(&none).clone();
    let is_secret = resource.kind == resources::SECRETS.kind;
    let text = field("data").into_iter().filter_map(|(key, value)| {
        let value = value.as_str()?;
        let content = if is_secret {
            BASE64_STANDARD.decode(value).ok()?
        } else {
            value.as_bytes().to_vec()
        };
        Some((key, content))
    });
    let binary = field("binaryData")
        .into_iter()
        .filter_map(|(key, value)| Some((key, BASE64_STANDARD.decode(value.as_str()?).ok()?)));
    text.chain(binary).collect()
}

/// Whether a relative path cannot lead above where it starts.
fn stays_inside(path: &Path) -> bool {
    path.components()
        .all(|component| matches!(component, Component::Normal(_) | Component::CurDir))
}

fn create_directory(path: &Path) -> Result<(), VolumeError> {
    fs::create_dir_all(path).map_err(|source| VolumeError::Write {
        path: path.to_owned(),
        source,
    })
}

fn write(path: &Path, content: &[u8], mode: u32) -> Result<(), VolumeError> {
    if let Some(directory) = path.parent() {
        create_directory(directory)?;
    }
    // Removed first: a file made read-only by its mode could not be written a second time.
    let _ = fs::remove_file(path);
    fs::write(path, content)
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(mode)))
        .map_err(|source| VolumeError::Write {
            path: path.to_owned(),
            source,
        })
}

/// Writes the container's `/etc`: its user, and every service of the cluster by all of its names.
pub(super) fn write_etc(
    directory: &Path,
    store: &Store,
    pod: &Pod,
    pod_ip: &str,
    image: &Image,
    (user, group): (u32, u32),
) -> Result<(), VolumeError> {
    // The programs of some images want the name that the image has for their user.
    let name = |id: u32| match &image.user_name {
        name if id == image.user => name,
        _ => "user",
    };
    let passwd = format!(
        "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n{}",
        if user == 0 {
            String::new()
        } else {
            format!("{}:x:{user}:{group}::/:/bin/sh\n", name(user))
        }
    );
    let group_file = format!(
        "root:x:0:\nnogroup:x:65534:\n{}",
        if group == 0 {
            String::new()
        } else {
            format!("{}:x:{group}:\n", name(group))
        }
    );
    create_directory(directory)?;
    for (name, content) in [
        ("passwd", passwd),
        ("group", group_file),
        ("hosts", hosts(store, pod, pod_ip)),
        ("hostname", format!("{}\n", pod.hostname())),
        (
            "resolv.conf",
            "# Names of the cluster are in /etc/hosts.\n".to_owned(),
        ),
        (
            "nsswitch.conf",
            "passwd: files\ngroup: files\nhosts: files\n".to_owned(),
        ),
    ] {
        write(&directory.join(name), content.as_bytes(), DEFAULT_MODE)?;
    }
    for name in ["alternatives", "ld.so.cache", "ssl", "localtime"] {
        // Mount points for what is shared with this machine; see `shared_etc`.
        let (host, own) = (Path::new("/etc").join(name), directory.join(name));
        if host.is_dir() {
            create_directory(&own)?;
        } else if host.exists() {
            write(&own, b"", DEFAULT_MODE)?;
        }
    }
    Ok(())
}

/// Makes the directories of mounts below `/etc`, which is read-only once the container is set up.
pub(super) fn make_mount_points(etc: &Path, mounts: &[Mount]) -> Result<(), VolumeError> {
    let below = mounts
        .iter()
        .filter(|mount| mount.source.is_dir())
        .filter_map(|mount| mount.target.strip_prefix("/etc").ok());
    below
        .map(|path| etc.join(path))
        .try_for_each(|path| create_directory(&path))
}

/// The parts of this machine's `/etc` without which its programs do not run.
pub(super) fn shared_etc() -> Vec<Mount> {
    ["alternatives", "ld.so.cache", "ssl", "localtime"]
        .iter()
        .map(|name| Path::new("/etc").join(name))
        .filter(|path| path.exists())
        .map(|path| Mount {
            source: path.clone(),
            target: path,
            read_only: true,
        })
        .collect()
}

fn hosts(store: &Store, pod: &Pod, pod_ip: &str) -> String {
    let own_namespace = pod.metadata.namespace.as_str();
    let mut lines = vec![
        "127.0.0.1 localhost".to_owned(),
        "::1 localhost ip6-localhost".to_owned(),
    ];
    for service in store.list(&resources::SERVICES, None).items {
        let address = service["spec"]["clusterIP"].as_str();
        if let Some(address) = address.filter(|address| *address != "None") {
            let (name, namespace) = (object::name(&service), object::namespace(&service));
            let short = if namespace == own_namespace { name } else { "" };
            lines.push(format!(
                "{address} {} {short}",
                cluster_names(name, namespace)
            ));
        }
    }
    let hostname = pod.hostname();
    let names = pod.spec.subdomain.as_deref().map(|subdomain| {
        let name = format!("{hostname}.{subdomain}");
        format!("{} {name}", cluster_names(&name, own_namespace))
    });
    lines.push(format!("{pod_ip} {hostname} {}", names.unwrap_or_default()));
    lines.push(String::new());
    lines.join("\n")
}

/// The names a service, or a pod of a headless one, has in every namespace.
fn cluster_names(name: &str, namespace: &str) -> String {
    format!("{name}.{namespace}.svc.cluster.local {name}.{namespace}.svc {name}.{namespace}")
}
