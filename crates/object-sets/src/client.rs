//! The connection to a bucket.

use std::io;
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
use crate::options::{CONNECT, Options, SILENCE, Through};
use crate::retry::{Outage, Patience};

/// S3's most.
pub(crate) const MOST_PARTS: u64 = 10_000;
/// How long an outage may last before anything is written or read.
const FIRST_LOOK: Duration = Duration::from_secs(3);

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
        for (name, value) in options.settings.iter() {
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
