//! The backup volume with access to its files, so that they can be listed and read.

use anyhow::Context as _;
use kube_transfer::file::{Entry, FileHandle};
use wa_common::preflight::{Finding, Preflight};
use wa_common::report::{Event, elapsed};
use wa_common::run::{Change as _, Run, RunState};

use crate::access::{self, Access, AccessMethod, AccessOptions, AccessPlan};
use crate::caller::Caller;
use crate::change::{PLUGINS, VolumeChange};
use crate::denied;
use crate::discovery::Discovery;

/// The volume, and the way that is known to lead to its files.
pub struct ClosedVolume {
    caller: Caller,
    options: AccessOptions,
    discovery: Discovery,
    plan: AccessPlan,
}

/// The volume with access to its files.
pub struct OpenVolume {
    pub(crate) caller: Caller,
    discovery: Discovery,
    access: Access,
}

impl ClosedVolume {
    /// Finds the volume of the instance named, or of the only one, and a way to its files; changes nothing.
    pub async fn find(
        caller: Caller,
        instance: Option<&str>,
        options: AccessOptions,
    ) -> anyhow::Result<Self> {
        warn_of_leftovers(&caller).await;
        let mut conditions = Preflight::default();
        let (discovery, plan) = look(&mut conditions, &caller, instance, &options).await;
        match (discovery.into_value(), plan.into_value()) {
            (Some(discovery), Some(plan)) => Ok(Self {
                caller,
                options,
                discovery,
                plan,
            }),
            _ => Err(conditions.into_error()),
        }
    }

    /// The way that is known to lead to the files.
    pub fn plan(&self) -> &AccessPlan {
        &self.plan
    }

    /// Goes that way. What is made on it is undone when the command ends, however it ends.
    pub async fn open(self) -> anyhow::Result<OpenVolume> {
        let Self {
            caller,
            options,
            discovery,
            plan,
        } = self;
        caller.reporter.report(&Event::Step {
            step: plan.method().step(),
            detail: plan.to_string(),
        });
        if plan.method() == AccessMethod::Debug
            && (discovery.is_for_one_node() || discovery.is_for_one_pod())
            && let Some(wait) = discovery.next_backup_within(options.window)
        {
            let elsewhere = if discovery.is_for_one_pod() {
                ""
            } else {
                "on another node "
            };
            caller.reporter.report(&Event::Warning {
                message: format!(
                    "a backup starts in {}; {elsewhere}it waits until the helper pod is gone",
                    elapsed(wait)
                ),
            });
        }
        let access = plan.open(&caller, &options).await?;
        Ok(OpenVolume {
            caller,
            discovery,
            access,
        })
    }
}

/// The volume and a way to its files, as conditions.
async fn look(
    conditions: &mut Preflight,
    caller: &Caller,
    instance: Option<&str>,
    options: &AccessOptions,
) -> (Finding<Discovery>, Finding<AccessPlan>) {
    let (cluster, claim) = (&caller.cluster, options.claim.as_deref());
    let discovery = Discovery::look(conditions, cluster, instance, claim).await;
    let choose = async |found: &Discovery| access::choose(cluster, found, options).await;
    let plan = conditions.check("access", &discovery, choose, AccessPlan::to_string);
    let plan = plan.await;
    (discovery, plan)
}

impl OpenVolume {
    /// What the cluster tells of the volume.
    pub fn discovery(&self) -> &Discovery {
        &self.discovery
    }

    /// The way that was gone.
    pub fn via(&self) -> AccessMethod {
        self.access.via
    }

    /// Does `work` with the files, as long as what was made for access to them is this command's own.
    pub async fn guard<T>(
        &self,
        work: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        self.access.guard(work).await
    }

    /// Everything on the volume.
    pub async fn files(&self) -> anyhow::Result<Vec<Entry>> {
        let Access {
            target, directory, ..
        } = &self.access;
        let listed = self.caller.cluster.pod(target).list(directory).await;
        let claim = self.discovery.claim_name();
        let listed = listed.with_context(|| format!("cannot list the files of claim {claim}"));
        match listed {
            Err(error) => {
                Err(denied::explain(error, &self.caller.cluster, target, directory).await)
            }
            listed => listed,
        }
    }

    /// Adds to an error of reading a file what the pod tells of its owner, where that is of use.
    pub(crate) async fn explain(&self, error: anyhow::Error, entry: &Entry) -> anyhow::Error {
        let file = self.file(entry);
        denied::explain(
            error,
            &self.caller.cluster,
            &self.access.target,
            file.path(),
        )
        .await
    }

    pub(crate) fn file(&self, entry: &Entry) -> FileHandle {
        let path = format!("{}/{}", self.access.directory, entry.name);
        self.caller.cluster.pod(&self.access.target).file(path)
    }
}

/// Tells of runs whose process died, and whose objects may be what is in the way now. Who may not look for them is not
/// kept from the files.
pub async fn warn_of_leftovers(caller: &Caller) {
    let cluster = &caller.cluster;
    for plugin in PLUGINS {
        let Ok(runs) = Run::<VolumeChange>::others(cluster, plugin).await else {
            return;
        };
        for run in runs.into_iter().flatten() {
            if run.state == RunState::Dead && !run.changes.is_empty() {
                let changes: Vec<String> = run.changes.iter().map(VolumeChange::describe).collect();
                caller.reporter.report(&Event::Warning {
                    message: format!(
                        "{} did not live to undo what it changed ({}); `kubectl {plugin} cleanup -n {}` does",
                        run.name,
                        changes.join(", "),
                        cluster.namespace()
                    ),
                });
            }
        }
    }
}
