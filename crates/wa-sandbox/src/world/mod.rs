//! What is in the cluster: a Watson Assistant as its release installs it.
//!
//! First every object is created, from which the node and the controllers make everything run; then the databases are
//! filled and the first backups taken.
//!
//! Left out: what Watson Assistant keeps in object storage, what the gateway and Redis would serve, and whatever else no plugin talks to.

mod addresses;
mod assistant_operator;
mod backups;
mod elsewhere;
pub mod kinds;
mod manifests;
mod object_storage;
mod operator;
mod other_patch;
mod pods;
mod portworx;
mod process_one;
mod profile;
mod provision;
mod rendering;
mod resource_controller;
mod secrets;
mod seed;
mod storage;
mod store_admin;
mod tenants;
mod variant;

use std::io;
use std::path::Path;

use kube_sandbox::meta::{Object, Resource, Status, object, resources};
use kube_sandbox::node::{ExecError, Image, Mount};
use kube_sandbox::store::Store;
use local_postgres::Server;
use serde_json::Value;

pub use elsewhere::{definitions, manifests};
pub(crate) use object_storage::ObjectStorage;
pub use object_storage::{BUCKET_CLAIM, ROUTE_HOST};
pub use other_patch::{OtherPatch, UnknownPatch};
pub(crate) use portworx::Daemons;
pub use portworx::{InUse, Operation, Portworx, Refusal};
pub use process_one::ProcessOne;
pub use profile::{Names, PostgresLabels, Profile, StoreSecret, UiEnvironment, UnknownProfile};
pub use seed::{Seed, UnknownSeed};
pub use storage::{Storage, UnknownStorage};
pub use store_admin::{RetrainFault, RetrainPractice, SummaryForm, UnknownRetrainFault};
pub use tenants::{Instances, UnknownInstances};
pub use variant::{OperatorPace, Variant};

use self::manifests::{assistant, autoscalers, backup, cluster, etcd, neighbours, postgres, redis};
use assistant_operator::{Annotations, AssistantOperator, Duty};
use operator::Operator;
use rendering::Rendering;
use resource_controller::ResourceController;
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
    /// A temporary patch of the installation does not fit.
    #[error("failed to render Deployment {name:?}: {message}")]
    Render {
        /// The Deployment.
        name: String,
        /// Why.
        message: String,
    },
    /// The directory that is shared with store-admin could not be made.
    #[error("failed to make the directory that is shared with store-admin")]
    Practice(#[source] io::Error),
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

/// The instance of the product that a watsonx Orchestrate brings with it.
pub const ORCHESTRATE: &str = "wo-wa";

/// Everything that is installed: one instance of the product, or two in one namespace, and the operator of both.
pub(crate) struct World {
    installed: Vec<Installed>,
    _core: Option<ResourceController>,
    operator: AssistantOperator,
}

/// One instance.
struct Installed {
    names: Names,
    credentials: Credentials,
    instances: Instances,
    renderings: Vec<Rendering>,
    _operator: Operator,
    _gateway: Option<ResourceController>,
}

/// What of the cluster the installation has to know.
#[derive(Clone, Copy)]
pub(crate) struct Setting<'a> {
    /// The major version of PostgreSQL.
    pub(crate) postgres_version: u32,
    /// What volumes are on.
    pub(crate) storage: Storage,
    /// What process 1 of the database's container is.
    pub(crate) process_one: ProcessOne,
    /// What differs otherwise.
    pub(crate) variant: &'a Variant,
}

impl World {
    /// The images its pods name, with that PostgreSQL in those that have one.
    pub(crate) fn images(names: &Names, server: &Server, practice: &RetrainPractice) -> Vec<Image> {
        let store_admin = assistant::store_admin_image(names);
        let mut images: Vec<_> = assistant::images(names)
            .into_iter()
            .chain([etcd::IMAGE.to_owned(), redis::image_of(names)])
            .filter(|reference| *reference != store_admin)
            .map(Image::of_this_machine)
            .collect();
        images.push(practice.image(Image::of_this_machine(store_admin)));
        images.push(with_postgres(backup::image_of(names), server));
        images.push(Image {
            user: 26,
            user_name: "postgres".to_owned(),
            ..with_postgres(postgres::image(server.major), server)
        });
        images
    }

    /// Creates every object of the installation.
    pub(crate) fn install(
        store: &Store,
        names: &Names,
        setting: Setting<'_>,
    ) -> Result<Self, WorldError> {
        let Setting {
            storage, variant, ..
        } = setting;
        create_all(store, &resources::NAMESPACES, cluster::namespaces(names))?;
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
        for (resource, object) in neighbours::objects(names) {
            create(store, resource, object)?;
        }
        let service_token = secrets::service_token();
        let broker = assistant::service_broker_secret(names, &service_token);
        create(store, &resources::SECRETS, broker)?;
        let core_address = address(&[resource_controller::CORE_PORT])?;
        let core = cluster::core_service(names, &core_address);
        create(store, &resources::SERVICES, core)?;

        let mut installed = vec![Installed::install(
            store,
            names.clone(),
            variant.instances,
            setting,
        )?];
        if variant.orchestrate {
            let names = names.of_instance(ORCHESTRATE);
            installed.push(Installed::install(store, names, Instances::Fewer, setting)?);
        }
        let shown = installed.iter().map(|one| {
            let tenants = one.instances.tenants();
            resource_controller::by_service(&service_token, &one.names, &tenants)
        });
        let core = names
            .service_token
            .then(|| ResourceController::start_at_core(&core_address, shown.collect()))
            .transpose()
            .map_err(WorldError::Address)?;

        let operator = assistant::operator(names, variant);
        create(store, &resources::DEPLOYMENTS, operator)?;
        let duty = Duty {
            operators: names.operators_namespace(),
            operands: names.namespace.clone(),
            renderings: installed
                .iter()
                .flat_map(|one| one.renderings.clone())
                .collect(),
            annotations: Annotations::from_names(names),
            cron_jobs: installed
                .iter()
                .filter(|_| variant.operator_reverts)
                .map(|one| backup::cron_job(&one.names))
                .collect(),
        };
        Ok(Self {
            installed,
            _core: core,
            operator: AssistantOperator::start(store, duty, variant.operator_pace()),
        })
    }

