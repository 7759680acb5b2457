//! A whole cluster with a Watson Assistant in it, from one call.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kube_sandbox::api::LoggedRequest;
use kube_sandbox::disks::Disks;
use kube_sandbox::faults::Faults;
use kube_sandbox::meta::Kinds;
use kube_sandbox::node::{Pace, RunningContainer};
use kube_sandbox::preflight::Unfit;
use kube_sandbox::store::Store;
use kube_sandbox::{Cluster, StartError as ClusterError};

use crate::preflight;
use crate::world::{
    Daemons, Names, ObjectStorage, OperatorPace, Portworx, ProcessOne, Profile, RetrainFault,
    RetrainPractice, Seed, Setting, Storage, Variant, World, WorldError, kinds,
};

/// Name of cluster, user and context in the kubeconfig.
const NAME: &str = "wa-sandbox";
const INSTANCE: &str = "wa";
const NAMESPACE: &str = "cpd";

/// What cluster to start.
#[derive(Debug, Clone)]
pub struct Config {
    /// The release whose object names it has.
    pub profile: Profile,
    /// How large its store database is.
    pub seed: Seed,
    /// What its volumes are on.
    pub storage: Storage,
    /// What process 1 of the database's container is.
    pub process_one: ProcessOne,
    /// What of the Watson Assistant differs otherwise.
    pub variant: Variant,
    /// A directory for everything it writes. It must not exist yet, or be empty; it is removed when the cluster stops.
    pub directory: PathBuf,
    /// Port of the API server; a free one if `None`.
    pub port: Option<u16>,
}

impl Config {
    /// A small cluster of the newest release in that directory.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            profile: Profile::default(),
            seed: Seed::default(),
            storage: Storage::default(),
            process_one: ProcessOne::default(),
            variant: Variant::default(),
            directory: directory.into(),
            port: None,
        }
    }
}

/// Why a cluster did not start. Nothing of it is left behind.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The machine lacks something.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// The cluster does not start.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The Watson Assistant is not there or not ready.
    #[error("the Watson Assistant does not get ready")]
    World(#[from] WorldError),
}

/// A running cluster. Dropping it kills every process of it and removes its files.
pub struct Sandbox {
    names: Names,
    postgres_version: u32,
    world: World,
    portworx: Portworx,
    daemons: Option<Daemons>,
    object_storage: ObjectStorage,
    /// Last: its files are removed when everything that writes to them has ended.
    cluster: Cluster,
}

