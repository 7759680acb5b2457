//! The object storage of OpenShift Data Foundation (NooBaa), with which Watson Assistant comes on every storage: buckets
//! by claims, a real S3 server, its Service and its Route.
//!
//! The server runs in the cluster's own process, with a certificate of the service CA; the pod behind the Service stands for
//! it, so that it is reached by a port-forward. The router that the Route is for is a second address of the same server, with
//! a certificate of its own: what a router does between the two is left out. Both certificates' authorities are published
//! where OpenShift does.
//!
//! Left out: quotas, other bucket classes, and what NooBaa does otherwise than Amazon.

mod accounts;
mod certificates;
mod manifests;
mod provisioner;
mod server;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use kube_sandbox::meta::resources;
use kube_sandbox::node::Image;
use kube_sandbox::store::Store;

use super::manifests::neighbours::STORAGE_NAMESPACE;
use super::secrets::Authority;
use super::{Names, WorldError, address, create, create_all, kinds};
use accounts::Accounts;
pub(crate) use certificates::Certificates;
pub(crate) use provisioner::Provisioner;
use server::Server;

/// The claim that is there from the beginning, in the namespace of the instance.
pub const BUCKET_CLAIM: &str = "wa-backups";
/// The class of claims.
const CLASS: &str = "openshift-storage.noobaa.io";
/// The Service, and where its name leads.
const SERVICE: &str = "s3";
const HOST: &str = "s3.openshift-storage.svc";
const PORT: u16 = 443;
const POD_PORT: u16 = 6443;
/// The host of the Route: nobody can resolve it.
pub const ROUTE_HOST: &str = "s3-openshift-storage.apps.practice.example";

/// The running object storage; dropping it stops the server.
pub(crate) struct ObjectStorage {
    buckets: PathBuf,
    accounts: Accounts,
    service_ca: String,
    ingress_ca: String,
    router: SocketAddr,
    _server: Server,
}

impl ObjectStorage {
    /// The image of its pods.
    pub(crate) fn image() -> Image {
        Image::of_this_machine(manifests::IMAGE)
    }

    /// Starts the server, with its buckets in that directory, and creates the objects.
    pub(crate) fn install(
        store: &Store,
        names: &Names,
        directory: &Path,
    ) -> Result<Self, WorldError> {
        let buckets = directory.join("buckets");
        std::fs::create_dir(&buckets).map_err(failed)?;
        let service_ca = Authority::generate("openshift-service-serving-signer")?;
        let ingress_ca = Authority::generate("ingress-operator")?;
        let full = format!("{HOST}.cluster.local");
        let of_service = service_ca.issue(HOST, vec![HOST.to_owned(), full])?;
        let of_route = ingress_ca.issue("*.apps", vec![ROUTE_HOST.to_owned()])?;
        let address = address(&[POD_PORT])?;
        let accounts = Accounts::default();
        let mut server = Server::new(&buckets, accounts.clone()).map_err(failed)?;
        let at = |address: &str, port| format!("{address}:{port}");
        server
            .listen(&at(&address, POD_PORT), &of_service)
            .map_err(failed)?;
        let router = server.listen(&at(&address, 0), &of_route).map_err(failed)?;

        create(store, &resources::STORAGE_CLASSES, manifests::class())?;
        create(store, &resources::DEPLOYMENTS, manifests::deployment())?;
        create(store, &resources::SERVICES, manifests::service(&address))?;
        create(store, &kinds::ROUTES, manifests::route())?;
        let claims = [manifests::claim(names)];
        create_all(store, &kinds::OBJECT_BUCKET_CLAIMS, claims)?;
        Ok(Self {
            buckets,
            accounts,
            service_ca: service_ca.certificate_pem,
            ingress_ca: ingress_ca.certificate_pem,
            router,
            _server: server,
        })
    }

    /// What provides buckets to claims.
    pub(crate) fn provisioner(&self) -> Provisioner {
        Provisioner {
            buckets: self.buckets.clone(),
            accounts: self.accounts.clone(),
        }
    }

    /// What publishes the certificates' authorities.
    pub(crate) fn certificates(&self) -> Certificates {
        Certificates {
            service_ca: self.service_ca.clone(),
            ingress_ca: self.ingress_ca.clone(),
        }
    }

    /// Where the router listens that takes requests for the Route's host.
    pub(crate) fn router(&self) -> SocketAddr {
        self.router
    }

    /// The directory that has one for each bucket.
    pub(crate) fn buckets(&self) -> &Path {
        &self.buckets
    }
}

fn failed(source: io::Error) -> WorldError {
    WorldError::Io {
        what: "start the object storage",
        source,
    }
}