    /// The Deployments of all instances.
    pub(crate) fn deployments(&self) -> impl Iterator<Item = &str> {
        let renderings = self.installed.iter().flat_map(|one| &one.renderings);
        renderings.map(Rendering::name)
    }

    /// Makes the operator faster or slower from now on.
    pub(crate) fn set_operator_pace(&self, pace: OperatorPace) {
        self.operator.set_pace(pace);
    }

    /// Writes a file for each token of a user who owns service instances.
    pub(crate) fn write_user_tokens(&self, directory: &Path) -> Result<(), WorldError> {
        let written = self.installed.iter().try_for_each(|one| {
            resource_controller::write_user_tokens(directory, &one.names, &one.credentials)
        });
        written.map_err(|source| WorldError::Io {
            what: "write the tokens of users",
            source,
        })
    }
}

impl Installed {
    fn install(
        store: &Store,
        names: Names,
        instances: Instances,
        setting: Setting<'_>,
    ) -> Result<Self, WorldError> {
        let Setting {
            postgres_version,
            storage,
            process_one,
            variant,
        } = setting;
        let credentials = Credentials::generate();
        let postgres_address = address(&[postgres::PORT])?;
        let etcd_address = address(&[etcd::PORT, etcd::PEER_PORT])?;
        let gateway_address = address(&[resource_controller::GATEWAY_PORT])?;
        let postgres_ca = Authority::generate(&names.postgres_ca_secret())?;
        let postgres_server =
            postgres_ca.issue(&names.postgres_service(), postgres::server_names(&names))?;
        let etcd_ca = Authority::generate(&names.etcd())?;
        let etcd_server = etcd_ca.issue("etcd-server", etcd::server_names(&names))?;
        let etcd_client = etcd_ca.issue("etcd-client", Vec::new())?;

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
        let config_maps = assistant::config_maps(&names);
        create_all(store, &resources::CONFIG_MAPS, config_maps)?;
        let mut services = postgres::services(&names, &postgres_address);
        services.push(etcd::service_of(&names, &etcd_address));
        services.push(assistant::gateway_service(&names, &gateway_address));
        create_all(store, &resources::SERVICES, services)?;
        let claims = [
            postgres::data_claim(&names, storage),
            etcd::data_claim(&names, storage),
            backup::volume_claim(&names, storage),
        ];
        create_all(store, &resources::CLAIMS, claims)?;

        for (resource, custom) in assistant::custom_resources(&names, variant) {
            create(store, resource, custom)?;
        }
        let cluster = create(
            store,
            &kinds::POSTGRES_CLUSTERS,
            postgres::cluster(&names, postgres_version),
        )?;
        let store_part = find(store, &kinds::ASSISTANT_STORES, &names)?;
        let whole = find(store, &kinds::ASSISTANTS, &names)?;
        let renderings = assistant::renderings(&names, variant, &store_part, &whole);
        for rendering in &renderings {
            let deployment = first_rendered(store, &names, rendering)?;
            create(store, &resources::DEPLOYMENTS, deployment)?;
        }
        let autoscalers = autoscalers::of(&names, variant);
        create_all(store, &resources::AUTOSCALERS, autoscalers)?;
        let redis = redis::stateful_set(&names, variant);
        create(store, &resources::STATEFUL_SETS, redis)?;
        create_all(store, &resources::CRON_JOBS, [backup::cron_job(&names)])?;
        let mut pods = postgres::pods(&names, postgres_version, &cluster, process_one, variant);
        pods.push(etcd::pod(&names));
        create_all(store, &resources::PODS, pods.clone())?;

        let shown = resource_controller::by_users(&credentials, &instances.tenants());
        let gateway = (!names.service_token)
            .then(|| ResourceController::start_at_gateway(&gateway_address, shown))
            .transpose()
            .map_err(WorldError::Address)?;
        Ok(Self {
            names,
            credentials,
            instances,
            renderings,
            _operator: Operator::start(store, pods),
            _gateway: gateway,
        })
    }
}

/// A Deployment with the patches that are active from the beginning.
fn first_rendered(
    store: &Store,
    names: &Names,
    rendering: &Rendering,
) -> Result<Value, WorldError> {
    let part = find(store, rendering.part, names)?;
    let patches = Annotations::from_names(names).patches(store, &part);
    let rendered = patches
        .map_err(|failure| failure.message)
        .and_then(|patches| rendering.created(&patches));
    rendered.map_err(|message| WorldError::Render {
        name: rendering.name().to_owned(),
        message,
    })
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

fn address(ports: &[u16]) -> Result<String, WorldError> {
    let found = addresses::find(ports).map_err(WorldError::Address)?;
    Ok(found.to_string())
}

/// The instance's own object of that kind.
fn find(store: &Store, resource: &'static Resource, names: &Names) -> Result<Object, WorldError> {
    let found = store.get(resource, &names.namespace, &names.instance);
    found.map_err(|source| WorldError::Create {
        kind: resource.kind,
        name: names.instance.clone(),
        source,
    })
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
) -> Result<Object, WorldError> {
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
