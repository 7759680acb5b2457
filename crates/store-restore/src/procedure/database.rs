//! What a restore does to databases and the encryption key, by the modules that know how.

use anyhow::{Context as _, bail, ensure};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{DeleteParams, ObjectMeta};
use wa_common::assistant::Datastore;
use wa_common::cluster::Cluster;
use wa_common::report::{Event, Reporter as _, bytes, causes_text, printable};
use wa_common::run::Undoing;
use wa_common::run::journal::StartedStep;

use super::work::{ReadBackup, Work};
use super::{Outcome, Restore, RestorePlan};
use crate::comparison::compare;
use crate::database::{DatabaseServer, Made, NamedDatabase};
use crate::encryption_key::{KeyValue, current_key, replace_key};
use crate::mapping::{Mapping, Pair, Reason};
use crate::source::{OpenedBackup, Source};

/// What to do where nothing but numbers of rows differ.
const ACCEPT_ROWS: &str = "\nevery service instance and every workspace is there: if you know why the rows differ, as when pgmig writes some \
of its own, go on with `kubectl wa-restore resume --accept-row-differences`";
/// The keys of the run's Secret.
const OLD_KEY: &str = "old";
const NEW_KEY: &str = "new";

/// The names of what the run called `run` makes in the server, and of its Secret.
pub(super) struct Names {
    /// The copy of the database as it was before.
    pub(super) copy: String,
    /// The database that the safety backup is restored into.
    pub(super) safety: String,
    /// What was the store database until a rollback.
    pub(super) put_aside: String,
    /// The Secret with the old and the new encryption key.
    pub(super) secret: String,
}

impl Names {
    pub(super) fn from_run(run: &str) -> Self {
        let name = |suffix: &str| format!("{run}-{suffix}");
        Self {
            copy: name("copy"),
            safety: name("safety"),
            put_aside: name("failed"),
            secret: name("key"),
        }
    }
}

pub(super) async fn server(
    cluster: &Cluster,
    plan: &RestorePlan,
) -> anyhow::Result<DatabaseServer> {
    let instance = plan.instance();
    let datastore = Datastore::read(cluster, &instance).await?;
    ensure!(
        datastore.database == plan.database,
        "the store's secret now names database {:?}, and this restore began with {:?}",
        printable(&datastore.database),
        printable(&plan.database)
    );
    Ok(DatabaseServer::new(cluster, &instance, &datastore))
}

/// Copies the database inside its server, where that has room.
pub(super) async fn copy(
    work: &Work<'_>,
    started: &StartedStep<'_, Restore>,
) -> anyhow::Result<Outcome> {
    let plan = started.run().plan();
    let server = server(work.cluster, &plan).await?;
    let ReadBackup { source, .. } = started.guard(work.read_backup(&plan)).await??;
    let tables = &source.intact.verified.contents.tables;
    let dump_bytes = tables.iter().map(|table| table.bytes).sum();
    let room = server.room_for_copy(dump_bytes).await?;
    let name = Names::from_run(started.run().run_id()).copy;
    // One that was begun has its room already.
    if !room.suffices() && server.judge(&name).await? == Made::Absent {
        let why = format!(
            "the server's disk has {} free, and a copy with what is restored beside it needs {}",
            bytes(room.free_bytes),
            bytes(room.needed_bytes)
        );
        let instead = match plan.safety {
            Some(_) => "the way back is the safety backup",
            None => "there will be no way back",
        };
        work.warn(format!(
            "the database is not copied inside its server: {why}; {instead}"
        ));
        return Ok(Outcome::NotNeeded { why });
    }
    let reporter = work.reporter.clone();
    let copy = started
        .change(move |_| async move { server.make_copy(&name, &*reporter).await })
        .await??;
    work.reporter.report(&Event::Step {
        step: "copy",
        detail: format!("{} in the server, for the way back", copy.name),
    });
    Ok(Outcome::Done)
}

/// Drops the copy inside the server.
pub(super) async fn drop_copy(
    work: &Work<'_>,
    started: &StartedStep<'_, Restore>,
) -> anyhow::Result<()> {
    let server = server(work.cluster, &started.run().plan()).await?;
    let name = Names::from_run(started.run().run_id()).copy;
    let reporter = work.reporter.clone();
    started
        .change(move |_| async move { server.drop_database(&name, &*reporter).await })
        .await??;
    Ok(())
}

