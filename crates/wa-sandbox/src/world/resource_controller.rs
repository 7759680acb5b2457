//! The resource controller: knows the service instances of the cluster, and tells them to whoever has a token.
//!
//! Releases before 5.2.1 ask it by the gateway, with the token of each user who owns instances; later ones ask the core
//! of the platform, with the token of the service broker. Only the one that the release has is there. Its answers are
//! made for the stand-in of pgmig: what the real one is asked and answers is not public.
//!
//! Left out: TLS, and everything but a list.

use std::fs::{DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::routing::get;
use axum::{Json, Router};
use http::{HeaderMap, StatusCode, header};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::Names;
use super::secrets::Credentials;
use super::tenants::Tenant;

/// The port of the gateway, where user tokens are taken.
pub(super) const GATEWAY_PORT: u16 = 5000;
/// The port of the platform's core, where the service token is taken.
pub(super) const CORE_PORT: u16 = 4444;
/// The service of the platform's core.
pub(super) const CORE: &str = "zen-core-api-svc";
/// The users who own instances, each of whom has a token.
pub(super) const USERS: [&str; 2] = ["admin", "developer"];

/// The running resource controller; dropping this stops it.
pub(super) struct ResourceController {
    _task: JoinSet<()>,
}

/// Who may see what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shown {
    /// The token that shows it.
    token: String,
    /// What kind of instances it is asked for, where it is asked for one.
    kind: Option<&'static str>,
    instances: Value,
}

/// What each user may see of an instance of the product.
pub(super) fn by_users(credentials: &Credentials, tenants: &[Tenant]) -> Vec<Shown> {
    let instances: Vec<_> = tenants.iter().filter(|one| one.is_instance()).collect();
    let shown = (0..)
        .zip(&credentials.user_tokens)
        .map(|(user, token)| Shown {
            token: token.clone(),
            kind: None,
            instances: list(owned_by(user, &instances)),
        });
    shown.collect()
}

/// What the service broker may see of an instance of the product.
pub(super) fn by_service(token: &str, names: &Names, tenants: &[Tenant]) -> Shown {
    let orchestrate = names.instance == super::ORCHESTRATE;
    Shown {
        token: token.to_owned(),
        kind: Some(if orchestrate {
            "orchestrate"
        } else {
            "assistant"
        }),
        instances: list(tenants.iter().filter(|one| one.is_instance())),
    }
}

impl ResourceController {
    /// Listens where the gateway does.
    pub(super) fn start_at_gateway(address: &str, shown: Vec<Shown>) -> io::Result<Self> {
        let path = "/api/ibmcloud/resource-controller/resource_instances";
        Self::start((address, GATEWAY_PORT), path, shown)
    }

    /// Listens where the platform's core does.
    pub(super) fn start_at_core(address: &str, shown: Vec<Shown>) -> io::Result<Self> {
        Self::start((address, CORE_PORT), "/v3/service_instances", shown)
    }

    fn start(at: (&str, u16), path: &str, shown: Vec<Shown>) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind(at)?;
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let router = Router::new()
            .route(path, get(answer))
            .with_state(Arc::new(shown));
        let mut task = JoinSet::new();
        task.spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::warn!(%error, "the resource controller has ended");
            }
        });
        Ok(Self { _task: task })
    }
}

/// Every third instance belongs to the second user: one token alone does not show them all.
fn owned_by<'a>(user: usize, instances: &[&'a Tenant]) -> impl Iterator<Item = &'a Tenant> {
    let owner = |at: usize| usize::from(at % 3 == 2);
    (0..)
        .zip(instances)
        .filter(move |(at, _)| owner(*at) == user)
        .map(|(_, one)| *one)
}

fn list<'a>(instances: impl Iterator<Item = &'a Tenant>) -> Value {
    let resources: Vec<_> = instances
        .map(|one| json!({ "guid": one.id.to_string(), "name": one.name.as_deref().unwrap_or_default() }))
        .collect();
    json!({ "resources": resources })
}

#[derive(serde::Deserialize)]
struct Asked {
    #[serde(rename = "type")]
    kind: Option<String>,
}

async fn answer(
    State(shown): State<Arc<Vec<Shown>>>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Result<Json<Value>, StatusCode> {
    let given = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "))
        .ok_or(StatusCode::UNAUTHORIZED)?;
    let mut of_token = shown.iter().filter(|one| one.token == given).peekable();
    of_token.peek().ok_or(StatusCode::UNAUTHORIZED)?;
    let found = of_token.find(|one| one.kind == asked.kind.as_deref());
    found
        .map(|one| Json(one.instances.clone()))
        .ok_or(StatusCode::NOT_FOUND)
}

/// Writes each user's token to a file of its own, which stands for the page of the web client that shows it.
pub(super) fn write_user_tokens(
    directory: &Path,
    names: &Names,
    credentials: &Credentials,
) -> io::Result<()> {
    if !directory.exists() {
        DirBuilder::new().mode(0o700).create(directory)?;
    }
    for (user, token) in USERS.iter().zip(&credentials.user_tokens) {
        let path = directory.join(format!("{}-{user}", names.instance));
        let mut options = File::options();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        writeln!(file, "{token}")?;
    }
    Ok(())
}
