//! One request to the running cluster's API server.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use axum::body::{Body, to_bytes};
use base64::{Engine, prelude::BASE64_STANDARD};
use http::{Method, Request, header};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// More than any answer to this program.
const ANSWER_BYTES: usize = 16 << 20;

/// Sends a request with the kubeconfig's credentials and returns the answer's JSON.
pub(super) async fn request(
    kubeconfig: &Path,
    method: Method,
    path: &str,
    body: String,
) -> anyhow::Result<Value> {
    let server =
        Server::read(kubeconfig).with_context(|| format!("cannot use {}", kubeconfig.display()))?;
    let stream = server
        .connect()
        .await
        .with_context(|| format!("cannot connect to {}", server.authority))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, &server.authority)
        .header(header::AUTHORIZATION, format!("Bearer {}", server.token))
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(body))?;
    let answer = sender.send_request(request).await?;
    let status = answer.status();
    let bytes = to_bytes(Body::new(answer.into_body()), ANSWER_BYTES).await?;
    let json: Value = serde_json::from_slice(&bytes).context("the answer is no JSON")?;
    if !status.is_success() {
        bail!(
            "{}",
            json["message"].as_str().unwrap_or("the cluster refused")
        );
    }
    Ok(json)
}

struct Server {
    authority: String,
    token: String,
    roots: RootCertStore,
}

impl Server {
    /// Reads a kubeconfig as this program writes it.
    fn read(kubeconfig: &Path) -> anyhow::Result<Self> {
        let config: Value = serde_json::from_slice(&fs::read(kubeconfig)?)?;
        let cluster = &config["clusters"][0]["cluster"];
        let text =
            |value: &Value, what: &'static str| value.as_str().map(str::to_owned).context(what);
        let url = text(&cluster["server"], "it names no server")?;
        let ca = BASE64_STANDARD.decode(text(
            &cluster["certificate-authority-data"],
            "it has no certificate",
        )?)?;
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(&ca)?)?;
        Ok(Self {
            authority: url.trim_start_matches("https://").to_owned(),
            token: text(&config["users"][0]["user"]["token"], "it has no token")?,
            roots,
        })
    }

    async fn connect(&self) -> anyhow::Result<tokio_rustls::client::TlsStream<TcpStream>> {
        let config =
            ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()?
                .with_root_certificates(self.roots.clone())
                .with_no_client_auth();
        let stream = TcpStream::connect(&self.authority).await?;
        let name = ServerName::IpAddress(stream.peer_addr()?.ip().into());
        Ok(TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await?)
    }
}
