//! `cleanup`: removes what interrupted runs left in the cluster.

use backup_volume::permissions::COMMANDS;
use backup_volume::{PLUGINS, VolumeChange};
use wa_common::cli::{About, CleanupArgs, Context, Exit, access_of};

pub(super) const ABOUT: About = About {
    examples: &[
        "kubectl wa-pvc cleanup --dry-run",
        "kubectl wa-pvc cleanup -n cpd",
    ],
    changes: "removes what a run of `list`, `pull` or `info`, or of `kubectl wa-backup trigger`, that was killed has recorded, and its record",
    permissions: || access_of(&COMMANDS, "cleanup"),
};

pub(super) async fn run(args: &CleanupArgs, context: &Context) -> anyhow::Result<Exit> {
    let cluster = context.connect()?;
    context
        .clean_up::<VolumeChange>(args, cluster, &PLUGINS)
        .await
}
