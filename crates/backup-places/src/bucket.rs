//! Backups in a bucket, wherever a directory is taken.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use backup_set::{
    Backup, BackupError, DirectorySet, Identities, Places, SetError, StoredSet, Target,
    resolve_backup, resolve_in, scheme_of,
};
use bucket_claims::{Asked, ReachedBucket, Way};
use object_sets::{Location, ObjectSet, ObjectStore, Options, Scheme, Teller, is_location};
use wa_common::cli::Context;
use wa_common::report::{Event, Reporter};
use wa_common::run::{ExitHook, ExitHookEnd};

use crate::environment::{asks_for_http, refuse_http, require_keys, settings, variable};

/// How a bucket is reached, beside what the environment says.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct BucketArgs {
    /// Trust the certificates in this file too, for object storage (for s3:// and obc:// also AWS_CA_BUNDLE)
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    ca_file: Option<PathBuf>,

    /// Reach the bucket of obc:// this way alone: direct, route or port-forward
    #[arg(
        long,
        value_name = "WAY",
        hide_possible_values = true,
        hide_short_help = true
    )]
    bucket_via: Option<Way>,
}

/// Where one backup or many are: a bucket, as far as that is asked.
#[derive(Clone)]
pub struct Bucket {
    /// Certificates to be trusted.
    ca_pem: Option<Vec<u8>>,
    /// Whether they are those of the variable that is meant for S3 alone.
    is_amazons_ca: bool,
    /// Whether an outage is waited for also at the first look.
    is_patient: bool,
    /// The buckets of ObjectBucketClaims, by the claims' names.
    claimed: HashMap<String, ReachedBucket>,
    reporter: Arc<dyn Reporter>,
}

impl BucketArgs {
    /// With this value of `--ca-file`, for a command that cannot flatten these options into its own.
    pub fn new(ca_file: Option<PathBuf>) -> Self {
        Self {
            ca_file,
            bucket_via: None,
        }
    }

    /// The same, with this value of `--bucket-via`.
    #[must_use]
    pub fn via(self, bucket_via: Option<Way>) -> Self {
        Self { bucket_via, ..self }
    }

    /// What the flags and the environment say, where one of `paths` is in a bucket; refused where that cannot work.
    pub fn bucket<'a>(
        &self,
        paths: impl IntoIterator<Item = &'a PathBuf>,
        context: &Context,
    ) -> anyhow::Result<Bucket> {
        let mut bucket = Bucket {
            ca_pem: None,
            is_amazons_ca: self.ca_file.is_none(),
            is_patient: false,
            claimed: HashMap::new(),
            reporter: Arc::clone(&context.reporter),
        };
        let (mut schemes, mut claims) = (BTreeSet::new(), BTreeSet::new());
        for path in paths {
            let Some(scheme) = scheme_of(path).filter(|_| !path.exists()) else {
                continue;
            };
            if !is_location(path) {
                bail!(
                    "{scheme}:// is not supported: backups are kept in directories, s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, az://CONTAINER/PREFIX and obc://CLAIM/PREFIX"
                );
            }
            let location: Location = path.to_string_lossy().parse()?;
            schemes.insert(location.scheme);
            if location.scheme == Scheme::Obc {
                claims.insert(location.bucket);
            }
        }
        if schemes.is_empty() {
            return Ok(bucket);
        }
        let is_amazons = schemes.iter().any(|scheme| is_s3(*scheme));
        for scheme in schemes.into_iter().filter(|scheme| *scheme != Scheme::Obc) {
            require_keys(scheme)?;
            refuse_http(scheme)?;
        }
        let of_amazon = variable("AWS_CA_BUNDLE").filter(|_| is_amazons);
        if let Some(path) = self.ca_file.clone().or(of_amazon.map(PathBuf::from)) {
            let read = fs::read(&path);
            bucket.ca_pem =
                Some(read.with_context(|| {
                    format!("cannot read the certificates in {}", path.display())
                })?);
        }
        let asked = Asked {
            way: self.bucket_via,
            ca_pem: bucket.ca_pem.clone(),
            allow_http: asks_for_http(Scheme::Obc),
        };
        for claim in claims {
            let reached = ReachedBucket::reach(&claim, &asked, context)?;
            bucket.claimed.insert(claim, reached);
        }
        Ok(bucket)
    }
}

impl Bucket {
    /// The sets at `path`; none where that is no place in a bucket. Files are expected to have `bytes` at most.
    pub fn store(&self, path: &Path, bytes: u64) -> anyhow::Result<Option<ObjectStore>> {
        if !is_location(path) {
            return Ok(None);
        }
        let location: Location = path.to_string_lossy().parse()?;
        self.at(location, bytes).map(Some)
    }

    /// Whether `path` is in a bucket; an error where that cannot be looked into.
    pub fn look(&self, path: &Path) -> anyhow::Result<bool> {
        let Some(store) = self.store(path, 0)? else {
            return Ok(false);
        };
        let looked = store.look();
        looked.with_context(|| format!("cannot look into {}", path.display()))?;
        Ok(true)
    }

    /// As [`Self::store`], to be written to: however the command ends, what is under way is aborted.
    pub fn store_to_write(
        &self,
        path: &Path,
        bytes: u64,
        context: &Context,
    ) -> anyhow::Result<Option<ObjectStore>> {
        let store = self.store(path, bytes)?;
        if let Some(store) = &store {
            context.exit_hooks.add(Arc::new(Stop(store.clone())));
            self.warn_of_risk(path)?;
        }
        Ok(store)
    }

