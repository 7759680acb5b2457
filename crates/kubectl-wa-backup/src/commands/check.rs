//! `check`: would a backup work?

use store_backup::BackupPreflight;
use wa_common::cli::{Context, Exit};

pub(super) async fn run(context: &Context) -> anyhow::Result<Exit> {
    let cluster = context.connect()?;
    let preflight = BackupPreflight::run(&cluster, context.global.instance.as_deref()).await;
    let report = context.check_report(cluster.namespace(), preflight.into_conditions());
    context.print(&report)?;
    Ok(report.exit(Exit::Error))
}
