//! What is in the cluster: a Watson Assistant as its release installs it.
//!
//! First every object is created, from which the node and the controllers make everything run; then the databases are
//! filled and the first backups taken.
//!
//! Left out: Redis, object storage, the gateway, and whatever else no plugin talks to.

mod addresses;
mod backups;
pub mod kinds;
mod manifests;
mod operator;
mod pods;
mod portworx;
mod process_one;
mod profile;
mod provision;
mod secrets;
mod seed;
mod storage;

use std::io;
use std::path::Path;

use kube_sandbox::meta::{Resource, Status, object, resources};
use kube_sandbox::node::{ExecError, Image, Mount};
use kube_sandbox::store::Store;
use local_postgres::Server;
use serde_json::Value;

pub(crate) use portworx::Daemons;
pub use portworx::{InUse, Operation, Portworx, Refusal};
pub use process_one::ProcessOne;
pub use profile::{Names, PostgresLabels, Profile, StoreSecret, UnknownProfile};
pub use seed::{Seed, UnknownSeed};
pub use storage::{Storage, UnknownStorage};

use manifests::{assistant, backup, cluster, etcd, postgres};
use operator::Operator;
use secrets::{Authority, Credentials};

/// Why the cluster could not be filled.
#[derive(Debug, thiserror::Error)]
pub enum WorldError {
    /// An object of the installation was refused.
    #[error("failed to create {kind} {name:?}")]
    Create {
        /// Its kind.
        kind: &'static str,
        /// Its name.
        name: String,
        /// Why.
        source: Status,
    },
    /// No certificate could be made.
    #[error("failed to make the installation's certificates")]
    Certificate(#[from] rcgen::Error),
    /// No loopback address was free for a service.
    #[error("failed to find a loopback address for a service")]
    Address(#[source] io::Error),
    /// Something did not get ready.
    #[error("{kind} {name:?} is not ready after {seconds} s: {last}")]
    NotReady {
        /// Its kind.
        kind: &'static str,
        /// Its name.
        name: String,
        /// How long was waited.
        seconds: u64,
        /// Its last status.
        last: String,
    },
    /// A command that prepares a database could not be started.
    #[error("failed to run {program} in pod {pod:?}")]
    Exec {
        /// The program.
        program: String,
        /// The pod.
        pod: String,
        /// Why.
        source: ExecError,
    },
    /// A command that prepares a database failed.
    #[error("{program} in pod {pod:?} ended with exit code {code}: {stderr}")]
    Command {
        /// The program.
        program: String,
        /// The pod.
        pod: String,
        /// Its exit code.
        code: i32,
        /// What it said.
        stderr: String,
    },
    /// A file or a pipe on this machine failed.
    #[error("failed to {what}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
}

/// An installation.
pub(crate) struct World {
    names: Names,
    credentials: Credentials,
    _operator: Operator,
}

impl World {
    /// The images its pods name, with that PostgreSQL in those that have one.
    pub(crate) fn images(names: &Names, server: &Server) -> Vec<Image> {
        let mut images: Vec<_> = assistant::images(names)
            .into_iter()
            .chain([etcd::IMAGE.to_owned()])
            .map(Image::of_this_machine)
            .collect();
        images.push(with_postgres(backup::image_of(names), server));
        images.push(Image {
            user: 26,
            user_name: "postgres".to_owned(),
            ..with_postgres(postgres::image(server.major), server)
        });
        images
    }

    /// Creates every object of the installation, which runs that major version of PostgreSQL.
    pub(crate) fn install(
        store: &Store,
        names: Names,
        postgres_version: u32,
        storage: Storage,
        process_one: ProcessOne,
    ) -> Result<Self, WorldError> {
        let credentials = Credentials::generate();
        let postgres_address = addresses::find(&[postgres::PORT])
            .map_err(WorldError::Address)?
            .to_string();
        let etcd_address = addresses::find(&[etcd::PORT, etcd::PEER_PORT])
            .map_err(WorldError::Address)?
            .to_string();
        let postgres_ca = Authority::generate(&names.postgres_ca_secret())?;
        let postgres_server =
            postgres_ca.issue(&names.postgres_service(), postgres::server_names(&names))?;
        let etcd_ca = Authority::generate(&names.etcd())?;
        let etcd_server = etcd_ca.issue("etcd-server", etcd::server_names(&names))?;
        let etcd_client = etcd_ca.issue("etcd-client", Vec::new())?;

        create_all(store, &resources::NAMESPACES, cluster::namespaces(&names))?;
        create_all(store, &resources::STORAGE_CLASSES, storage.classes())?;
        create_all(
            store,
            &resources::DEFINITIONS,
            cluster::definitions(storage),
        )?;
        create_all(
            store,
            &resources::SNAPSHOT_CLASSES,
            storage.snapshot_classes(),
        )?;

        create_all(
            store,
            &resources::SECRETS,
            [
                assistant::secrets(&names, &credentials),
                postgres::secrets(&names, &credentials, &postgres_ca, &postgres_server),
                etcd::secrets(&names, &credentials, &etcd_ca, &etcd_server, &etcd_client),
            ]
            .concat(),
        )?;
        let mut services = postgres::services(&names, &postgres_address);
        services.push(etcd::service_of(&names, &etcd_address));
        create_all(store, &resources::SERVICES, services)?;
        let claims = [
            postgres::data_claim(&names, storage),
            etcd::data_claim(&names, storage),
            backup::volume_claim(&names, storage),
        ];
        create_all(store, &resources::CLAIMS, claims)?;

        for (resource, custom) in assistant::custom_resources(&names) {
            create(store, resource, custom)?;
        }
        let cluster = create(
            store,
            &kinds::POSTGRES_CLUSTERS,
            postgres::cluster(&names, postgres_version),
        )?;
        create_all(
            store,
            &resources::DEPLOYMENTS,
            assistant::deployments(&names),
        )?;
        create_all(store, &resources::CRON_JOBS, [backup::cron_job(&names)])?;
        let mut pods = postgres::pods(&names, postgres_version, &cluster, process_one);
        pods.push(etcd::pod(&names));
        create_all(store, &resources::PODS, pods.clone())?;
        Ok(Self {
            names,
            credentials,
            _operator: Operator::start(store, pods),
        })
    }
}

/// An image of this machine's software with the programs of that PostgreSQL first on PATH.
fn with_postgres(reference: String, server: &Server) -> Image {
    let image = Image::of_this_machine(reference);
    if server.directory.starts_with("/usr") {
        return image.with_programs(&server.programs());
    }
    let target = Path::new("/opt/postgresql").join(server.major.to_string());
    let mut image = image.with_programs(&target.join("bin"));
    image.mounts.push(Mount {
        source: server.directory.clone(),
        target,
        read_only: true,
    });
    image
}

fn create_all(
    store: &Store,
    resource: &'static Resource,
    objects: impl IntoIterator<Item = Value>,
) -> Result<(), WorldError> {
    objects
        .into_iter()
        .try_for_each(|one| create(store, resource, one).map(drop))
}

fn create(
    store: &Store,
    resource: &'static Resource,
    manifest: Value,
) -> Result<kube_sandbox::meta::Object, WorldError> {
    let name = object::name(&manifest).to_owned();
    store
        .create(resource, manifest)
        .map_err(|source| WorldError::Create {
            kind: resource.kind,
            name,
            source,
        })
}

#[cfg(test)]
mod tests;
