//! A whole cluster, from one call.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::api::{
    Api, LoggedRequest, RequestLog, Server, ServerError,
    kubeconfig::{self, Context},
    users::{User, Users},
};
use crate::controllers::{Controller, Controllers};
use crate::faults::Faults;
use crate::leftovers::remove_leftovers;
use crate::node::{Node, NodeConfig, NodeError, StorageDriver};
use crate::store::Store;
use crate::streams;

/// What cluster to start.
#[derive(Debug, Clone)]
pub struct Config {
    /// Name of cluster, user and context in the kubeconfig.
    pub name: String,
    /// The namespace of commands that name none.
    pub namespace: String,
    /// A directory for everything it writes. It must not exist yet, or be empty; it is removed when the cluster stops.
    pub directory: PathBuf,
    /// Port of the API server; a free one if `None`.
    pub port: Option<u16>,
    /// Where its objects are, with the kinds it knows.
    pub store: Store,
    /// Asked before a pod gets a persistent volume.
    pub driver: Option<Arc<dyn StorageDriver>>,
}

/// Why a cluster did not start. Nothing of it is left behind.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
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
}

/// A running cluster. Dropping it kills every process of it and removes its files.
pub struct Cluster {
    name: String,
    namespace: String,
    kubeconfig: PathBuf,
    store: Store,
    faults: Faults,
    users: Users,
    requests: RequestLog,
    server: Server,
    node: Node,
    controllers: Controllers,
    /// Last: removed when everything that writes to it has ended.
    directory: Directory,
}

impl Cluster {
    /// Starts an API server, nodes and controllers over the objects there are.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let Config {
            name,
            namespace,
            store,
            ..
        } = config;
        let directory = Directory::create(&config.directory)?;
        let (faults, requests) = (Faults::default(), RequestLog::default());
        let node_config = NodeConfig {
            directory: directory.0.join("node"),
            images: Vec::new(),
            driver: config.driver,
        };
        let node = Node::start(store.clone(), node_config)?;
        let user = User::administrator(&name, uuid::Uuid::new_v4().to_string());
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
        let context = Context {
            name: &name,
            namespace: &namespace,
        };
        kubeconfig::write(&kubeconfig, &server, &user, context).map_err(|source| {
            StartError::Directory {
                directory: directory.0.clone(),
                source,
            }
        })?;
        let mut controllers = Controllers::start(&store, node.disks());
        controllers.publish_certificate(&store, server.ca_pem());
        Ok(Self {
            name,
            namespace,
            kubeconfig,
            store,
            faults,
            users,
            requests,
            server,
            node,
            controllers,
            directory,
        })
    }

    /// Runs a controller of what is installed on the cluster, until the cluster stops.
    pub fn run_controller(&mut self, controller: impl Controller) {
        self.controllers.run(&self.store, controller);
    }

    /// A kubeconfig for the cluster's administrator, readable by its owner alone.
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
        let file = format!("kubeconfig-{}", uuid::Uuid::new_v4());
        let path = self.directory.0.join(file);
        let context = Context {
            name: &self.name,
            namespace: &self.namespace,
        };
        kubeconfig::write(&path, &self.server, &user, context)?;
        self.users.add(user);
        Ok(path)
    }

    /// Lets nobody in by that token from now on, as when it has expired.
    pub fn revoke_token(&self, token: &str) {
        self.users.revoke(token);
    }

    /// The directory of everything it writes.
    pub fn directory(&self) -> &Path {
        &self.directory.0
    }

    /// The API server's address.
    pub fn url(&self) -> String {
        format!("https://{}", self.server.address())
    }

    /// The cluster's objects.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// What runs its pods.
    pub fn node(&self) -> &Node {
        &self.node
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
            controllers,
            ..
        } = self;
        drop(controllers);
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
