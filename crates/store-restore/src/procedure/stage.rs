//! Everything that pgmig needs, put into the pod.

use std::path::PathBuf;

use anyhow::{Context as _, bail, ensure};
use kube_transfer::file::{UploadEvent, UploadOptions, UploadSource, Uploaded};
use kube_transfer::{RemoteCommand, Retries};
use tokio::try_join;
use wa_common::assistant::Datastore;
use wa_common::report::{Event, TransferProgress, bytes, causes_text};
use wa_common::run::journal::StartedStep;

use super::place::{DUMP, MAPPING, PGMIG, Place};
use super::work::Work;
use super::{Outcome, Restore, RestorePlan, Step, database};
use crate::config::{
    self, CA_FILE, POSTGRES_FILE, RESOURCE_CONTROLLER_FILE, RcForm, ResourceController,
};
use crate::mapping;
use crate::pgmig::{Packing, Pgmig};
use crate::source::OpenedBackup;
use crate::target::{self, PostgresCluster};

/// With pauses that grow by a second each, as long as an API server may be away.
const UPLOAD_RETRIES: u32 = 35;
/// What pgmig is called as long as it is packed.
const PACKED: &str = "pgmig.packed";
/// Unpacks `$1/pgmig.packed`; gzip reads what compress has packed too.
const UNPACK: &str = r#"umask 077
cd -- "$1" && gzip -dc <pgmig.packed >pgmig && rm -f pgmig.packed && chmod 700 pgmig"#;
const MAKE_EXECUTABLE: &str = r#"chmod 700 -- "$1""#;

/// Stages everything, the large files first: tokens do not last.
pub(super) async fn stage(
    work: &Work<'_>,
    started: &StartedStep<'_, Restore>,
) -> anyhow::Result<Outcome> {
    let plan = started.run().plan();
    let place = Place::choose(work.cluster, &plan, started.run().run_id()).await?;
    let (cluster, made) = (work.cluster.clone(), place.clone());
    started
        .change(move |_| async move { made.make(&cluster).await })
        .await??;
    let stager = Stager {
        work,
        plan: &plan,
        place: &place,
    };
    // What the database is held against afterwards is read meanwhile, so that production does not wait for it.
    let both = async { try_join!(stager.everything(), work.read_backup(&plan)) };
    started.guard(both).await??;
    let steps = started.run().steps();
    if steps
        .iter()
        .any(|record| matches!(record.step, Step::EncryptionKey { .. }))
    {
        database::keep_keys(work, started).await?;
    }
    Ok(Outcome::Staged {
        pod: place.container.pod,
    })
}

/// Puts the configuration into the pod anew: tokens may have expired since.
pub(super) async fn stage_configuration(
    work: &Work<'_>,
    plan: &RestorePlan,
    place: &Place,
    form: RcForm,
) -> anyhow::Result<()> {
    let stager = Stager { work, plan, place };
    stager.configuration(form).await
}

struct Stager<'a> {
    work: &'a Work<'a>,
    plan: &'a RestorePlan,
    place: &'a Place,
}

