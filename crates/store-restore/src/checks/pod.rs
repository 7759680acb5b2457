//! What the PostgreSQL pod must have: programs that can read the dump, pgmig's architecture, space.

use anyhow::{Context as _, bail, ensure};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube_transfer::RemoteCommand;
use tokio::task::spawn_blocking;
use wa_common::assistant::{Datastore, Instance, POSTGRES_CONTAINER, PostgresPod};
use wa_common::cluster::Cluster;
use wa_common::preflight::Finding;
use wa_common::report::bytes;

use super::Run;
use crate::pg_restore::{major, require_reads, version_in};
use crate::pgmig::{Pgmig, download_url};
use crate::source::Candidate;

/// The operator's scratch space, which is there in every pod.
const SCRATCH: &str = "/controller";
/// What pgmig takes when no copy is at hand, and what its other files take.
const PGMIG_BYTES: u64 = 128 << 20;
const SMALL_FILES_BYTES: u64 = 1 << 20;

/// The pods that a restore works in.
pub(super) struct Pods {
    all: Vec<PostgresPod>,
    /// The one with the database's primary server.
    pub(super) primary: PostgresPod,
    /// The one that everything is staged in.
    pub(super) staged: PostgresPod,
}

/// What the pod's `pg_restore` is, and can read.
struct PgRestore {
    version: String,
    /// The archive version of the dump, where that could be read.
    archive_minor: Option<u8>,
    remark: Option<String>,
}

