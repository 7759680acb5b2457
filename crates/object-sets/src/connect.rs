//! A client of object_store for each kind of store. All of them are used in the same way: what is tried again, and for how
//! long, is decided here and not there.

use std::env::{var, vars_os};
use std::io;
use std::str::FromStr;
use std::sync::Arc;

use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::list::PaginatedListStore;
use object_store::multipart::MultipartStore;
use object_store::{Certificate, ClientOptions, Error, ObjectStore, RetryConfig};

use crate::error::{to_io, unusable};
use crate::http::Http;
use crate::location::{Location, Scheme};
use crate::options::{CONNECT, Options, SILENCE};

/// What to look at where a client cannot be made.
const AMAZON: &str = "AWS_ENDPOINT_URL and the keys";
const GOOGLE: &str = "GOOGLE_APPLICATION_CREDENTIALS or GOOGLE_SERVICE_ACCOUNT_KEY";
const AZURE: &str =
    "AZURE_STORAGE_ENDPOINT, and AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_TOKEN";

/// What is asked of a store of any kind.
pub(crate) trait Objects: ObjectStore + MultipartStore + PaginatedListStore {}

impl<T: ObjectStore + MultipartStore + PaginatedListStore> Objects for T {}

/// The client of the store that `location` is in.
pub(crate) fn connect(location: &Location, options: &Options) -> io::Result<Arc<dyn Objects>> {
    let client = client_options(options)?;
    match location.scheme {
        Scheme::S3 | Scheme::Obc => amazon(location, options, client),
        Scheme::Gs => google(location, options, client),
        Scheme::Az => azure(location, options, client),
    }
}

fn amazon(
    location: &Location,
    options: &Options,
    client: ClientOptions,
) -> io::Result<Arc<dyn Objects>> {
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
        .with_retry(no_retries())
        // One that deletes many is answered with 200 also where each of them is refused, and has a checksum that not all know.
        .with_disable_bulk_delete(true)
        .with_bucket_name(&location.bucket);
    for (key, value) in settings(options)? {
        builder = builder.with_config(key, value);
    }
    let built = builder.build();
    Ok(Arc::new(built.map_err(|error| unusable(&error, AMAZON))?))
}

fn google(
    location: &Location,
    options: &Options,
    client: ClientOptions,
) -> io::Result<Arc<dyn Objects>> {
    let mut builder = GoogleCloudStorageBuilder::new();
    if options.environment {
        // `from_env` takes SERVICE_ACCOUNT for a file of keys as well, which may be anything.
        for (key, value) in environment("GOOGLE_") {
            builder = builder.with_config(key, value);
        }
    }
    builder = builder
        .with_client_options(client)
        .with_retry(no_retries())
        .with_bucket_name(&location.bucket);
    for (key, value) in settings(options)? {
        builder = builder.with_config(key, value);
    }
    let built = builder.build();
    Ok(Arc::new(built.map_err(|error| unusable(&error, GOOGLE))?))
}

fn azure(
    location: &Location,
    options: &Options,
    client: ClientOptions,
) -> io::Result<Arc<dyn Objects>> {
    let mut builder = MicrosoftAzureBuilder::new();
    if options.environment {
        for (key, value) in environment("AZURE_") {
            builder = builder.with_config(key, value);
        }
        if let Ok(endpoint) = var("IDENTITY_ENDPOINT") {
            builder = builder.with_msi_endpoint(endpoint);
        }
    }
    builder = builder
        .with_client_options(client)
        .with_retry(no_retries())
        .with_container_name(&location.bucket);
    for (key, value) in settings(options)? {
        builder = builder.with_config(key, value);
    }
    let built = builder.build();
    Ok(Arc::new(built.map_err(|error| unusable(&error, AZURE))?))
}

/// The variables that a builder knows, of those that begin so. An empty one says nothing.
fn environment<Key: FromStr>(prefix: &str) -> Vec<(Key, String)> {
    let known = vars_os().filter_map(|(name, value)| {
        let name = name.to_str().filter(|name| name.starts_with(prefix))?;
        let value = value.into_string().ok().filter(|value| !value.is_empty())?;
        Some((name.to_ascii_lowercase().parse().ok()?, value))
    });
    known.collect()
}

/// The settings that are given beside the environment, as the builder of a kind knows them.
fn settings<Key: FromStr<Err = Error>>(options: &Options) -> io::Result<Vec<(Key, &str)>> {
    let named = options.settings.iter().map(|(name, value)| {
        let key = name.to_ascii_lowercase().parse();
        key.map(|key| (key, value)).map_err(to_io)
    });
    named.collect()
}

/// No limit for all of a request, but one for how long nothing comes.
fn client_options(options: &Options) -> io::Result<ClientOptions> {
    let client = ClientOptions::new()
        .with_timeout_disabled()
        .with_allow_http(options.allow_http)
        .with_connect_timeout(CONNECT)
        .with_read_timeout(SILENCE)
        .with_http1_only();
    let Some(pem) = &options.ca_pem else {
        return Ok(client);
    };
    let bundle = Certificate::from_pem_bundle(pem).map_err(to_io)?;
    Ok(bundle
        .into_iter()
        .fold(client, ClientOptions::with_root_certificate))
}

fn no_retries() -> RetryConfig {
    RetryConfig {
        max_retries: 0,
        ..RetryConfig::default()
    }
}
