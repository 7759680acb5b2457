//! `check`: would a backup work?

use store_backup::{BackupPreflight, COMMANDS};
use wa_common::cli::{About, Context, Exit, access_of};

pub(super) const ABOUT: About = About {
    examples: &[
        "kubectl wa-backup check",
        "kubectl wa-backup check -n cpd -i wa",
    ],
    changes: "nothing",
    permissions: || access_of(&COMMANDS, "check"),
};

pub(super) async fn run(context: &Context) -> anyhow::Result<Exit> {
    let cluster = context.connect()?;
    let preflight = BackupPreflight::run(&cluster, context.global.instance.as_deref()).await;
    let report = context.check_report(cluster.namespace(), preflight.into_conditions());
    context.print(&report)?;
    Ok(report.exit(Exit::Error))
}
