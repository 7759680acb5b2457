//! The listening side: TCP on loopback, TLS, HTTP/1.1 and HTTP/2.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::Api;
use super::tls::{self, TlsError};

/// Why the API server does not start.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// No certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The port cannot be had.
    #[error("cannot listen on 127.0.0.1:{port}; choose another port, or none to get a free one")]
    Listen {
        /// The port asked for, 0 for any.
        port: u16,
        /// What the system says.
        source: io::Error,
    },
}

/// A running API server; dropping it stops it.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    ca_pem: String,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Server {
    /// Listens on loopback, on a free port if none is given, and serves.
    pub async fn start(api: Api, port: Option<u16>) -> Result<Self, ServerError> {
        let identity = tls::identity()?;
        let port = port.unwrap_or(0);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
            .await
            .map_err(|source| ServerError::Listen { port, source })?;
        let address = listener
            .local_addr()
            .map_err(|source| ServerError::Listen { port, source })?;
        let stop = watch::Sender::new(false);
        let acceptor = TlsAcceptor::from(identity.config);
        let task = tokio::spawn(listen(listener, address, acceptor, api, stop.subscribe()));
        Ok(Self {
            address,
            ca_pem: identity.ca_pem,
            stop,
            task,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The certificate authority clients trust it by.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// Stops listening and cuts every connection.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        // The task ends by itself after the line above; it has nothing to report.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        self.task.abort();
    }
}

/// Accepts until told to stop. While connections are to be refused there is no listener at all, so that clients see
/// what they would see without a server.
async fn listen(
    listener: TcpListener,
    address: SocketAddr,
    acceptor: TlsAcceptor,
    api: Api,
    mut stop: watch::Receiver<bool>,
) {
    let mut refusing = api.faults.refuses_connections();
    let mut listener = Some(listener);
    loop {
        let Some(open) = &listener else {
            tokio::select! {
                _ = refusing.wait_for(|refusing| !refusing) => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
            match TcpListener::bind(address).await {
                Ok(again) => listener = Some(again),
                Err(error) => tracing::warn!(%address, %error, "cannot listen again"),
            }
            continue;
        };
        let cut = cut(refusing.clone(), stop.clone());
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            _ = refusing.wait_for(|refusing| *refusing) => listener = None,
            accepted = open.accept() => match accepted {
                Ok((stream, _)) => {
                    // As servers in Go do.
                    if let Err(error) = stream.set_nodelay(true) {
                        tracing::debug!(%error, "a connection is slow to send small packets");
                    }
                    tokio::spawn(serve(Severable { stream, cut: Box::pin(cut) }, acceptor.clone(), api.clone()));
                }
                Err(error) => tracing::warn!(%error, "a connection could not be accepted"),
            },
        }
    }
}

async fn cut(mut refusing: watch::Receiver<bool>, mut stop: watch::Receiver<bool>) {
    tokio::select! {
        _ = refusing.wait_for(|refusing| *refusing) => {}
        _ = stop.wait_for(|stop| *stop) => {}
    }
}

async fn serve(stream: Severable, acceptor: TlsAcceptor, api: Api) {
    let stream = match acceptor.accept(stream).await {
        Ok(stream) => stream,
        Err(error) => {
            tracing::debug!(%error, "TLS handshake failed");
            return;
        }
    };
    let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let api = api.clone();
        async move { api.handle(request.map(Body::new)).await }
    });
    let served = auto::Builder::new(TokioExecutor::new())
        .serve_connection_with_upgrades(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// A connection that can be cut from outside, also after it was upgraded and handed on.
struct Severable {
    stream: TcpStream,
    cut: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Severable {
    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match self.cut.as_mut().poll(context) {
            Poll::Ready(()) => {
                self.cut = Box::pin(std::future::ready(()));
                Err(io::ErrorKind::ConnectionAborted.into())
            }
            Poll::Pending => Ok(()),
        }
    }
}

impl AsyncRead for Severable {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Severable {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
