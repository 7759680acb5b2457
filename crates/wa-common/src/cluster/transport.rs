//! Sends requests to one API server: the path in front, who asks, which program asks, and through which proxy.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use http::header::{HeaderMap, HeaderValue, USER_AGENT};
use http::{Request, Response, StatusCode, Uri};
use hyper::body::Incoming;
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_timeout::TimeoutConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::{SocksV5, Tunnel};
use hyper_util::client::legacy::{Client as HttpClient, connect};
use hyper_util::rt::TokioExecutor;
use kube::client::Body;
use kube_transfer::exec::CredentialsError;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tower::{BoxError, Service};

use super::credentials::{CredentialError, Credentials};
use super::server_url::basic;

type Sent = Pin<Box<dyn Future<Output = Result<Response<Incoming>, BoxError>> + Send>>;
/// Sends one request over a connection of the pool.
type Sender = Arc<dyn Fn(Request<Body>) -> Sent + Send + Sync>;

/// How connections are made.
pub(super) struct Route {
    pub(super) tls: ClientConfig,
    /// Expected in the certificate, where that is not the host's name.
    pub(super) server_name: Option<ServerName<'static>>,
    pub(super) proxy: Option<Uri>,
    pub(super) connect_timeout: Option<Duration>,
}

/// Connections that are kept for the next request, and can all be let go of.
#[derive(Clone)]
pub(super) struct Pool {
    route: Arc<Route>,
    send: Arc<Mutex<Sender>>,
}

impl Pool {
    pub(super) fn new(route: Route) -> Self {
        let route = Arc::new(route);
        let send = Arc::new(Mutex::new(sender(&route)));
        Self { route, send }
    }

    /// Makes the next request on a new connection: the ones there are were made as somebody else.
    pub(super) fn renew(&self) {
        *self.send.lock().unwrap_or_else(PoisonError::into_inner) = sender(&self.route);
    }

    fn send(&self, request: Request<Body>) -> Sent {
        let send = Arc::clone(&self.send.lock().unwrap_or_else(PoisonError::into_inner));
        send(request)
    }
}

fn sender(route: &Route) -> Sender {
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    let Some(proxy) = &route.proxy else {
        return pooled(route, http);
    };
    match proxy.scheme_str() {
        Some("socks5") => pooled(route, SocksV5::new(proxy.clone(), http)),
        Some("https") => {
            // The name that is expected of the API server is not the proxy's.
            let to_proxy = https(route.tls.clone(), None, http);
            pooled(
                route,
                with_password(proxy, Tunnel::new(proxy.clone(), to_proxy)),
            )
        }
        _ => pooled(
            route,
            with_password(proxy, Tunnel::new(proxy.clone(), http)),
        ),
    }
}

fn with_password<C>(proxy: &Uri, tunnel: Tunnel<C>) -> Tunnel<C> {
    let authority = proxy.authority().map_or("", |authority| authority.as_str());
    let user = authority.rsplit_once('@').map(|(user, _)| user);
    match user.and_then(basic) {
        Some(header) => tunnel.with_auth(header),
        None => tunnel,
    }
}

fn https<C>(
    tls: ClientConfig,
    name: Option<ServerName<'static>>,
    connector: C,
) -> HttpsConnector<C> {
    let builder = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http();
    let builder = match name {
        Some(name) => builder.with_server_name_resolver(FixedServerNameResolver::new(name)),
        None => builder,
    };
    // WebSockets are opened with HTTP/1.1.
    builder.enable_http1().wrap_connector(connector)
}

fn pooled<C>(route: &Route, connector: C) -> Sender
where
    C: Service<Uri> + Clone + Send + Sync + 'static,
    C::Response: connect::Connection + hyper::rt::Read + hyper::rt::Write + Send + Unpin + 'static,
    C::Future: Send + 'static,
    C::Error: Into<BoxError>,
{
    let connector = https(route.tls.clone(), route.server_name.clone(), connector);
    let mut connector = TimeoutConnector::new(connector);
    connector.set_connect_timeout(route.connect_timeout);
    let client: HttpClient<_, Body> = HttpClient::builder(TokioExecutor::new()).build(connector);
    Arc::new(move |request| {
        let sent = client.request(request);
        Box::pin(async move { sent.await.map_err(BoxError::from) })
    })
}

/// The service under a [`kube::Client`].
#[derive(Clone)]
pub(super) struct Transport {
    base: Uri,
    headers: HeaderMap,
    credentials: Arc<Credentials>,
    pool: Pool,
}

impl Transport {
    /// Requests go to `base` with `headers`, those of impersonation, in the name of the program `agent`.
    pub(super) fn new(
        base: Uri,
        mut headers: HeaderMap,
        agent: HeaderValue,
        credentials: Arc<Credentials>,
        pool: Pool,
    ) -> Self {
        headers.insert(USER_AGENT, agent);
        Self {
            base,
            headers,
            credentials,
            pool,
        }
    }

    async fn send(self, mut request: Request<Body>) -> Result<Response<Incoming>, BoxError> {
        let path = request
            .uri()
            .path_and_query()
            .map_or("/", |path| path.as_str());
        let uri: Uri = self.at(path)?;
        let method = request.method().clone();
        *request.uri_mut() = uri.clone();
        for (name, value) in &self.headers {
            request.headers_mut().append(name, value.clone());
        }
        let begun = Instant::now();
        let response = self.authorized(request).await;
        let status = match &response {
            Ok(response) => response.status().to_string(),
            Err(_) => "not answered".to_owned(),
        };
        tracing::debug!("{method} {uri} {status} in {:?}", begun.elapsed());
        response
    }

    /// A request that was refused for its credentials has done nothing, so it may be sent again with others.
    async fn authorized(&self, mut request: Request<Body>) -> Result<Response<Incoming>, BoxError> {
        let again = copy(&request);
        let used = self
            .credentials
            .authorize(request.headers_mut())
            .await
            .map_err(|error| told(&error))?;
        let response = self.pool.send(request).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            self.credentials.accepted(used).await;
            return Ok(response);
        }
        let Some(mut again) = again else {
            return Ok(response);
        };
        if !self
            .credentials
            .refused(used)
            .await
            .map_err(|error| told(&error))?
        {
            return Ok(response);
        }
        let used = self
            .credentials
            .authorize(again.headers_mut())
            .await
            .map_err(|error| told(&error))?;
        let response = self.pool.send(again).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            self.credentials.accepted(used).await;
        }
        Ok(response)
    }

    /// A path below the server's own.
    fn at(&self, path: &str) -> Result<Uri, http::Error> {
        let mut parts = self.base.clone().into_parts();
        let prefix = self.base.path().trim_end_matches('/');
        parts.path_and_query = Some(format!("{prefix}{path}").parse()?);
        Ok(Uri::from_parts(parts)?)
    }
}

fn copy(request: &Request<Body>) -> Option<Request<Body>> {
    let mut copy = Request::new(request.body().try_clone()?);
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    Some(copy)
}

fn told(error: &CredentialError) -> BoxError {
    Box::new(CredentialsError::new(error.to_string()))
}

impl Service<Request<Body>> for Transport {
    type Response = Response<Incoming>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.clone().send(request))
    }
}