/// Holds the restored database against the dump. What differs is an error; numbers of rows may be accepted, as nobody outside of
/// IBM knows what each pgmig writes of its own.
pub(super) async fn check(
    work: &Work<'_>,
    started: &StartedStep<'_, Restore>,
) -> anyhow::Result<Outcome> {
    let plan = started.run().plan();
    let ReadBackup { source, workspaces } = started.guard(work.read_backup(&plan)).await??;
    let mapping = mapping(&plan, source)?;
    let server = server(work.cluster, &plan).await?;
    let same_release = plan.release.is_some() && plan.release == plan.backup.release;
    let compared = started
        .guard(compare(&server, source, workspaces.as_ref(), &mapping))
        .await??;
    let accepted = work.inputs.accept_row_differences;
    let may_differ = !same_release || accepted;
    let (mut differences, rows) = (compared.differences.clone(), &compared.row_differences);
    let advice = if differences.is_empty() {
        ACCEPT_ROWS
    } else {
        ""
    };
    for remark in &compared.remarks {
        work.warn(remark.clone());
    }
    if may_differ {
        for remark in rows {
            work.warn(remark.clone());
        }
    } else {
        differences.extend(rows.iter().cloned());
    }
    ensure!(
        differences.is_empty(),
        "the restored database is not what the backup holds:\n{}{advice}",
        differences.join("\n")
    );
    work.reporter.report(&Event::Step {
        step: "check",
        detail: format!("as in the backup: {}", compared.in_words()),
    });
    Ok(if same_release && !rows.is_empty() {
        Outcome::RowsAccepted {
            differences: rows.clone(),
        }
    } else {
        Outcome::Done
    })
}

/// The mapping of the plan, with the instances of the backup.
fn mapping(plan: &RestorePlan, source: &Source) -> anyhow::Result<Mapping> {
    let pairs = source.instances()?.into_iter().filter_map(|source| {
        let pair = plan
            .mapping
            .iter()
            .find(|pair| pair.source.eq_ignore_ascii_case(&source.id))?;
        let mut target = source.clone();
        target.id.clone_from(&pair.target);
        Some(Pair {
            source,
            target,
            by: Reason::Given,
        })
    });
    let pairs: Vec<Pair> = pairs.collect();
    ensure!(
        pairs.len() == plan.mapping.len(),
        "the mapping of this restore names instances that the backup does not have"
    );
    Ok(Mapping {
        pairs,
        ..Mapping::default()
    })
}

/// Keeps the target's encryption key, and the backup's that takes its place, in a Secret of the run.
pub(super) async fn keep_keys(
    work: &Work<'_>,
    started: &StartedStep<'_, Restore>,
) -> anyhow::Result<()> {
    let plan = started.run().plan();
    let backup = OpenedBackup::open(&work.inputs.opener, &work.backup(&plan))?;
    let new = backup.key()?.context("the backup has no key")?;
    let old = current_key(work.cluster, &plan.instance()).await?;
    let values = [(OLD_KEY, old), (NEW_KEY, Some(new))];
    let data = values
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), ByteString(value?.bytes().to_vec()))));
    let secret = Secret {
        metadata: ObjectMeta {
            name: Some(Names::from_run(started.run().run_id()).secret),
            ..ObjectMeta::default()
        },
        data: Some(data.collect()),
        ..Secret::default()
    };
    let cluster = work.cluster.clone();
    started
        .change(move |permit| async move { permit.create(&cluster, secret).await })
        .await??;
    Ok(())
}

/// The kept keys, the target's of before and the backup's; `None` where none were kept.
async fn kept_keys(
    cluster: &Cluster,
    run: &str,
) -> anyhow::Result<Option<(Option<KeyValue>, Option<KeyValue>)>> {
    let found: Option<Secret> = cluster.find(&Names::from_run(run).secret).await?;
    let data = found.map(|secret| secret.data.unwrap_or_default());
    Ok(data.map(|mut data| {
        let mut take = |name: &str| data.remove(name).map(|value| KeyValue::from_bytes(value.0));
        (take(OLD_KEY), take(NEW_KEY))
    }))
}

/// Puts the backup's key in the place of the target's.
pub(super) async fn merge_key(
    work: &Work<'_>,
    started: &StartedStep<'_, Restore>,
) -> anyhow::Result<Outcome> {
    let run = started.run().run_id();
    let kept = kept_keys(work.cluster, run).await?;
    let Some((old, new)) = kept else {
        bail!(
            "the secret {} with the keys is gone: put the backup's key into the target's secret by hand",
            Names::from_run(run).secret
        );
    };
    let (cluster, instance) = (work.cluster.clone(), started.run().plan().instance());
    started
        .change(move |_| async move {
            replace_key(&cluster, &instance, old.as_ref(), new.as_ref()).await
        })
        .await??;
    work.reporter.report(&Event::Step {
        step: "encryption key",
        detail: format!(
            "replaced by the backup's; the old one is kept in secret {}",
            Names::from_run(run).secret
        ),
    });
    Ok(Outcome::Done)
}

