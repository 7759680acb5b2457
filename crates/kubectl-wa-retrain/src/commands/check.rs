//! `check`: could all models be retrained?

use retraining::checks::{self, Purpose};
use wa_common::cli::{Context, Exit};

use super::shared::OperatorArgs;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Changes nothing. Exit code 0: nothing stands in the way; 1: something does."
)]
pub(super) struct Args {
    #[command(flatten)]
    operator: OperatorArgs,
}

pub(super) async fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let cluster = context.connect()?;
    let everything = Purpose {
        scales: true,
        starts: true,
        adopts: false,
    };
    let named = context.global.instance.as_deref();
    let namespace = args.operator.operators_namespace.as_deref();
    let checked = checks::check(&cluster, named, namespace, everything).await;
    let report = context.check_report(cluster.namespace(), checked.preflight);
    context.print(&report)?;
    Ok(report.exit(Exit::Error))
}
