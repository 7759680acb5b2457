//! The options that say what is to be restored, and how.

use std::path::PathBuf;

use backup_places::{Bucket, BucketArgs};
use backup_set::{DEFAULT_DIRECTORY, Recipients};
use store_restore::checks::{MappingChoice, MappingFile, Options, SafetyPlace};
use store_restore::plan::require_stage_dir;
use store_restore::release::Release;
use store_restore::source::Opener;
use wa_common::cli::{Context, KeyArgs};

use super::config::RcFormArg;
use super::mapping;

#[derive(Debug, clap::Args)]
pub(super) struct RestoreArgs {
    /// Directory or URL of a backup set, dump file, `latest`, `latest~N`, a day, or the beginning of a set's name
    #[arg(value_name = "BACKUP")]
    backup: PathBuf,
    #[command(flatten)]
    keys: KeyArgs,
    #[command(flatten)]
    bucket: BucketArgs,
    /// Mapping of service instances; without it the pairs that are clear
    #[arg(long, value_name = "FILE")]
    mapping: Option<PathBuf>,
    /// IBM's pgmig for the target's release: as it is, gzipped, or pgmig.Z
    #[arg(long, value_name = "FILE")]
    pgmig: Option<PathBuf>,
    /// Release that the backup was taken on, where it does not tell
    #[arg(long, value_name = "RELEASE")]
    from_release: Option<Release>,
    /// Only warn of an upgrade path that IBM's table does not list
    #[arg(long)]
    force_path: bool,
    /// Namespace of the Watson Assistant operator [default: wherever it is]
    #[arg(long, value_name = "NAMESPACE")]
    operators_namespace: Option<String>,
    /// Directory in the pod to stage files in
    #[arg(long, value_name = "DIR", default_value = "/controller/tmp")]
    stage_dir: String,
    /// Directory or bucket (s3://, gs://, az:// or obc://NAME/PREFIX) for the backup of the current database
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DIRECTORY)]
    safety_to: PathBuf,
    /// Encrypt that backup to this key (age1… or ssh-ed25519 …); repeatable
    #[arg(long, value_name = "RECIPIENT")]
    encrypt_to: Vec<String>,
    /// Encrypt that backup to the keys in this file, one a line; repeatable
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    recipients_file: Vec<PathBuf>,
    /// Form of resourceController.yaml, where the release does not tell, or tells wrong
    #[arg(long, value_name = "FORM", hide_short_help = true)]
    rc_form: Option<RcFormArg>,
}

impl RestoreArgs {
    /// The backup as the user has named it.
    pub(super) fn backup_as_given(&self) -> String {
        self.backup.display().to_string()
    }

    /// The bucket that the backup is in, or that of the current database goes to.
    pub(super) fn bucket(&self, context: &Context) -> anyhow::Result<Bucket> {
        self.bucket.bucket([&self.backup, &self.safety_to], context)
    }

    /// Who can read the backup of the current database; none where it is not encrypted.
    pub(super) fn recipients(&self) -> anyhow::Result<Option<Recipients>> {
        Ok(Recipients::read(&self.encrypt_to, &self.recipients_file)?)
    }

    /// What they ask for, with the files that they name read.
    pub(super) fn options(&self, bucket: Bucket) -> anyhow::Result<Options> {
        require_stage_dir(&self.stage_dir)?;
        let mapping = match &self.mapping {
            Some(path) => MappingChoice::File(MappingFile {
                path: path.clone(),
                yaml: mapping::read_file(path)?,
            }),
            None => MappingChoice::Clear,
        };
        let identities = self.keys.identities()?;
        // Also where only a plan is made of them: a wrong one is told now.
        self.recipients()?;
        Ok(Options {
            backup: bucket.resolve(&self.backup)?,
            opener: Opener::new(bucket.patient(), identities),
            mapping,
            pgmig: self.pgmig.clone(),
            from_release: self.from_release,
            force_path: self.force_path,
            operators_namespace: self.operators_namespace.clone(),
            stage_dir: self.stage_dir.clone(),
            safety: SafetyPlace {
                to: self.safety_to.clone(),
                encrypt_to: self.encrypt_to.clone(),
                recipients_files: self.recipients_file.clone(),
            },
            rc_form: self.rc_form.map(Into::into),
        })
    }
}
