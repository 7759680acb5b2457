//! The connection to a bucket.

use std::any::Any;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt as _;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{
    Certificate, ClientOptions, ObjectMeta, ObjectStore as _, ObjectStoreExt as _, RetryConfig,
};

use crate::bridge::Bridge;
use crate::error::to_io;
use crate::http::Http;
use crate::location::Location;
use crate::open::OpenUploads;
use crate::retry::{Outage, Patience};
use crate::teller::Teller;

/// S3's most.
pub(crate) const MOST_PARTS: u64 = 10_000;
/// How long a request may say nothing. There is no limit for all of it.
pub(crate) const SILENCE: Duration = Duration::from_mins(5);
pub(crate) const CONNECT: Duration = Duration::from_secs(15);
/// How long an outage may last before anything is written or read.
const FIRST_LOOK: Duration = Duration::from_secs(3);

/// How a bucket is reached, beside what the environment says.
#[derive(Debug, Clone)]
pub struct Options {
    /// Certificates to be trusted, in PEM.
    pub ca_pem: Option<Vec<u8>>,
    /// How long a request is tried again.
    pub patience: Patience,
    /// The size that a file is expected to have at most, which decides the size of its parts.
    pub expected_bytes: u64,
    /// The size of the parts of a file, at the least. Stores take no less than 5 MiB.
    pub least_part_bytes: u64,
    /// Whether an endpoint may be http://, over which everybody on the way can read what is sent.
    pub allow_http: bool,
    /// Who is told of what could not be tidied up.
    pub teller: Teller,
    /// Whether the environment says how the bucket is reached, as far as `settings` do not.
    pub environment: bool,
    /// Settings as environment variables have them, in place of those: `AWS_ENDPOINT_URL`.
    pub settings: Settings,
    /// Another way to the endpoint than the network's.
    pub through: Option<Through>,
}

/// Settings, keys among them: their values are not shown.
#[derive(Clone, Default)]
pub struct Settings(Vec<(String, String)>);

impl Settings {
    /// Adds one, which counts before those of the same name.
    pub fn add(&mut self, name: &str, value: &str) {
        self.0.push((name.to_owned(), value.to_owned()));
    }
}

impl From<Vec<(String, String)>> for Settings {
    fn from(settings: Vec<(String, String)>) -> Self {
        Self(settings)
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|(name, _)| name))
            .finish()
    }
}

/// A way to an endpoint by an address of this machine. What the endpoint is called stays: its certificate is for that name,
/// and so are signatures.
#[derive(Clone)]
pub struct Through {
    /// What the endpoint is called.
    pub host: String,
    /// Where it is reached, whatever that name and a proxy of the environment say.
    pub address: SocketAddr,
    /// What keeps the way open, for as long as there is a store that goes there.
    pub keeper: Arc<dyn Any + Send + Sync>,
}

impl fmt::Debug for Through {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.host, self.address)
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            ca_pem: None,
            patience: Patience::default(),
            expected_bytes: 0,
            // Fewer, larger ones are faster.
            least_part_bytes: 8 << 20,
            allow_http: false,
            teller: Teller::default(),
            environment: true,
            settings: Settings::default(),
            through: None,
        }
    }
}

/// The connection to a bucket.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) objects: Arc<AmazonS3>,
    pub(crate) bridge: Bridge,
    pub(crate) patience: Patience,
    pub(crate) outage: Outage,
    pub(crate) open: OpenUploads,
    /// Of the parts of a file.
    pub(crate) part_bytes: usize,
    _through: Option<Through>,
}

/// The size of a part: twice as much as is expected fits into as many as there may be.
fn part_bytes(options: &Options) -> usize {
    let needed = options.expected_bytes / (MOST_PARTS / 2);
    let needed = needed.next_multiple_of(1 << 20);
    usize::try_from(options.least_part_bytes.max(needed)).unwrap_or(usize::MAX)
}

impl Client {
    pub(crate) fn new(location: &Location, options: &Options) -> io::Result<Self> {
        let mut client = ClientOptions::new()
            .with_timeout_disabled()
            .with_allow_http(options.allow_http)
            .with_connect_timeout(CONNECT)
            .with_read_timeout(SILENCE)
            .with_http1_only();
        if let Some(pem) = &options.ca_pem {
            let bundle = Certificate::from_pem_bundle(pem).map_err(to_io)?;
            client = bundle
                .into_iter()
                .fold(client, ClientOptions::with_root_certificate);
        }
        let no_retries = RetryConfig {
            max_retries: 0,
            ..RetryConfig::default()
        };
        let mut builder = if options.environment {
            AmazonS3Builder::from_env()
        } else {
            AmazonS3Builder::new()
        };
        if options.through.is_some() {
            builder = builder.with_http_connector(Http(options.clone()));
        }
        builder = builder
            .with_client_options(client)
            .with_retry(no_retries)
            .with_bucket_name(&location.bucket);
        for (name, value) in &options.settings.0 {
            let key = name.to_ascii_lowercase().parse().map_err(to_io)?;
            builder = builder.with_config(key, value);
        }
        let (objects, bridge) = (Arc::new(builder.build().map_err(to_io)?), Bridge::new()?);
        let teller = options.teller.clone();
        Ok(Self {
            outage: Outage::new(teller.clone()),
            open: OpenUploads::new(&objects, &bridge, options.patience, teller),
            objects,
            bridge,
            patience: options.patience,
            part_bytes: part_bytes(options),
            _through: options.through.clone(),
        })
    }

    /// Puts a small object, which is there as a whole or not at all. Returns the ETag that was answered.
    pub(crate) fn put_whole(&self, path: &Path, content: Bytes) -> io::Result<Option<String>> {
        let (client, path) = (self.clone(), path.clone());
        let put = self.bridge.run(async move {
            let put = || async { client.objects.put(&path, content.clone().into()).await };
            client.patience.run(&client.outage, put).await
        })?;
        put.map(|put| put.e_tag).map_err(to_io)
    }

    /// What the store tells of an object.
    pub(crate) fn head(&self, path: &Path) -> io::Result<ObjectMeta> {
        let (client, path) = (self.clone(), path.clone());
        let found = self.bridge.run(async move {
            let head = || client.objects.head(&path);
            client.patience.run(&client.outage, head).await
        })?;
        found.map_err(to_io)
    }

    /// What is there now. For a first look, nobody waits out a long outage.
    pub(crate) fn list(&self, prefix: &Path) -> io::Result<Vec<ObjectMeta>> {
        self.list_within(prefix, FIRST_LOOK)
    }

    /// The same, for as long as an outage may last.
    pub(crate) fn list_patiently(&self, prefix: &Path) -> io::Result<Vec<ObjectMeta>> {
        self.list_within(prefix, Duration::MAX)
    }

    fn list_within(&self, prefix: &Path, longest: Duration) -> io::Result<Vec<ObjectMeta>> {
        let (client, prefix) = (self.clone(), prefix.clone());
        let listed = self.bridge.run(async move {
            let list = || async { client.objects.list(Some(&prefix)).try_collect().await };
            let patience = client.patience.within(longest);
            patience.run(&client.outage, list).await
        })?;
        listed.map_err(to_io)
    }
}
