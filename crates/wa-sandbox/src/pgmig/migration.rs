//! The migration itself, step by step.

use std::path::PathBuf;

use anyhow::{bail, ensure};

use crate::database::Database;
use crate::faults::{Fault, Faults};
use crate::mapping::{self, Mapping};
use crate::target::ResourceController;
use crate::{dump, ids, say};

/// What is to be restored, and where.
pub(crate) struct Migration {
    pub(crate) source: PathBuf,
    pub(crate) database: Database,
    pub(crate) resource_controller: ResourceController,
    pub(crate) mapping: Option<Mapping>,
    pub(crate) force: bool,
    pub(crate) faults: Faults,
}

impl Migration {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let tables = self.database.query(
            "SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace",
        )?;
        let targets = self.resource_controller.instances()?;
        let instances = dump::instances(&self.source)?;
        say(&format!(
            "{} instances in the backup, {} in this cluster",
            instances.len(),
            targets.len()
        ))?;
        if tables != "0" && !self.force && !mapping::may_erase()? {
            bail!("the data of the target Store is kept; nothing was restored");
        }
        let mapping = match &self.mapping {
            Some(mapping) => mapping.clone(),
            None => mapping::ask(&instances, &targets)?,
        };
        let version = self.schema_version()?;

        say("Restoring")?;
        self.database.clear()?;
        self.faults.crash(Fault::CrashAfterClearing);
        ensure!(
            instances.len() <= targets.len(),
            "the number of instances does not match: {} in the backup, {} in this cluster",
            instances.len(),
            targets.len()
        );
        mapping::check(&mapping, &instances, &targets)?;
        std::thread::sleep(self.faults.silence());
        self.restore()?;
        // Once more: a token may have expired meanwhile.
        self.resource_controller.instances()?;
        self.faults.crash(Fault::CrashBeforeMapping);
        if !self.faults.has(Fault::KeepIds) {
            self.database.query(&ids::change(&mapping))?;
        }
        if self.faults.has(Fault::LoseWorkspace) {
            self.database.query(
                "DELETE FROM workspace WHERE workspace_id = (SELECT max(workspace_id::text)::uuid FROM workspace)",
            )?;
        }
        if self.faults.has(Fault::AddRow) {
            self.database
                .query("INSERT INTO schema_version VALUES (0, now())")?;
        }
        if let Some(version) = version {
            self.upgrade(version)?;
        }
        Ok(say("The restore is complete")?)
    }

    fn restore(&self) -> anyhow::Result<()> {
        let mut restore = self
            .database
            .start_restore(&self.source, self.faults.bytes_per_second())?;
        self.faults.killed(Fault::CrashInRestore);
        let status = restore.wait()?;
        ensure!(status.success(), "pg_restore failed: {status}");
        Ok(())
    }

    /// The version of the target's schema, unless somebody has cleared it before.
    fn schema_version(&self) -> anyhow::Result<Option<u32>> {
        let table = "SELECT to_regclass('schema_version') IS NOT NULL";
        if self.database.query(table)? != "t" {
            return Ok(None);
        }
        let version = self
            .database
            .query("SELECT max(version) FROM schema_version")?;
        Ok(version.parse().ok())
    }

    fn upgrade(&self, version: u32) -> anyhow::Result<()> {
        let upgrade = format!(
            "INSERT INTO schema_version SELECT n, now() FROM generate_series(1, {version}) n ON CONFLICT DO NOTHING"
        );
        self.database.query(&upgrade).map(drop)
    }
}
