//! Buckets of the cluster's own object storage, by the ObjectBucketClaim that stands for one: `obc://NAME/PREFIX`.
//!
//! [`ReachedBucket::reach`] reads the claim, its ConfigMap and its Secret, and chooses a [`Way`] to the endpoint: directly,
//! by a Route, or by a port-forward through the API server. What is spoken there is S3, with the claim's keys; the endpoint's
//! certificate is verified by the endpoint's name on each of these ways.
//!
//! All of it runs on a runtime of its own: a command waits for a store on its thread, and the store for the port-forward.

mod access;
mod claim;
mod endpoint;
mod forward;
mod runtime;
mod ways;

use std::sync::Arc;

use object_sets::{Options, Settings, Through};
use wa_common::cli::Context;
use wa_common::cluster::Cluster;
use wa_common::report::Event;

pub use access::to_reach;
pub use claim::names;
pub use ways::{Asked, Way};

use claim::Claim;
use runtime::OwnRuntime;
use ways::Reached;

/// The bucket of a claim, which answers.
#[derive(Debug, Clone)]
pub struct ReachedBucket {
    settings: Settings,
    ca_pem: Option<Vec<u8>>,
    allow_http: bool,
    through: Option<Through>,
    risk: String,
}

impl ReachedBucket {
    /// Finds the bucket of the claim of this name in the namespace of the command, and a way to it, which is reported.
    pub fn reach(name: &str, asked: &Asked, context: &Context) -> anyhow::Result<Self> {
        let runtime = Arc::new(OwnRuntime::new()?);
        let cluster = runtime.enter(|| context.connect())?;
        let work = reach(
            cluster,
            name.to_owned(),
            asked.clone(),
            Arc::clone(&runtime),
        );
        let (claim, reached) = runtime.run(work)??;
        context.reporter.report(&Event::Step {
            step: "bucket",
            detail: format!(
                "{} of ObjectBucketClaim {}, {}",
                claim.bucket, claim.name, reached.shown
            ),
        });
        let mut settings = Settings::default();
        settings.add("AWS_ENDPOINT_URL", &reached.url);
        settings.add("AWS_BUCKET", &claim.bucket);
        settings.add("AWS_REGION", &claim.region);
        settings.add("AWS_ACCESS_KEY_ID", claim.access_key.expose());
        settings.add("AWS_SECRET_ACCESS_KEY", claim.secret_key.expose());
        Ok(Self {
            settings,
            allow_http: reached.url.starts_with("http://"),
            ca_pem: reached.ca_pem,
            through: reached.through,
            risk: claim.risk(),
        })
    }

    /// The options of a store that is in this bucket.
    pub fn options(&self, others: Options) -> Options {
        Options {
            ca_pem: self.ca_pem.clone(),
            allow_http: self.allow_http,
            environment: false,
            settings: self.settings.clone(),
            through: self.through.clone(),
            ..others
        }
    }

    /// What may happen to backups that are there, for whoever puts one there.
    pub fn risk(&self) -> &str {
        &self.risk
    }
}

async fn reach(
    cluster: Cluster,
    name: String,
    asked: Asked,
    runtime: Arc<OwnRuntime>,
) -> anyhow::Result<(Claim, Reached)> {
    let claim = Claim::read(&cluster, &name).await?;
    let reached = ways::choose(&cluster, &claim, &asked, runtime).await?;
    Ok((claim, reached))
}