impl Run<'_> {
    pub(super) async fn pods(
        &mut self,
        instance: &Finding<Instance>,
        datastore: &Finding<Datastore>,
    ) -> Finding<Pods> {
        let (cluster, datastore) = (self.cluster, datastore.value());
        let look = async |instance: &Instance| {
            let all = PostgresPod::find_all(cluster, instance, datastore).await?;
            let primary = all.iter().find(|pod| pod.primary).or(all.first());
            let primary = primary.context("there is no PostgreSQL pod")?.clone();
            // The primary has enough to do; what is staged in it would share its disk with the database's own files.
            let staged = all.iter().find(|pod| !pod.primary);
            Ok(Pods {
                staged: staged.unwrap_or(&primary).clone(),
                primary,
                all,
            })
        };
        let detail = |pods: &Pods| {
            let names = pods.all.iter().map(|pod| {
                let role = if pod.primary { "primary" } else { "replica" };
                format!("{} ({role})", pod.name)
            });
            format!("Ready: {}", names.collect::<Vec<_>>().join(", "))
        };
        let conditions = &mut self.conditions;
        conditions
            .check("postgres pod", instance, look, detail)
            .await
    }

    pub(super) async fn pg_restore(&mut self, pods: &Finding<Pods>, source: &Finding<Candidate>) {
        let (cluster, source) = (self.cluster, source.value());
        let look = async |pods: &Pods| {
            let command = RemoteCommand::new("pg_restore").arg("--version");
            let printed = in_pod(cluster, &pods.staged, command).await?;
            let version = version_in(&printed).context("pg_restore did not print a version")?;
            judge(version, source)
        };
        let detail = |found: &PgRestore| {
            let pod = pods.value().map_or("", |pods| pods.staged.name.as_str());
            match found.archive_minor {
                Some(minor) => {
                    format!(
                        "{} in {pod}, reads archive version 1.{minor}",
                        found.version
                    )
                }
                None => format!("{} in {pod}", found.version),
            }
        };
        let conditions = &mut self.conditions;
        let found = conditions.check("pg_restore", pods, look, detail).await;
        if let Some(remark) = found.value().and_then(|found| found.remark.as_ref()) {
            conditions.remark(&found, remark);
        }
    }

    /// pgmig on this machine. Where none is given, it is said where to get the one of this release.
    pub(super) async fn pgmig(&mut self, instance: &Finding<Instance>) -> Finding<Pgmig> {
        const NAME: &str = "pgmig";
        let detail = |pgmig: &Pgmig| {
            format!(
                "{}, {}, SHA-256 {}",
                pgmig.architecture,
                bytes(pgmig.bytes),
                pgmig.sha256
            )
        };
        if let Some(path) = &self.options.pgmig {
            let path = path.clone();
            // On a thread of its own: a signal must be heard meanwhile.
            let read = spawn_blocking(move || Pgmig::read(&path)).await;
            let read = read.map_err(anyhow::Error::from).flatten();
            return self.conditions.record(NAME, read, detail);
        }
        let look = async |instance: &Instance| {
            bail!(
                "not given: download the one of the target's release from {} and give it with --pgmig FILE",
                download_url(instance.release.as_deref().unwrap_or("<RELEASE>"))
            )
        };
        self.conditions.check(NAME, instance, look, detail).await
    }

    /// Only a program for the pod's own architecture runs there.
    pub(super) async fn architecture(&mut self, pgmig: &Finding<Pgmig>, pods: &Finding<Pods>) {
        let cluster = self.cluster;
        let look = async |(pgmig, pods): (&Pgmig, &Pods)| {
            let (own, pod) = (pgmig.architecture, &pods.staged);
            let machine = in_pod(cluster, pod, RemoteCommand::new("uname").arg("-m")).await?;
            let machine = machine.trim();
            ensure!(
                machine == own,
                "pgmig is for {own}, and pod {} is {machine}: take the pgmig for {machine}",
                pod.name
            );
            Ok(own)
        };
        let detail = |own: &&str| (*own).to_owned();
        self.conditions
            .check("architecture", (pgmig, pods), look, detail)
            .await;
    }

    pub(super) async fn space(
        &mut self,
        pods: &Finding<Pods>,
        source: &Finding<Candidate>,
        pgmig: &Finding<Pgmig>,
    ) {
        let cluster = self.cluster;
        let pgmig = pgmig.value().map_or(PGMIG_BYTES, |pgmig| pgmig.bytes);
        let stage = &self.options.stage_dir;
        let own_scratch = stage == SCRATCH || stage.starts_with("/controller/");
        // What is staged there is made later; what it lies in is there.
        let looked_at = if own_scratch { SCRATCH } else { stage };
        let look = async |(pods, source): (&Pods, &Candidate)| {
            let pod = &pods.staged;
            let needed = source.bytes + pgmig + SMALL_FILES_BYTES;
            let df = RemoteCommand::new("df").args(["-Pk", looked_at]);
            let free = free_in(&in_pod(cluster, pod, df).await?)
                .with_context(|| format!("cannot read what df tells of {looked_at}"))?;
            ensure!(
                free > needed,
                "{} are needed in {stage} of pod {}, and {} are free: choose another directory with --stage-dir",
                bytes(needed),
                pod.name,
                bytes(free)
            );
            for (what, limit) in limits(cluster, pod, looked_at).await? {
                ensure!(
                    limit > needed,
                    "{} are needed in {stage} of pod {}, and {what} is {}: Kubernetes would evict the pod; choose another directory with --stage-dir",
                    bytes(needed),
                    pod.name,
                    bytes(limit)
                );
            }
            Ok(format!(
                "{} needed in {stage} of {}, {} free",
                bytes(needed),
                pod.name,
                bytes(free)
            ))
        };
        self.conditions
            .check("space in the pod", (pods, source), look, String::clone)
            .await;
    }
}

async fn in_pod(
    cluster: &Cluster,
    pod: &PostgresPod,
    command: RemoteCommand,
) -> anyhow::Result<String> {
    let answer = cluster
        .run_idempotent(&pod.container(), &command)
        .await
        .with_context(|| format!("cannot run a command in pod {}", pod.name))?;
    Ok(String::from_utf8_lossy(&answer.stdout).into_owned())
}

/// Whether a `pg_restore` of this version reads the dump, where that could be read itself.
fn judge(version: String, source: Option<&Candidate>) -> anyhow::Result<PgRestore> {
    let Some(source) = source else {
        return Ok(PgRestore {
            version,
            archive_minor: None,
            remark: None,
        });
    };
    let header = &source.header;
    let instead = "restore onto a release with a newer PostgreSQL";
    require_reads(&version, "the pod", header, instead)?;
    let pg_dump = header.pg_dump_version.as_deref();
    let newer = pg_dump.filter(|dumped| major(dumped) > major(&version));
    let remark = newer.map(|dumped| {
        format!("pg_dump {dumped} made the dump, and the pod's pg_restore is {version}: it reads the archive, but may refuse a setting in it that its server does not know")
    });
    Ok(PgRestore {
        version,
        archive_minor: Some(header.version.minor),
        remark,
    })
}

