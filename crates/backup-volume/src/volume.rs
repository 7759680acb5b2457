//! The backup volume with access to its files, so that they can be listed and read.

use anyhow::Context as _;
use kube_transfer::file::{Entry, FileHandle};
use wa_common::cli::Context;
use wa_common::cluster::Cluster;
use wa_common::report::{Event, elapsed};
use wa_common::run::{Change as _, Run, RunState};

use crate::access::{self, Access, AccessArgs, Plan};
use crate::change::{PLUGIN, VolumeChange};
use crate::denied;
use crate::discovery::Discovery;

/// The volume, and the way that is known to lead to its files.
pub struct ClosedVolume {
    pub cluster: Cluster,
    pub discovery: Discovery,
    pub plan: Plan,
}

/// The volume with access to its files.
pub struct OpenVolume {
    pub cluster: Cluster,
    pub discovery: Discovery,
    pub access: Access,
}

impl ClosedVolume {
    /// Finds the volume and a way to its files; changes nothing.
    pub async fn find(context: &Context, args: &AccessArgs) -> anyhow::Result<Self> {
        let cluster = context.connect()?;
        warn_of_leftovers(context, &cluster).await;
        let instance = context.global.instance.as_deref();
        let discovery = Discovery::discover(&cluster, instance, args.pvc.as_deref()).await?;
        let plan = access::choose(&cluster, &discovery, args).await?;
        Ok(Self {
            cluster,
            discovery,
            plan,
        })
    }

    /// Goes that way.
    pub async fn open(self, context: &Context, args: &AccessArgs) -> anyhow::Result<OpenVolume> {
        let Self {
            cluster,
            discovery,
            plan,
        } = self;
        context.reporter.report(&Event::Step {
            step: plan.method().step(),
            detail: plan.to_string(),
        });
        if matches!(plan, Plan::Debug(_))
            && (discovery.is_for_one_node() || discovery.is_for_one_pod())
            && let Some(wait) = discovery.next_backup_within(args.window.0)
        {
            let elsewhere = if discovery.is_for_one_pod() {
                ""
            } else {
                "on another node "
            };
            context.reporter.report(&Event::Warning {
                message: format!(
                    "a backup starts in {}; {elsewhere}it waits until the helper pod is gone",
                    elapsed(wait)
                ),
            });
        }
        let access = plan.open(context, &cluster, args).await?;
        Ok(OpenVolume {
            cluster,
            discovery,
            access,
        })
    }
}

impl OpenVolume {
    pub async fn files(&self) -> anyhow::Result<Vec<Entry>> {
        let Access {
            target, directory, ..
        } = &self.access;
        let listed = self.cluster.pod(target).list(directory).await;
        let claim = self.discovery.claim_name();
        let listed = listed.with_context(|| format!("cannot list the files of claim {claim}"));
        match listed {
            Err(error) => Err(denied::explain(error, &self.cluster, target, directory).await),
            listed => listed,
        }
    }

    /// Adds to an error of reading a file what the pod tells of its owner, where that is of use.
    pub async fn explain(&self, error: anyhow::Error, entry: &Entry) -> anyhow::Error {
        let file = self.file(entry);
        denied::explain(error, &self.cluster, &self.access.target, file.path()).await
    }

    pub fn file(&self, entry: &Entry) -> FileHandle {
        let path = format!("{}/{}", self.access.directory, entry.name);
        self.cluster.pod(&self.access.target).file(path)
    }
}

/// Tells of runs whose process died, and whose objects may be what is in the way now. Who may not look for them is not
/// kept from the files.
pub async fn warn_of_leftovers(context: &Context, cluster: &Cluster) {
    let Ok(runs) = Run::<VolumeChange>::others(cluster, PLUGIN).await else {
        return;
    };
    for run in runs.into_iter().flatten() {
        if run.state == RunState::Dead && !run.changes.is_empty() {
            let changes: Vec<String> = run.changes.iter().map(VolumeChange::describe).collect();
            context.reporter.report(&Event::Warning {
                message: format!(
                    "{} did not live to undo what it changed ({}); `kubectl {PLUGIN} cleanup -n {}` does",
                    run.name,
                    changes.join(", "),
                    cluster.namespace()
                ),
            });
        }
    }
}
