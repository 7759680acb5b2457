//! `check`: would a restore work?

use store_restore::checks;
use wa_common::cli::{Context, Exit};

use super::other_run;
use super::restore_args::RestoreArgs;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Changes nothing. The dump is read from end to end. Exit code 0: nothing stands in the way; 4: something does, \
and every line that says FAILED tells what and what to do. A line that says warning stands in no way, but should be read."
)]
pub(super) struct Args {
    #[command(flatten)]
    restore: RestoreArgs,
}

pub(super) async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    let options = args.restore.options(args.restore.bucket(context)?)?;
    let cluster = context.connect()?;
    let mut checked = checks::run(&cluster, context.global.instance.as_deref(), &options).await;
    other_run::check(&cluster, &mut checked).await;
    let report = context.check_report(cluster.namespace(), checked.conditions);
    context.print(&report)?;
    Ok(report.exit(Exit::Refused))
}
