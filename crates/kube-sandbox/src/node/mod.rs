//! The cluster's nodes: they run pods as real processes, all of them on this machine.
//!
//! [`Node`] watches the store for pods, as a kubelet watches the API, and gives each a worker (`kubelet`) that has it
//! scheduled, makes its volumes, runs its containers (`container`) and reports its status. [`Node::exec`] and
//! `Node::log` are what a kubelet serves for `kubectl exec` and `kubectl logs`.

mod affinity;
mod attachments;
mod container;
mod driver;
mod environment;
mod events;
mod exec;
mod image;
mod kubelet;
mod launcher;
mod logs;
mod pace;
mod programs;
mod registration;
mod scheduler;
mod spec;
mod state;
mod status;
mod terminal;
mod volumes;

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap},
    io,
    path::PathBuf,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
};

use futures::StreamExt;
use rustix::process::Signal;
use tokio::{
    sync::watch,
    task::{AbortHandle, JoinSet},
};

use attachments::Attachments;
pub use container::Mount;
pub use driver::StorageDriver;
pub use exec::{ExecError, ExecRequest, Process, Resizer};
pub use image::Image;
use launcher::Launcher;
pub use logs::LogOptions;
pub(crate) use logs::LogReader;
pub use pace::Pace;
use pace::Paces;
pub use programs::MissingProgram;
use programs::Programs;
use spec::Pod;
use state::{ContainerPhase, PodRuntime, Record};

use crate::disks::Disks;
use crate::meta::{Object, Status, object, resources};
use crate::store::{EventType, Store};

/// What a node needs to start.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// A directory of this node alone; it is created, and removed by whoever owns the sandbox.
    pub directory: PathBuf,
    /// The images pods may name; any other one cannot be pulled.
    pub images: Vec<Image>,
    /// Asked before a pod gets a persistent volume.
    pub driver: Option<Arc<dyn StorageDriver>>,
}