/// Puts the target's own key back.
pub(super) async fn old_key_back(plan: &RestorePlan, undoing: &Undoing<'_>) -> anyhow::Result<()> {
    if let Some((old, new)) = kept_keys(undoing.cluster, undoing.run).await? {
        replace_key(
            undoing.cluster,
            &plan.instance(),
            new.as_ref(),
            old.as_ref(),
        )
        .await?;
    }
    Ok(())
}

/// Deletes the Secret with the keys.
pub(super) async fn forget_keys(cluster: &Cluster, run: &str) -> anyhow::Result<()> {
    let name = Names::from_run(run).secret;
    let found: Option<Secret> = match cluster.find(&name).await {
        // Who may not read it has not made it.
        Err(error) if error.code() == Some(403) => None,
        found => found?,
    };
    if found.is_none() {
        return Ok(());
    }
    let api: Api<Secret> = Api::namespaced(cluster.client().clone(), cluster.namespace());
    let parameters = DeleteParams::default();
    let deleted = cluster
        .send_idempotent(&format!("delete secret {name}"), || {
            api.delete(&name, &parameters)
        })
        .await;
    match deleted {
        Err(error) if error.code() != Some(404) => Err(error.into()),
        _ => Ok(()),
    }
}

/// Gives the database of before its name back: what the safety backup was restored into, which was asked for or is all that
/// there is, else the copy inside the server. Everything that was stopped is at 0 and pgmig has ended before; nobody may
/// come to work on the database by its name, neither on the one that is put aside nor on the one of before.
pub(super) async fn way_back(plan: &RestorePlan, undoing: &Undoing<'_>) -> anyhow::Result<()> {
    let server = server(undoing.cluster, plan).await?;
    let names = Names::from_run(undoing.run);
    // An earlier attempt may have been cut after it had exchanged them.
    if !is_exchanged(&server, &names).await? {
        let Some(before) = before(&server, &names).await? else {
            bail!(
                "there is no copy of the database inside its server: restore the safety backup with `kubectl wa-restore rollback --safety SET`"
            )
        };
        server.end_work().await?;
        server.swap_in(&before, &names.put_aside, undoing).await?;
    }
    server
        .require_nobody_at_work()
        .await
        .context("the database of before is in its place, and may have been changed there")
}

/// Whether a database to go back to is in the server, or is in its place already.
pub(super) async fn has_way_back(server: &DatabaseServer, run: &str) -> anyhow::Result<bool> {
    let names = Names::from_run(run);
    Ok(is_exchanged(server, &names).await? || before(server, &names).await?.is_some())
}

/// Whether the database of before is in its place: no pgmig is started once that was begun.
pub(super) async fn is_back(server: &DatabaseServer, run: &str) -> anyhow::Result<bool> {
    is_exchanged(server, &Names::from_run(run)).await
}

async fn is_exchanged(server: &DatabaseServer, names: &Names) -> anyhow::Result<bool> {
    Ok(server.judge(&names.put_aside).await? != Made::Absent)
}

/// The database to go back to.
async fn before(server: &DatabaseServer, names: &Names) -> anyhow::Result<Option<NamedDatabase>> {
    for name in [&names.safety, &names.copy] {
        if let Made::Finished(database) = server.judge(name).await? {
            return Ok(Some(database));
        }
    }
    Ok(None)
}

/// Drops whatever the run has made in the server, and what it has put aside. The latter was the product's own, and may
/// have what keeps it, such as a subscription: it may stay, since nothing uses it any more.
pub(super) async fn drop_all(plan: &RestorePlan, undoing: &Undoing<'_>) -> anyhow::Result<()> {
    let server = server(undoing.cluster, plan).await?;
    server.let_in(undoing).await?;
    let names = Names::from_run(undoing.run);
    for name in [&names.copy, &names.safety] {
        server.drop_database(name, undoing).await?;
    }
    match server.drop_database(&names.put_aside, undoing).await {
        Err(error) if error.is_by_server() => {
            undoing.report(&Event::Warning {
                message: format!(
                    "the database {:?}, which pgmig has filled, is put aside and stays in the server; drop it when that is possible: {}",
                    names.put_aside,
                    causes_text(&error)
                ),
            });
            Ok(())
        }
        dropped => Ok(dropped?),
    }
}
