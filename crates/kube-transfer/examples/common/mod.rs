//! What every example begins with: a client as this crate needs it, and the container that is named on the command line.

use std::{env::Args, error::Error};

use kube_transfer::{PodContainer, PodHandle, stream_config};

/// The container named by the next three arguments: namespace, pod, container.
pub(crate) async fn pod(arguments: &mut Args) -> Result<PodHandle, Box<dyn Error>> {
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| "there is a crypto provider already")?;
    let config = kube::Config::infer().await?;
    let client = kube::Client::try_from(stream_config(&config))?;
    let mut next = |what: &str| {
        arguments
            .next()
            .ok_or_else(|| format!("no {what} was given"))
    };
    let container = PodContainer {
        namespace: next("namespace")?,
        pod: next("pod")?,
        container: next("container")?,
    };
    Ok(PodHandle::new(&client, container))
}
