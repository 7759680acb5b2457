//! The Kubernetes API over HTTPS.
//!
//! A request passes through here in the order a real API server keeps: it is logged, its caller is found out
//! ([`users`]), allowed or refused, and then answered by `discovery`, by `streams` (exec, attach, log, portforward), or by
//! `objects`.
//!
//! Left out: admission webhooks (but for faults that act like some), priority and fairness, CBOR, answers in protobuf, aggregation.

mod admin;
mod discovery;
pub mod kubeconfig;
mod log;
mod objects;
mod openapi;
mod protobuf;
mod rbac;
pub(crate) mod respond;
mod server;
mod tls;
pub mod users;

use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use http::{StatusCode, header};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;

pub use log::{LoggedRequest, RequestLog};
pub use objects::strategic_merge;
pub use server::{Server, ServerError};
pub use tls::TlsError;

use crate::faults::{Effect, Faults, RequestFaults};
use crate::meta::{Status, request::RequestInfo};
use crate::store::Store;
use users::{Action, Caller, Users};

/// Everything a request is answered from.
#[derive(Debug, Clone)]
pub struct Api {
    /// The cluster's objects.
    pub store: Store,
    /// What goes wrong on purpose.
    pub faults: Faults,
    /// Who may do what.
    pub users: Users,
    /// Where requests are noted.
    pub requests: RequestLog,
    /// Answers `pods/{exec,attach,log,portforward}`. Its requests carry [`RequestInfo`], [`Caller`] and [`RequestFaults`].
    pub streams: Router,
}

/// The connection is to be closed without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection is closed on purpose")]
pub(crate) struct HungUp;

impl Api {
    /// Answers one request.
    pub(crate) async fn handle(&self, request: Request) -> Result<Response, HungUp> {
        let uri = request
            .uri()
            .path_and_query()
            .map_or("/", |uri| uri.as_str())
            .to_owned();
        let agent = request.headers().get(header::USER_AGENT);
        let agent = agent
            .and_then(|agent| agent.to_str().ok())
            .unwrap_or_default();
        let number = self
            .requests
            .arrived(request.method().as_str(), &uri, agent);
        let effects = self.effects(&request, &uri);
        if effects.contains(&Effect::HangUp { done: false }) {
            return Err(HungUp);
        }
        let hangs_up = effects.contains(&Effect::HangUp { done: true });
        let answer = self
            .answer(request, &uri, number, effects)
            .await
            .unwrap_or_else(|status| respond::error(&status));
        self.requests
            .amend(number, |entry| entry.status = answer.status().as_u16());
        if hangs_up { Err(HungUp) } else { Ok(answer) }
    }

    fn effects(&self, request: &Request, uri: &str) -> Vec<Effect> {
        let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
        if admin::is_admin(path) {
            return Vec::new();
        }
        let info = RequestInfo::parse(request.method(), path, query);
        self.faults.hit(request.method().as_str(), uri, &info)
    }

    async fn answer(
        &self,
        mut request: Request,
        uri: &str,
        number: usize,
        effects: Vec<Effect>,
    ) -> Result<Response, Status> {
        let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
        let info = RequestInfo::parse(request.method(), path, query);
        if effects.contains(&Effect::DropUpgrade) {
            request.headers_mut().remove(header::UPGRADE);
            request.headers_mut().remove(header::CONNECTION);
        }
        if effects.contains(&Effect::ExpireToken) {
            return Err(Status::unauthorized());
        }
        let caller = self.users.authenticate(request.headers())?;
        self.requests
            .amend(number, |entry| entry.user.clone_from(&caller.name));
        if let Some(answer) = effects.iter().find_map(status_effect) {
            return Ok(answer);
        }
        if admin::is_admin(path) {
            return admin::answer(self, &caller, request).await;
        }
        if !info.is_resource() {
            Users::authorize_path(&caller, &info.verb, path)?;
            return discovery::answer(self, &request, path);
        }
        self.authorize(&caller, &info, &request)?;
        request.extensions_mut().insert(RequestFaults(effects));
        if info.resource == "pods"
            && info.group.is_empty()
            && matches!(
                info.subresource.as_str(),
                "exec" | "attach" | "log" | "portforward"
            )
        {
            request.extensions_mut().insert(info);
            request.extensions_mut().insert(caller);
            let Ok(answer) = TowerToHyperService::new(self.streams.clone())
                .call(request)
                .await;
            return Ok(answer);
        }
        objects::answer(self, &caller, &info, request).await
    }

    fn authorize(
        &self,
        caller: &Caller,
        info: &RequestInfo,
        request: &Request,
    ) -> Result<(), Status> {
        let action = Action::from_request(info);
        self.users.authorize(caller, &action)?;
        // A WebSocket opens with GET. Since Kubernetes 1.35 that is no way round the permission to create.
        if info.verb == "get" && request.headers().contains_key(header::UPGRADE) {
            self.users.authorize(
                caller,
                &Action {
                    verb: "create",
                    ..action
                },
            )?;
        }
        Ok(())
    }
}

fn status_effect(effect: &Effect) -> Option<Response> {
    let Effect::Status {
        code,
        message,
        retry_after,
    } = effect
    else {
        return None;
    };
    let reason = match code {
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "NotFound",
        409 => "Conflict",
        429 => "TooManyRequests",
        500 => "InternalError",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => "",
    };
    let text = StatusCode::from_u16(*code)
        .ok()
        .and_then(|code| code.canonical_reason())
        .unwrap_or_default();
    let message = if message.is_empty() { text } else { message };
    let mut status = Status::plain(*code, reason, message);
    if let Some(seconds) = retry_after {
        status.details = Some(serde_json::json!({ "retryAfterSeconds": seconds }));
    }
    Some(respond::error(&status))
}