    /// A bucket of the cluster goes with it.
    fn warn_of_risk(&self, path: &Path) -> anyhow::Result<()> {
        let location: Location = path.to_string_lossy().parse()?;
        if location.scheme == Scheme::Obc {
            let message = self.claimed(&location)?.risk().to_owned();
            self.reporter.report(&Event::Warning { message });
        }
        Ok(())
    }

    /// The bucket of a claim that was named when this was made.
    fn claimed(&self, location: &Location) -> anyhow::Result<&ReachedBucket> {
        let claimed = self.claimed.get(&location.bucket);
        claimed.with_context(|| format!("the bucket of {location} was not looked for"))
    }

    /// The one place where a URL becomes a store.
    fn at(&self, location: Location, bytes: u64) -> anyhow::Result<ObjectStore> {
        let shown = location.to_string();
        let reporter = Arc::clone(&self.reporter);
        let is_amazons = is_s3(location.scheme);
        let ca_pem = self.ca_pem.clone();
        let options = Options {
            ca_pem: ca_pem.filter(|_| is_amazons || !self.is_amazons_ca),
            allow_http: asks_for_http(location.scheme),
            settings: settings(location.scheme),
            expected_bytes: bytes,
            teller: Teller::new(move |message| reporter.report(&Event::Warning { message })),
            ..Options::default()
        };
        let options = match location.scheme {
            Scheme::S3 | Scheme::Gs | Scheme::Az => options,
            Scheme::Obc => self.claimed(&location)?.options(options),
        };
        ObjectStore::new(location, &options).with_context(|| format!("cannot reach {shown}"))
    }

    /// The set that is meant: itself, or by `latest`, a day or the beginning of its name, here or in a bucket.
    pub fn resolve(&self, given: &Path) -> anyhow::Result<PathBuf> {
        if !is_location(given) {
            return Ok(resolve_backup(given)?);
        }
        let (store, word) = self.split(given)?;
        let cannot = || format!("cannot read {}", given.display());
        if !store.set(&word).with_context(cannot)?.is_empty() {
            return Ok(given.to_owned());
        }
        Ok(resolve_in(&store, &word)?.unwrap_or_else(|| given.to_owned()))
    }

    /// The store of a set in a bucket, and its name.
    fn split(&self, path: &Path) -> anyhow::Result<(ObjectStore, String)> {
        let location: Location = path.to_string_lossy().parse()?;
        let Some((store, name)) = location.split() else {
            let what = match location.scheme {
                Scheme::Az => "a container",
                Scheme::S3 | Scheme::Gs | Scheme::Obc => "a bucket",
            };
            bail!("{location} is {what}: name a set in it, or {location}/latest");
        };
        Ok((self.at(store, 0)?, name))
    }

    /// The set at `path`; none where that is no place in a bucket.
    fn object_set(&self, path: &Path) -> Result<Option<ObjectSet>, BackupError> {
        if !is_location(path) {
            return Ok(None);
        }
        let unread = |source| BackupError::Io {
            path: path.to_owned(),
            source,
        };
        let (store, name) = self
            .split(path)
            .map_err(|error| unread(io::Error::other(error)))?;
        let set = if self.is_patient {
            store.set_patiently(&name)
        } else {
            store.set(&name)
        };
        let set = set.map_err(unread)?;
        if set.is_empty() {
            return Err(BackupError::NoSet {
                path: path.to_owned(),
            });
        }
        Ok(Some(set))
    }

    /// The set at `path`, wherever that is.
    pub fn set(&self, path: &Path) -> Result<Box<dyn StoredSet + Send + Sync>, BackupError> {
        Ok(match self.object_set(path)? {
            Some(set) => Box::new(set),
            None => Box::new(DirectorySet::new(path)),
        })
    }

    /// Opens the backup at `path`, wherever that is.
    pub fn open(&self, path: &Path, keys: Option<&Identities>) -> Result<Backup, BackupError> {
        match self.object_set(path)? {
            Some(set) => Backup::open_set(Box::new(set), keys),
            None => Backup::open_with(path, keys),
        }
    }

    /// The same, for what is under way and should not fail of a store that is away for a while.
    #[must_use]
    pub fn patient(self) -> Self {
        Self {
            is_patient: true,
            ..self
        }
    }
}

impl Places for Bucket {
    fn open(&self, path: &Path, identities: Option<&Identities>) -> Result<Backup, BackupError> {
        self.open(path, identities)
    }

    fn look(&self, path: &Path) -> Result<Option<Target>, SetError> {
        match self.look(path) {
            Ok(true) => Ok(None),
            Ok(false) => Target::look(path).map(Some),
            Err(error) => Err(SetError::Io {
                action: "create a backup set in",
                path: path.to_owned(),
                source: io::Error::other(error),
            }),
        }
    }
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bucket")
    }
}

/// Whether S3 is spoken there.
fn is_s3(scheme: Scheme) -> bool {
    matches!(scheme, Scheme::S3 | Scheme::Obc)
}

/// Aborts what is under way.
struct Stop(ObjectStore);

impl ExitHook for Stop {
    fn end(&self) -> ExitHookEnd<'_> {
        let store = self.0.clone();
        Box::pin(async move {
            // Whoever waits for the store on another thread is woken.
            let _ = tokio::task::spawn_blocking(move || store.stop()).await;
            Ok(())
        })
    }

    /// Of an upload that could not be aborted, its id was told.
    fn left(&self) -> Option<wa_common::run::LeftBehind> {
        None
    }
}