/// Why the node cannot start.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// A program containers are run with is not installed.
    #[error(transparent)]
    MissingProgram(#[from] MissingProgram),
    /// The node's directory cannot be made, or its launching thread not be started.
    #[error("failed to set up the node in {directory:?}: check that it is writable and has space")]
    Setup {
        /// The node's directory.
        directory: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The API refused the node's own object.
    #[error("failed to register the node")]
    Register(#[source] Status),
}

/// The running node; clones share it. Everything it runs is killed when it is stopped or the last clone is dropped.
#[derive(Clone)]
pub struct Node {
    inner: Arc<Inner>,
    kubelet: Arc<AbortOnDrop>,
}

struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct Inner {
    store: Store,
    launcher: Launcher,
    programs: Programs,
    /// Holds a directory for each pod.
    pod_directories: PathBuf,
    disks: Disks,
    attachments: Attachments,
    paces: Paces,
    /// How large a file of a container's log gets.
    log_file_bytes: Arc<AtomicU64>,
    /// Held by whoever places a pod: the scheduler looks at one at a time.
    scheduling: Mutex<()>,
    /// Holds a directory for each node that stands for the root of its own files.
    hosts: PathBuf,
    images: Mutex<Vec<Image>>,
    driver: Option<Arc<dyn StorageDriver>>,
    /// Second and third byte of the pods' loopback addresses, random so that sandboxes do not meet.
    network: (u8, u8),
    next_host: AtomicU8,
    pods: Mutex<HashMap<(String, String), Arc<PodRuntime>>>,
}

impl Node {
    /// Registers the nodes in the API and begins to run the pods there are.
    pub fn start(store: Store, config: NodeConfig) -> Result<Self, NodeError> {
        let programs = Programs::find()?;
        let setup = |source| NodeError::Setup {
            directory: config.directory.clone(),
            source,
        };
        let pod_directories = config.directory.join("pods");
        let snapshots = config.directory.join("snapshots");
        let disks = Disks::new(config.directory.join("volumes"), snapshots).map_err(setup)?;
        let hosts = config.directory.join("hosts");
        for directory in [&pod_directories, &hosts] {
            std::fs::create_dir_all(directory).map_err(setup)?;
        }
        let launcher = Launcher::start().map_err(setup)?;
        registration::register(&store, &config.directory).map_err(NodeError::Register)?;
        let inner = Arc::new(Inner {
            store,
            launcher,
            programs,
            pod_directories,
            disks,
            attachments: Attachments::default(),
            paces: Paces::default(),
            log_file_bytes: Arc::new(AtomicU64::new(logs::LARGEST_FILE_BYTES)),
            scheduling: Mutex::default(),
            hosts,
            images: Mutex::new(config.images),
            driver: config.driver,
            network: (64 | rand::random::<u8>() & 0x3f, rand::random()),
            next_host: AtomicU8::new(1),
            pods: Mutex::default(),
        });
        let kubelet = tokio::spawn(watch_pods(Arc::clone(&inner))).abort_handle();
        Ok(Self {
            inner,
            kubelet: Arc::new(AbortOnDrop(kubelet)),
        })
    }

    /// The objects of the cluster the node belongs to.
    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    /// The directory that is a persistent volume's content.
    pub fn volume_directory(&self, volume: &str) -> PathBuf {
        self.inner.disks.volume(volume)
    }

    /// What persistent volumes are on.
    pub fn disks(&self) -> &Disks {
        &self.inner.disks
    }

    /// The directory that stands for the root of a node's own files, where pods with a host path look.
    pub fn host_directory(&self, node: &str) -> PathBuf {
        self.inner.host_directory(node)
    }

    /// Adds images that pods may name from now on.
    pub fn add_images(&self, images: impl IntoIterator<Item = Image>) {
        let known = &self.inner.images;
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        known.extend(images);
    }

    /// Sets how long pods with all of these labels take to start and to stop from now on.
    pub fn set_pace(&self, labels: &[(&str, &str)], pace: Pace) {
        let labels = labels.iter();
        let labels: BTreeMap<String, String> = labels
            .map(|(label, value)| ((*label).to_owned(), (*value).to_owned()))
            .collect();
        self.inner.paces.set(labels, pace);
    }

    /// Sets how large a file of a container's log gets before a new one is begun, from now on.
    pub fn set_log_file_bytes(&self, bytes: u64) {
        self.inner.log_file_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Makes an image one that no registry has: it cannot be pulled from now on.
    pub fn forget_image(&self, reference: &str) {
        let images = &self.inner.images;
        let mut images = images.lock().unwrap_or_else(PoisonError::into_inner);
        images.retain(|image| image.reference != reference);
    }

    /// Ends every process of every pod at once, as when all machines lose their power and come back: the pods and their
    /// volumes stay, and their containers are started again as their restart policies say.
    pub fn restart(&self) {
        let pods: Vec<_> = self.inner.pods().values().cloned().collect();
        for runtime in pods {
            for record in runtime.state().records() {
                if let Some(container) = &record.container {
                    container.signal(Signal::KILL);
                }
            }
        }
    }

    /// Kills everything at once and waits until it is dead.
    pub async fn stop(&self) {
        self.kubelet.0.abort();
        self.inner.launcher.close();
        let pods: Vec<_> = self.inner.pods().values().cloned().collect();
        for runtime in pods {
            let containers: Vec<_> = runtime
                .state()
                .records()
                .filter_map(|record| record.container.clone())
                .collect();
            for container in containers {
                container.wait().await;
            }
        }
    }

    /// Whether the node can start a process in the container at all; 404 and 400 as the API server answers, before
    /// the kubelet is asked.
    pub fn check_target(
        &self,
        namespace: &str,
        pod: &str,
        container: Option<&str>,
    ) -> Result<Target, Status> {
        let object = self.inner.store.get(&resources::PODS, namespace, pod)?;
        let container = choose_container(&object, pod, container)?;
        Ok(Target {
            namespace: namespace.to_owned(),
            pod: pod.to_owned(),
            container,
            is_scheduled: object["spec"]["nodeName"].is_string(),
        })
    }

    /// Starts a process in a running container.
    pub async fn exec(&self, target: &Target, request: &ExecRequest) -> Result<Process, ExecError> {
        let record = self.record(target).ok_or(ExecError::NotRunning)?;
        let container = record
            .container
            .filter(|_| matches!(record.phase, ContainerPhase::Running { .. }));
        let container = container.ok_or(ExecError::NotRunning)?;
        exec::start(
            &self.inner.launcher,
            &self.inner.programs,
            &container,
            request,
        )
        .await
    }

    /// Every container that runs at this moment.
    pub fn running_containers(&self) -> Vec<RunningContainer> {
        let pods: Vec<_> = self.inner.pods().values().cloned().collect();
        pods.iter()
            .flat_map(|runtime| {
                let metadata = &runtime.pod.metadata;
                let state = runtime.state();
                let running = |record: &Record| {
                    let container = record.container.as_ref()?;
                    Some(RunningContainer {
                        namespace: metadata.namespace.clone(),
                        pod: metadata.name.clone(),
                        container: record.spec.name.clone(),
                        id: container.config().id.clone(),
                        root: container.root()?,
                    })
                };
                state.records().filter_map(running).collect::<Vec<_>>()
            })
            .collect()
    }

    /// Whether the container runs at this moment.
    pub fn is_running(&self, target: &Target) -> bool {
        self.record(target)
            .is_some_and(|record| record.is_running())
    }

    /// Opens a container's log, of its present run or of the one before.
    pub(crate) async fn log(
        &self,
        target: &Target,
        previous: bool,
        options: LogOptions,
    ) -> Result<LogReader, Status> {
        let (pod, container) = (&target.pod, &target.container);
        let record = self.record(target);
        let log =
            record.and_then(|record| choose_log(record, previous, pod, container).transpose());
        let log = log.unwrap_or_else(|| {
            let message = format!("container {container:?} in pod {pod:?} is not available");
            Err(Status::bad_request(message))
        })?;
        log.read(options)
            .await
            .map_err(|error| Status::internal(format!("failed to open the log: {error}")))
    }

    fn record(&self, target: &Target) -> Option<Record> {
        let runtime = self
            .inner
            .pods()
            .get(&(target.namespace.clone(), target.pod.clone()))
            .cloned()?;
        runtime.record(&target.container)
    }
}

/// A container that a request is about; it exists in its pod's manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Namespace of the pod.
    pub namespace: String,
    /// Name of the pod.
    pub pod: String,
    /// Name of the container.
    pub container: String,
    /// Whether the pod has a node already.
    pub is_scheduled: bool,
}

/// A container that runs, for whoever looks into it without being in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunningContainer {
    /// Namespace of the pod.
    pub namespace: String,
    /// Name of the pod.
    pub pod: String,
    /// Name of the container.
    pub container: String,
    /// Its id; another one after a restart.
    pub id: String,
    /// The root of its files as this machine sees it; its `proc` shows the container's processes.
    pub root: PathBuf,
}

/// The rules of the API server's `validateContainer`.
fn choose_container(object: &Object, pod: &str, wanted: Option<&str>) -> Result<String, Status> {
    let names = |field: &str| -> Vec<String> {
        let containers = object["spec"][field].as_array().into_iter().flatten();
        containers
            .filter_map(|container| container["name"].as_str().map(str::to_owned))
            .collect()
    };
    let (main, init) = (names("containers"), names("initContainers"));
    match wanted {
        Some(wanted) if main.iter().chain(&init).any(|name| name == wanted) => {
            Ok(wanted.to_owned())
        }
        Some(wanted) => Err(Status::bad_request(format!(
            "container {wanted} is not valid for pod {pod}"
        ))),
        None => match main.as_slice() {
            [only] => Ok(only.clone()),
            several => Err(Status::bad_request(name_one(pod, several, &init))),
        },
    }
}

fn name_one(pod: &str, main: &[String], init: &[String]) -> String {
    let choice = format!(
        "a container name must be specified for pod {pod}, choose one of: [{}]",
        main.join(" ")
    );
    if init.is_empty() {
        return choice;
    }
    format!(
        "{choice} or one of the init containers: [{}]",
        init.join(" ")
    )
}

/// The rules of the kubelet's `validateContainerLogStatus`.
fn choose_log(
    record: Record,
    previous: bool,
    pod: &str,
    container: &str,
) -> Result<Option<logs::LogFile>, Status> {
    if previous {
        let log = if matches!(record.phase, ContainerPhase::Waiting { .. }) {
            record.log
        } else {
            record.previous_log
        };
        return match record.last.and(log) {
            Some(log) => Ok(Some(log)),
            None => Err(Status::bad_request(format!(
                "previous terminated container {container:?} in pod {pod:?} not found"
            ))),
        };
    }
    match (record.log, record.phase) {
        (Some(log), _) => Ok(Some(log)),
        (None, ContainerPhase::Waiting { reason, .. }) => {
            let why = match reason {
                "ErrImagePull" => "image can't be pulled",
                "ImagePullBackOff" => "trying and failing to pull image",
                other => other,
            };
            Err(Status::bad_request(format!(
                "container {container:?} in pod {pod:?} is waiting to start: {why}"
            )))
        }
        (None, ContainerPhase::Terminated(_)) => Err(Status::bad_request(format!(
            "container {container:?} in pod {pod:?} is terminated"
        ))),
        (None, ContainerPhase::Running { .. }) => Ok(None),
    }
}

impl Inner {
    fn pods(&self) -> MutexGuard<'_, HashMap<(String, String), Arc<PodRuntime>>> {
        self.pods.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn image(&self, reference: &str) -> Option<Image> {
        let images = self.images.lock().unwrap_or_else(PoisonError::into_inner);
        images
            .iter()
            .find(|image| image.reference == reference)
            .cloned()
    }

    fn next_pod_ip(&self) -> String {
        let host = self.next_host.fetch_add(1, Ordering::Relaxed).max(1);
        format!("127.{}.{}.{host}", self.network.0, self.network.1)
    }

    fn pod_directory(&self, pod: &Pod) -> PathBuf {
        self.pod_directories.join(&pod.metadata.uid)
    }

    fn host_directory(&self, node: &str) -> PathBuf {
        self.hosts.join(node)
    }

    fn register(&self, runtime: &Arc<PodRuntime>) {
        self.pods().insert(key(&runtime.pod), Arc::clone(runtime));
    }

    fn forget(&self, runtime: &Arc<PodRuntime>) {
        let mut pods = self.pods();
        if pods
            .get(&key(&runtime.pod))
            .is_some_and(|known| Arc::ptr_eq(known, runtime))
        {
            pods.remove(&key(&runtime.pod));
        }
    }
}

fn key(pod: &Pod) -> (String, String) {
    (pod.metadata.namespace.clone(), pod.metadata.name.clone())
}

/// Gives each pod a worker and tells it of every change of its object.
async fn watch_pods(node: Arc<Inner>) {
    let mut workers = JoinSet::new();
    let mut senders: HashMap<String, watch::Sender<Option<Object>>> = HashMap::new();
    loop {
        let mut events = pin!(node.store.watch(&resources::PODS, None, None));
        // An error means that the watch fell behind; a new one starts with everything there is.
        while let Some(Ok(event)) = events.next().await {
            while workers.try_join_next().is_some() {}
            let uid = object::uid(&event.object).to_owned();
            if event.event == EventType::Deleted {
                if let Some(sender) = senders.remove(&uid) {
                    sender.send_replace(None);
                }
            } else if let Some(sender) = senders.get(&uid) {
                sender.send_replace(Some(event.object));
            } else if let Some(pod) = read(&event.object) {
                let (sender, changes) = watch::channel(Some(event.object));
                senders.insert(uid, sender);
                workers.spawn(kubelet::run(Arc::clone(&node), pod, changes));
            }
        }
    }
}

fn read(object: &Object) -> Option<Pod> {
    Pod::read(object)
        .inspect_err(|error| tracing::warn!(pod = object::name(object), %error, "a pod's manifest makes no sense"))
        .ok()
}