/// What Kubernetes limits, where the directory is in a volume without a disk of its own.
async fn limits(
    cluster: &Cluster,
    pod: &PostgresPod,
    directory: &str,
) -> anyhow::Result<Vec<(&'static str, u64)>> {
    let found: Option<Pod> = cluster.find(&pod.name).await?;
    let spec = found.and_then(|pod| pod.spec);
    let spec = spec.with_context(|| format!("pod {} is gone", pod.name))?;
    let containers = spec.containers.iter();
    let container = containers
        .into_iter()
        .find(|container| container.name == POSTGRES_CONTAINER);
    let Some(container) = container else {
        return Ok(Vec::new());
    };
    let within = |path: &str| {
        let path = path.trim_end_matches('/');
        directory == path || directory.starts_with(&format!("{path}/"))
    };
    let mounts = container.volume_mounts.iter().flatten();
    let mount = mounts
        .filter(|mount| within(&mount.mount_path))
        .max_by_key(|mount| mount.mount_path.len());
    let volume = mount.and_then(|mount| {
        let mut volumes = spec.volumes.iter().flatten();
        volumes.find(|volume| volume.name == mount.name)
    });
    let empty_dir = volume.and_then(|volume| volume.empty_dir.as_ref());
    if mount.is_some() && empty_dir.is_none() {
        return Ok(Vec::new());
    }
    let mut limits = Vec::new();
    let size = empty_dir.and_then(|volume| volume.size_limit.as_ref());
    limits.extend(
        size.and_then(bytes_of)
            .map(|size| ("the volume's sizeLimit", size)),
    );
    let resources = container.resources.as_ref();
    let own = resources.and_then(|resources| resources.limits.as_ref()?.get("ephemeral-storage"));
    limits.extend(
        own.and_then(bytes_of)
            .map(|limit| ("the container's ephemeral-storage limit", limit)),
    );
    Ok(limits)
}

/// The available bytes in what `df -Pk` prints.
fn free_in(printed: &str) -> Option<u64> {
    let line = printed.lines().last()?;
    let kilobytes: u64 = line.split_whitespace().nth(3)?.parse().ok()?;
    Some(kilobytes.saturating_mul(1024))
}

/// A quantity in whole bytes, rounded down; `None` for what is none.
fn bytes_of(quantity: &Quantity) -> Option<u64> {
    let text = quantity.0.as_str();
    let end = text
        .find(|letter: char| !letter.is_ascii_digit() && letter != '.')
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let factor: u64 = match suffix {
        "" => 1,
        "k" => 1000,
        "M" => 1000_u64.pow(2),
        "G" => 1000_u64.pow(3),
        "T" => 1000_u64.pow(4),
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        "Ti" => 1 << 40,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let mut total = whole.parse::<u64>().ok()?.checked_mul(factor)?;
    let mut share = factor;
    for digit in fraction.chars() {
        share /= 10;
        total = total.checked_add(share * u64::from(digit.to_digit(10)?))?;
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_space_is_the_fourth_word_of_the_last_line() {
        let printed = "Filesystem 1024-blocks Used Available Capacity Mounted on\noverlay 100 40 60 40% /controller\n";
        assert_eq!(free_in(printed), Some(60 * 1024));
        assert_eq!(free_in("df: /x: No such file or directory\n"), None);
    }

    #[test]
    fn quantities_are_bytes() {
        let read = |text: &str| bytes_of(&Quantity(text.to_owned()));
        assert_eq!(read("1Gi"), Some(1 << 30));
        assert_eq!(read("500M"), Some(500_000_000));
        assert_eq!(read("1.5Ki"), Some(1024 + 510));
        assert_eq!(read("2048"), Some(2048));
        for text in ["", "Gi", "1Zi", "99999999999Ti", "-1"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
