//! A plain HTTPS client.

use std::sync::Arc;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, USER_AGENT};
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::Cluster;

/// What to send; the token is the administrator's unless there are headers that say otherwise.
#[derive(Debug, Clone)]
pub(crate) struct Call<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) headers: Vec<(&'a str, &'a str)>,
    pub(crate) body: Option<String>,
}

impl<'a> Call<'a> {
    pub(crate) fn get(path: &'a str) -> Self {
        Self {
            method: "GET",
            path,
            headers: Vec::new(),
            body: None,
        }
    }

    pub(crate) fn send(method: &'a str, path: &'a str, body: &Value) -> Self {
        Self {
            method,
            path,
            headers: Vec::new(),
            body: Some(body.to_string()),
        }
    }

    pub(crate) fn header(mut self, name: &'a str, value: &'a str) -> Self {
        self.headers.push((name, value));
        self
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }
}

impl Cluster {
    /// Sends a request on a connection of its own and reads the whole answer.
    pub(crate) async fn call(&self, call: Call<'_>) -> Answer {
        let response = self.open(call).await.expect("no answer");
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            text: String::from_utf8(bytes.to_vec()).unwrap(),
        }
    }

    /// Sends a request and returns as soon as the answer begins.
    pub(crate) async fn open(
        &self,
        call: Call<'_>,
    ) -> Result<Response<Incoming>, Box<dyn std::error::Error>> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(
            self.server.ca_pem().as_bytes(),
        )?)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let stream = TcpStream::connect(self.server.address()).await?;
        let name = ServerName::from(self.server.address().ip());
        let stream = TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(sender.send_request(self.request(call)?).await?)
    }

    fn request(&self, call: Call<'_>) -> hyper::http::Result<Request<Full<Bytes>>> {
        let mut request = Request::builder().method(call.method).uri(call.path);
        let given = |name: &str| {
            call.headers
                .iter()
                .any(|(given, _)| given.eq_ignore_ascii_case(name))
        };
        for (name, value) in [
            (HOST, self.server.address().to_string().as_str()),
            (AUTHORIZATION, "Bearer admins-token"),
            (ACCEPT, "application/json"),
            (CONTENT_TYPE, "application/json"),
            (USER_AGENT, "python-requests/2.0"),
        ] {
            if !given(name.as_str()) {
                request = request.header(name, value);
            }
        }
        for (name, value) in &call.headers {
            request = request.header(*name, *value);
        }
        request.body(Full::from(call.body.unwrap_or_default()))
    }
}
