//! The S3 server: real, on a directory that has one for each bucket.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s_fs::FileSystem;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::accounts::Accounts;
use crate::world::secrets::Certificate;

/// The server; dropping it stops it.
pub(super) struct Server {
    service: S3Service,
    listening: JoinSet<()>,
}

impl Server {
    pub(super) fn new(buckets: &Path, accounts: Accounts) -> io::Result<Self> {
        let files =
            FileSystem::new(buckets).map_err(|error| io::Error::other(format!("{error:?}")))?;
        let mut service = S3ServiceBuilder::new(files);
        service.set_auth(accounts.clone());
        service.set_access(accounts);
        Ok(Self {
            service: service.build(),
            listening: JoinSet::new(),
        })
    }

    /// Listens at an address, by that certificate.
    pub(super) fn listen(
        &mut self,
        address: &str,
        certificate: &Certificate,
    ) -> io::Result<SocketAddr> {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let address = listener.local_addr()?;
        let acceptor = acceptor(certificate).map_err(io::Error::other)?;
        self.listening
            .spawn(accept(listener, acceptor, self.service.clone()));
        Ok(address)
    }
}

fn acceptor(
    certificate: &Certificate,
) -> Result<TlsAcceptor, Box<dyn std::error::Error + Send + Sync>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let chain = CertificateDer::from_pem_slice(certificate.certificate_pem.as_bytes())?;
    let key = PrivateKeyDer::from_pem_slice(certificate.key_pem.as_bytes())?;
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![chain], key)?;
    Ok(Arc::new(config).into())
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, service: S3Service) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => {
                    connections.spawn(serve(socket, acceptor.clone(), service.clone()));
                }
                Err(error) => tracing::warn!(%error, "a connection could not be accepted"),
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(socket: TcpStream, acceptor: TlsAcceptor, service: S3Service) {
    let stream = match acceptor.accept(socket).await {
        Ok(stream) => stream,
        Err(error) => {
            tracing::debug!(%error, "TLS handshake with the object storage failed");
            return;
        }
    };
    let served = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    if let Err(error) = served.await {
        tracing::debug!(%error, "a connection with the object storage ended early");
    }
}
