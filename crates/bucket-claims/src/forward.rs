//! An address of this machine behind which is a port of a pod.
//!
//! Each connection that is made here is one through the API server of its own, to whichever pod is ready then. It listens on
//! the loopback interface, at a port that the system chooses, for as long as the command runs. Whoever is on this machine can
//! connect with it, and comes as far as with the endpoint itself: requests there are signed with keys that are not here.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt as _;
use kube_transfer::exec::StreamOptions;
use kube_transfer::forward::{Forward, PodPort};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use wa_common::cluster::{Cluster, pod_is_ready};
use wa_common::report::causes_text;

/// Until the next one is accepted after an error, such as too many open files.
const PAUSE: Duration = Duration::from_millis(100);

/// What stands behind a port of a Service.
#[derive(Clone)]
pub(crate) struct Backend {
    /// In the Service's namespace.
    pub(crate) cluster: Cluster,
    /// What the Service is called in messages.
    pub(crate) service: String,
    /// The labels of its pods.
    pub(crate) labels: String,
    /// The port of a pod, or the name of one of its ports.
    pub(crate) port: IntOrString,
}

impl Backend {
    /// The port of a pod that is ready.
    pub(crate) async fn pod(&self) -> anyhow::Result<PodPort> {
        let pods = self
            .cluster
            .list_matching(&self.labels, pod_is_ready)
            .await?;
        let pod = pods
            .into_iter()
            .min_by_key(kube::ResourceExt::name_any)
            .with_context(|| format!("no pod behind {} is ready", self.service))?;
        let port = self.port_of(&pod);
        let port = port.with_context(|| {
            let pod = pod.name_any();
            format!("pod {pod} has not the port that {} leads to", self.service)
        })?;
        Ok(PodPort {
            namespace: self.cluster.namespace().to_owned(),
            pod: pod.name_any(),
            port,
        })
    }

    fn port_of(&self, pod: &Pod) -> Option<u16> {
        let number = match &self.port {
            IntOrString::Int(number) => *number,
            IntOrString::String(name) => {
                let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
                let mut ports = containers.flat_map(|container| container.ports.iter().flatten());
                let named = ports.find(|port| port.name.as_ref() == Some(name))?;
                named.container_port
            }
        };
        u16::try_from(number).ok()
    }

    async fn connect(&self, socket: TcpStream) -> anyhow::Result<()> {
        let pod = self.pod().await?;
        let options = StreamOptions::default();
        let forward = Forward::open(self.cluster.client(), &pod, &options).await?;
        Ok(forward.carry(socket).await?)
    }
}

/// Why the last connection that failed did so, in words.
#[derive(Clone, Default)]
pub(crate) struct Failure(Arc<Mutex<Option<String>>>);

impl Failure {
    pub(crate) fn take(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn set(&self, why: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
    }
}

/// Listens until it is dropped.
pub(crate) struct Listener {
    address: SocketAddr,
    failure: Failure,
    _accepting: JoinSet<()>,
}

impl Listener {
    pub(crate) async fn open(backend: Backend) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let failure = Failure::default();
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, backend, failure.clone()));
        Ok(Self {
            address,
            failure,
            _accepting: accepting,
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn failure(&self) -> Failure {
        self.failure.clone()
    }
}

async fn accept(listener: TcpListener, backend: Backend, failure: Failure) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => {
                    let (backend, failure) = (backend.clone(), failure.clone());
                    connections.spawn(async move {
                        if let Err(error) = backend.connect(socket).await {
                            let why = causes_text(error.as_ref());
                            tracing::debug!(why, "a connection to the object storage ended");
                            failure.set(why);
                        }
                    });
                }
                Err(error) => {
                    tracing::debug!(%error, "a connection could not be accepted");
                    tokio::time::sleep(PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}
