//! `cleanup`: removes what interrupted runs left in the cluster.

use backup_volume::permissions::to_record;
use backup_volume::{PLUGINS, VolumeChange};
use wa_common::cli::{About, CleanupArgs, Context, Exit, permissions};

pub(super) const ABOUT: About = About {
    examples: &[
        "kubectl wa-pvc cleanup --dry-run",
        "kubectl wa-pvc cleanup -n cpd",
    ],
    changes: "removes what a run of `list`, `pull` or `info`, or of `kubectl wa-backup trigger`, that was killed has recorded, and its record",
    permissions: || {
        vec![
            permissions("", &to_record()),
            "and to delete what was made, as the command that was killed needs it".to_owned(),
        ]
    },
};

pub(super) async fn run(args: &CleanupArgs, context: &Context) -> anyhow::Result<Exit> {
    let cluster = context.connect()?;
    context
        .clean_up::<VolumeChange>(args, cluster, &PLUGINS)
        .await
}
