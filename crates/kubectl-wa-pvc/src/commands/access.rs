//! The arguments that say which way to go to the volume, and with what.

use backup_volume::{AccessOptions, Caller, ClosedVolume, Via};
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use wa_common::cli::{Context, TimeLimit};
use wa_common::cluster::ClusterError;

use super::advice::with_remedies;

/// What reaching the files changes.
pub(super) const CHANGES: &str = "a helper pod, a snapshot with a volume, or a Portworx volume's attachment, where no running pod has the volume mounted; each is recorded in a Lease first, and undone at the end";

/// Which way to the volume, and with what.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct AccessArgs {
    /// Way to the files: auto, pod, debug, snapshot or portworx
    #[arg(
        long,
        value_name = "WAY",
        default_value = "auto",
        hide_possible_values = true,
        value_parser = PossibleValuesParser::new(Via::NAMES).try_map(|name| name.parse::<Via>())
    )]
    pub(super) via: Via,

    /// Claim of the volume, if not the instance's own backup claim
    #[arg(long, value_name = "CLAIM")]
    pub(super) pvc: Option<String>,

    /// VolumeSnapshotClass for --via snapshot [default: the one of the volume's driver]
    #[arg(long, value_name = "SNAPSHOT-CLASS", hide_short_help = true)]
    snapshot_class: Option<String>,

    /// StorageClass of the volume made from the snapshot [default: the claim's own]
    #[arg(long, value_name = "STORAGE-CLASS", hide_short_help = true)]
    storage_class: Option<String>,

    /// Image of the helper pod [default: the CronJob's own]
    #[arg(long, value_name = "IMAGE", hide_short_help = true)]
    image: Option<String>,

    /// With --via portworx, refuse when a backup starts within this time; 0 does not look
    #[arg(long, value_name = "DURATION", default_value = "15m")]
    window: TimeLimit,

    /// Longest wait for a helper pod, a snapshot or a volume to be ready; 0 waits forever
    #[arg(long, value_name = "DURATION", default_value = "5m")]
    timeout: TimeLimit,
}

impl AccessArgs {
    pub(super) fn options(&self) -> AccessOptions {
        let (TimeLimit(window), TimeLimit(timeout)) = (self.window, self.timeout);
        AccessOptions {
            via: self.via,
            claim: self.pvc.clone(),
            snapshot_class: self.snapshot_class.clone(),
            storage_class: self.storage_class.clone(),
            image: self.image.clone(),
            window,
            timeout,
        }
    }
}

/// The volume, and the way to its files that is known to lead there.
pub(super) async fn find(args: &AccessArgs, context: &Context) -> anyhow::Result<ClosedVolume> {
    let instance = context.global.instance.as_deref();
    let found = ClosedVolume::find(caller(context)?, instance, args.options()).await;
    found.map_err(with_remedies)
}

/// What this command brings along to the volume.
pub(super) fn caller(context: &Context) -> Result<Caller, ClusterError> {
    Ok(Caller {
        cluster: context.connect()?,
        reporter: context.reporter.clone(),
        exit_hooks: context.exit_hooks.clone(),
    })
}