impl Stager<'_> {
    async fn everything(&self) -> anyhow::Result<()> {
        self.dump().await?;
        self.pgmig().await?;
        self.configuration(self.plan.rc_form).await
    }

    async fn dump(&self) -> anyhow::Result<()> {
        let backup = self.work.backup(self.plan);
        let opened = OpenedBackup::open(&self.work.inputs.opener, &backup);
        let opened = opened
            .map_err(anyhow::Error::from)
            .and_then(|opened| Ok((opened.upload_source(self.plan.backup.dump_bytes)?, opened)));
        let (source, opened) = opened.with_context(|| {
            format!(
                "cannot read {}: name the backup with --backup",
                backup.display()
            )
        })?;
        let path = opened.dump_path();
        ensure!(
            source.bytes() == self.plan.backup.dump_bytes,
            "{} is not the dump that this restore began with: it has {}, and that one {}",
            path.display(),
            bytes(source.bytes()),
            bytes(self.plan.backup.dump_bytes)
        );
        let uploaded = self.put(DUMP, source).await?;
        ensure!(
            uploaded.sha256().to_string() == self.plan.backup.dump_sha256,
            "{} is not the dump that this restore began with, or was changed since: its SHA-256 is {}, and must be {}",
            path.display(),
            uploaded.sha256(),
            self.plan.backup.dump_sha256
        );
        Ok(())
    }

    async fn pgmig(&self) -> anyhow::Result<()> {
        let given = self.work.inputs.pgmig.clone();
        let is_given = given.is_some();
        let path = given.unwrap_or_else(|| PathBuf::from(&self.plan.pgmig.path));
        let read = path.clone();
        let pgmig = tokio::task::spawn_blocking(move || Pgmig::read(&read))
            .await?
            .context("give pgmig on this machine with --pgmig")?;
        if pgmig.sha256 != self.plan.pgmig.sha256 {
            ensure!(
                is_given,
                "{} has changed since this restore began: its SHA-256 is {}, and was {}; give it with --pgmig to use it all the same",
                path.display(),
                pgmig.sha256,
                self.plan.pgmig.sha256
            );
            self.work.warn(format!(
                "{} is another pgmig than the one that this restore began with",
                path.display()
            ));
        }
        let source =
            UploadSource::open(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let (name, command) = match pgmig.packing {
            Packing::Plain => (
                PGMIG,
                RemoteCommand::script(MAKE_EXECUTABLE).arg(self.place.path(PGMIG)),
            ),
            Packing::Gzip | Packing::Compress => (
                PACKED,
                RemoteCommand::script(UNPACK).arg(&self.place.directory),
            ),
        };
        self.put(name, source).await?;
        self.work
            .cluster
            .run_idempotent(&self.place.container, &command)
            .await
            .context(
                "cannot unpack pgmig in the pod; unpack it here, and give the plain program",
            )?;
        Ok(())
    }

    async fn configuration(&self, form: RcForm) -> anyhow::Result<()> {
        let (cluster, plan) = (self.work.cluster, self.plan);
        let instance = plan.instance();
        let datastore = Datastore::read(cluster, &instance).await?;
        let postgres = PostgresCluster::find(cluster, &instance, &datastore).await?;
        let controller = self.controller(form).await?;
        let files = [
            (MAPPING, mapping::to_yaml_of(plan.pairs())),
            (CA_FILE, String::from_utf8_lossy(&postgres.ca).into_owned()),
            (POSTGRES_FILE, config::postgres_yaml(&datastore)),
            (RESOURCE_CONTROLLER_FILE, controller.to_yaml()),
        ];
        for (name, content) in files {
            self.put(name, UploadSource::from(content)).await?;
        }
        Ok(())
    }

    async fn controller(&self, form: RcForm) -> anyhow::Result<ResourceController> {
        let (cluster, plan) = (self.work.cluster, self.plan);
        let (address, tokens) = match form {
            RcForm::ServiceToken => (
                config::broker_address(&plan.namespace),
                vec![config::broker_token(cluster).await?],
            ),
            RcForm::UserTokens => (
                target::resource_controller(cluster, &plan.instance()).await?,
                self.work.inputs.tokens.clone(),
            ),
        };
        if tokens.is_empty() {
            bail!(
                "{RESOURCE_CONTROLLER_FILE} needs the bearer token of each user who owns service instances: give --token-file FILE, once for each"
            );
        }
        Ok(ResourceController {
            form,
            tokens,
            address,
            orchestrate: plan.orchestrate,
        })
    }

    /// Puts a file there, whole, for its owner alone, whatever was there before.
    async fn put(&self, name: &str, source: UploadSource) -> anyhow::Result<Uploaded> {
        let reporter = &**self.work.reporter;
        let file = self
            .work
            .cluster
            .pod(&self.place.container)
            .file(self.place.path(name));
        let progress = TransferProgress::begin(reporter, name, Some(source.bytes()), None);
        let retries = Retries::new(UPLOAD_RETRIES);
        let options = UploadOptions::default().replacing().with_retries(retries);
        let observe = |event: UploadEvent<'_>| match event {
            UploadEvent::Progress { bytes } => progress.received(bytes),
            UploadEvent::Retrying { attempt, error } => reporter.report(&Event::Retry {
                step: "upload",
                retry: attempt,
                retries: Some(retries.count()),
                wait: retries.pause_after(attempt).unwrap_or_default(),
                why: causes_text(error),
            }),
            _ => {}
        };
        file.upload(&source, &options, observe)
            .await
            .with_context(|| format!("cannot put {name} into pod {}", self.place.container.pod))
    }
}