impl Sandbox {
    /// Starts a cluster and returns when its databases are filled and its earlier backups taken.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let names = config.profile.names(INSTANCE, NAMESPACE);
        let postgres = preflight::check(names.postgres_version)?;
        let store = Store::with_kinds(Kinds::with(kinds::ALL.iter().copied()));
        let portworx = Portworx::new(store.clone());
        let mut cluster = Cluster::start(kube_sandbox::Config {
            name: NAME.to_owned(),
            namespace: names.namespace.clone(),
            directory: config.directory,
            port: config.port,
            store,
            driver: Some(Arc::new(portworx.clone())),
        })
        .await?;
        let node = cluster.node();
        let practice = RetrainPractice::of_cluster(cluster.directory());
        practice
            .create(config.variant.retrain_speed)
            .map_err(WorldError::Practice)?;
        node.add_images(World::images(&names, &postgres, &practice));
        node.add_images(Portworx::images(node.disks()));
        node.add_images([ObjectStorage::image()]);
        let setting = Setting {
            postgres_version: postgres.major,
            storage: config.storage,
            process_one: config.process_one,
            variant: &config.variant,
        };
        let world = World::install(cluster.store(), &names, setting)?;
        let pace = Pace {
            start: config.variant.pod_start,
            ..Pace::default()
        };
        for deployment in world.deployments() {
            node.set_pace(&[("app", deployment)], pace);
        }
        world.write_user_tokens(&user_tokens_beside(cluster.kubeconfig()))?;
        let daemons = match config.storage {
            Storage::Portworx => Some(portworx.install(node)?),
            _ => None,
        };
        let object_storage = ObjectStorage::install(cluster.store(), &names, cluster.directory())?;
        cluster.run_controller(object_storage.provisioner());
        cluster.run_controller(object_storage.certificates());
        let sandbox = Self {
            names,
            postgres_version: postgres.major,
            world,
            portworx,
            daemons,
            object_storage,
            cluster,
        };
        let Self { world, cluster, .. } = &sandbox;
        world
            .provision(cluster.store(), cluster.node(), config.seed)
            .await?;
        Ok(sandbox)
    }

    /// A kubeconfig for the cluster, readable by its owner alone.
    pub fn kubeconfig(&self) -> &Path {
        self.cluster.kubeconfig()
    }

    /// Lets in a user who may do what roles bound to that name allow, and returns a kubeconfig for it.
    pub fn user_kubeconfig(&self, name: &str) -> io::Result<PathBuf> {
        self.cluster.user_kubeconfig(name)
    }

    /// Lets nobody in by that token from now on, as when it has expired.
    pub fn revoke_token(&self, token: &str) {
        self.cluster.revoke_token(token);
    }

    /// Where the tokens of the users are who own service instances, in a file for each instance of the product and user,
    /// such as `wa-admin` and `wa-developer`. On a real cluster each user copies it from the web client.
    pub fn user_tokens(&self) -> PathBuf {
        user_tokens_beside(self.kubeconfig())
    }

    /// The API server's address.
    pub fn url(&self) -> String {
        self.cluster.url()
    }

    /// The names of the installation's objects.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// The major version of PostgreSQL that it runs, which is another than that of its release where that is not
    /// installed.
    pub fn postgres_version(&self) -> u32 {
        self.postgres_version
    }

    /// The namespace of the Watson Assistant.
    pub fn namespace(&self) -> &str {
        &self.names.namespace
    }

    /// Every container that runs at this moment.
    pub fn running_containers(&self) -> Vec<RunningContainer> {
        self.cluster.node().running_containers()
    }

    /// The cluster's objects.
    pub fn store(&self) -> &Store {
        self.cluster.store()
    }

    /// The Portworx cluster. It has volumes where the storage is Portworx.
    pub fn portworx(&self) -> &Portworx {
        &self.portworx
    }

    /// Where the router listens that takes requests for the host of the object storage's Route.
    pub fn router(&self) -> SocketAddr {
        self.object_storage.router()
    }

    /// The directory that has one for each bucket of the object storage, with a file for each object.
    pub fn buckets(&self) -> &Path {
        self.object_storage.buckets()
    }

    /// What its volumes are on, where claims and snapshots can be made to take time.
    pub fn disks(&self) -> &Disks {
        self.cluster.node().disks()
    }

    /// Makes an image one that no registry has: pods that name it wait from now on.
    pub fn forget_image(&self, reference: &str) {
        self.cluster.node().forget_image(reference);
    }

    /// Ends every process of every pod at once, as when all machines lose their power; the pods and their volumes stay.
    pub fn restart_nodes(&self) {
        self.cluster.node().restart();
    }

    /// Makes the operator of Watson Assistant faster or slower from now on.
    pub fn set_operator_pace(&self, pace: OperatorPace) {
        self.world.set_operator_pace(pace);
    }

    /// Has store-admin do this differently from now on, and nothing else.
    pub fn set_retrain_faults(&self, faults: &[RetrainFault]) -> io::Result<()> {
        RetrainPractice::of_cluster(self.cluster.directory()).set_faults(faults)
    }

    /// Sets how long pods with all of these labels take to start and to stop from now on. Those of a Deployment have its
    /// name as the label `app`.
    pub fn set_pace(&self, labels: &[(&str, &str)], pace: Pace) {
        self.cluster.node().set_pace(labels, pace);
    }

    /// Sets how large a file of a container's log gets before a new one is begun, from now on.
    pub fn set_log_file_bytes(&self, bytes: u64) {
        self.cluster.node().set_log_file_bytes(bytes);
    }

    /// What goes wrong on purpose.
    pub fn faults(&self) -> &Faults {
        self.cluster.faults()
    }

    /// Every request so far, in the order of arrival.
    pub fn requests(&self) -> Vec<LoggedRequest> {
        self.cluster.requests()
    }

    /// Stops everything and returns when no process and no file is left.
    pub async fn stop(self) {
        let Self {
            cluster,
            world,
            daemons,
            object_storage,
            ..
        } = self;
        drop((daemons, world, object_storage));
        cluster.stop().await;
    }
}

/// Where the cluster's users would copy their tokens from.
fn user_tokens_beside(kubeconfig: &Path) -> PathBuf {
    kubeconfig.with_file_name("user-tokens")
}
