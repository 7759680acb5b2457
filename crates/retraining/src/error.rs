//! Why something of a retraining cannot be found out.

use kube_transfer::DownloadError;
use thiserror::Error;
use wa_common::assistant::AssistantError;
use wa_common::assistant::OperatorError;
use wa_common::cluster::ClusterError;
use wa_common::report::printable;

/// Why something of a retraining cannot be found out.
#[derive(Debug, Error)]
pub enum RetrainError {
    /// The API server did not say.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// An annotation of the operator's cannot be read.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// The installation is not what it should be.
    #[error(transparent)]
    Assistant(#[from] AssistantError),
    /// No etcd pod exists, or none is Ready.
    #[error(
        "no etcd pod of instance {instance:?} is Ready in namespace {namespace:?}: {found}; repair etcd, or give the number of workspaces with --workspaces"
    )]
    NoEtcdPod {
        /// The instance.
        instance: String,
        /// The namespace searched.
        namespace: String,
        /// What was found instead.
        found: String,
    },
    /// etcd does not let root in.
    #[error(
        "etcd in pod {pod} refuses the user root with the password of /var/run/credentials/pass.key: {}; was the password changed in the secret and not in etcd? --workspaces takes the number of workspaces",
        printable(said)
    )]
    EtcdRefused {
        /// The pod.
        pod: String,
        /// What etcdctl said.
        said: String,
    },
    /// The command in the pod failed.
    #[error("cannot count the workspaces through pod {pod}; --workspaces takes their number")]
    Etcd {
        /// The pod.
        pod: String,
        /// Why.
        #[source]
        source: DownloadError,
    },
    /// etcdctl's answer cannot be read.
    #[error(
        "cannot count the workspaces through pod {pod}: etcdctl's answer has no count; --workspaces takes their number"
    )]
    EtcdAnswer {
        /// The pod.
        pod: String,
    },
    /// The operator was not found.
    #[error(transparent)]
    Operator(#[from] OperatorError),
    /// The operator does not run.
    #[error(
        "Deployment ibm-watson-assistant-operator in namespace {namespace} {state}: without it no patch takes effect, and deleting one hangs; go on with that restore first (`kubectl wa-restore status`), or scale the operator to what it should have"
    )]
    OperatorDown {
        /// Its namespace.
        namespace: String,
        /// How it is down.
        state: String,
    },
    /// A Deployment that retraining needs does not exist.
    #[error(
        "no Deployment {name:?} in namespace {namespace:?}; is the installation complete? see `kubectl get deployments -n {namespace}`"
    )]
    NoDeployment {
        /// The Deployment.
        name: String,
        /// The namespace searched.
        namespace: String,
    },
    /// The Deployment of store-admin has no container of that name.
    #[error(
        "Deployment {deployment:?} has no container {container:?}, whose environment starts the retraining"
    )]
    NoContainer {
        /// The Deployment.
        deployment: String,
        /// The container.
        container: &'static str,
    },
    /// The API server does not serve a kind of the product.
    #[error(
        "the API server serves no kind {kind} in {api_version}; is Watson Assistant's operator installed on this cluster? A kind of the same name of another product is not meant"
    )]
    NoKind {
        /// The kind.
        kind: &'static str,
        /// The group and version.
        api_version: &'static str,
    },
    /// The custom resource that is to be patched does not exist.
    #[error(
        "no {kind} {name:?} in namespace {namespace:?}, which the patches are for; is the installation complete?"
    )]
    NoCustomResource {
        /// Its kind.
        kind: &'static str,
        /// Its name.
        name: String,
        /// The namespace searched.
        namespace: String,
    },
}

/// An annotation is not the map that it should be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the annotation {annotation} of {kind} {name:?} is not a JSON map of patches")]
pub struct Unreadable {
    /// The annotation.
    pub annotation: &'static str,
    /// The kind of the object.
    pub kind: String,
    /// Its name.
    pub name: String,
}
