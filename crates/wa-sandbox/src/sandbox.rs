//! A whole cluster, from one call.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::api::users::{User, Users};
use crate::api::{Api, LoggedRequest, RequestLog, Server, ServerError, kubeconfig};
use crate::controllers::Controllers;
use crate::disks::Disks;
use crate::faults::Faults;
use crate::leftovers::remove_leftovers;
use crate::node::{Node, NodeConfig, NodeError, RunningContainer};
use crate::preflight::{self, Unfit};
use crate::store::Store;
use crate::streams;

use crate::world::{
    Daemons, Names, Portworx, ProcessOne, Profile, Seed, Storage, World, WorldError,
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
    /// Its directory cannot be used.
    #[error("cannot use the directory {}; name one that is new or empty, and writable", directory.display())]
    Directory {
        /// The directory.
        directory: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The node does not start.
    #[error("the cluster's node does not start")]
    Node(#[from] NodeError),
    /// The API server does not start.
    #[error("the API server does not start")]
    Server(#[from] ServerError),
    /// The Watson Assistant is not there or not ready.
    #[error("the Watson Assistant does not get ready")]
    World(#[from] WorldError),
}

/// A running cluster. Dropping it kills every process of it and removes its files.
pub struct Sandbox {
    kubeconfig: PathBuf,
    names: Names,
    postgres_version: u32,
    store: Store,
    faults: Faults,
    users: Users,
    requests: RequestLog,
    server: Server,
    node: Node,
    world: World,
    portworx: Portworx,
    daemons: Option<Daemons>,
    controllers: Controllers,
    /// Last: removed when everything that writes to it has ended.
    directory: Directory,
}

impl Sandbox {
    /// Starts a cluster and returns when its databases are filled and its earlier backups taken.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let names = config.profile.names(INSTANCE, NAMESPACE);
        let postgres = preflight::check(names.postgres_version)?;
        let directory = Directory::create(&config.directory)?;
        let (store, faults, requests) = (Store::new(), Faults::default(), RequestLog::default());
        let portworx = Portworx::new(store.clone());
        let mut node_config = NodeConfig {
            directory: directory.0.join("node"),
            images: World::images(&names, &postgres),
            driver: Some(Arc::new(portworx.clone())),
        };
        let portworx_images = Portworx::images(&node_config.volumes());
        node_config.images.extend(portworx_images);
        let node = Node::start(store.clone(), node_config)?;
        let user = User::administrator(NAME, uuid::Uuid::new_v4().to_string());
        let users = Users::new(vec![user.clone()], faults.clone(), store.clone());
        let api = Api {
            store: store.clone(),
            faults: faults.clone(),
            users: users.clone(),
            requests: requests.clone(),
            streams: streams::routes(node.clone()),
        };
        let server = Server::start(api, config.port).await?;
        let kubeconfig = directory.0.join("kubeconfig");
        kubeconfig::write(&kubeconfig, &server, &user, &names.namespace).map_err(|source| {
            StartError::Directory {
                directory: directory.0.clone(),
                source,
            }
        })?;
        let mut controllers = Controllers::start(&store, node.disks());
        controllers.publish_certificate(&store, server.ca_pem());
        let world = World::install(
            &store,
            names.clone(),
            postgres.major,
            config.storage,
            config.process_one,
        )?;
        let daemons = match config.storage {
            Storage::Portworx => Some(portworx.install(&node)?),
            _ => None,
        };
        let sandbox = Self {
            kubeconfig,
            names,
            postgres_version: postgres.major,
            store,
            faults,
            users,
            requests,
            server,
            node,
            world,
            portworx,
            daemons,
            controllers,
            directory,
        };
        sandbox
            .world
            .provision(&sandbox.store, &sandbox.node, config.seed)
            .await?;
        Ok(sandbox)
    }

    /// A kubeconfig for the cluster, readable by its owner alone.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Lets in a user who may do what roles bound to that name allow, and returns a kubeconfig for it.
    pub fn user_kubeconfig(&self, name: &str) -> io::Result<PathBuf> {
        let user = User {
            name: name.to_owned(),
            groups: Vec::new(),
            token: Some(uuid::Uuid::new_v4().to_string()),
            rules: Vec::new(),
        };
        let path = self
            .directory
            .0
            .join(format!("kubeconfig-{}", uuid::Uuid::new_v4()));
        kubeconfig::write(&path, &self.server, &user, self.namespace())?;
        self.users.add(user);
        Ok(path)
    }

    /// The API server's address.
    pub fn url(&self) -> String {
        format!("https://{}", self.server.address())
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
        self.node.running_containers()
    }

    /// The cluster's objects.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The Portworx cluster. It has volumes where the storage is Portworx.
    pub fn portworx(&self) -> &Portworx {
        &self.portworx
    }

    /// What its volumes are on, where claims and snapshots can be made to take time.
    pub fn disks(&self) -> &Disks {
        self.node.disks()
    }

    /// Makes an image one that no registry has: pods that name it wait from now on.
    pub fn forget_image(&self, reference: &str) {
        self.node.forget_image(reference);
    }

    /// What goes wrong on purpose.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Every request so far, in the order of arrival.
    pub fn requests(&self) -> Vec<LoggedRequest> {
        self.requests.all()
    }

    /// Stops everything and returns when no process and no file is left.
    pub async fn stop(self) {
        let Self {
            server,
            node,
            directory,
            world,
            daemons,
            controllers,
            ..
        } = self;
        drop((controllers, daemons, world));
        server.stop().await;
        node.stop().await;
        drop((node, directory));
    }
}

/// The cluster's own directory, removed with it.
struct Directory(PathBuf);

impl Directory {
    fn create(path: &Path) -> Result<Self, StartError> {
        let unusable = |source| StartError::Directory {
            directory: path.to_owned(),
            source,
        };
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(unusable)?;
        }
        match DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(unusable(error));
            }
            _ => {}
        }
        if fs::read_dir(path).map_err(unusable)?.next().is_some() {
            return Err(unusable(io::ErrorKind::DirectoryNotEmpty.into()));
        }
        // Containers run in it: a path through a symbolic link would not be the same inside.
        fs::canonicalize(path).map(Self).map_err(unusable)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if let Err(error) = remove_leftovers(&self.0) {
            tracing::warn!(directory = %self.0.display(), %error, "the cluster's directory could not be removed");
        }
    }
}
