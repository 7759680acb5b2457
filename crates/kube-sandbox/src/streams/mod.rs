//! The endpoints that are more than one answer to one request: `pods/exec`, `pods/log` and `pods/portforward`.
//!
//! `session` connects a process in a container with a client, whatever they speak: `websocket` is what today's
//! kubectl and the plugins use, `spdy` what kubectl before 1.31 and oc use. `faults` makes streams fail on
//! purpose. `forward` connects a client with a port of a pod. Left out: `attach` (nothing here needs it).

mod exec;
mod faults;
mod forward;
mod log;
mod options;
mod session;
mod spdy;
mod status;
mod websocket;

use axum::{Router, routing::get};
use http::HeaderMap;

use crate::meta::Status;
use crate::node::Node;

/// The endpoints, to be mounted in the API server.
pub fn routes(node: Node) -> Router {
    Router::new()
        .route(
            "/api/v1/namespaces/{namespace}/pods/{pod}/exec",
            get(exec::answer).post(exec::answer),
        )
        .route(
            "/api/v1/namespaces/{namespace}/pods/{pod}/attach",
            get(attach).post(attach),
        )
        .route(
            "/api/v1/namespaces/{namespace}/pods/{pod}/log",
            get(log::answer),
        )
        .route(
            "/api/v1/namespaces/{namespace}/pods/{pod}/portforward",
            get(forward::answer).post(forward::answer),
        )
        .with_state(node)
}

async fn attach() -> axum::response::Response {
    let status = Status::plain(
        501,
        "NotImplemented",
        "the practice cluster does not simulate attach; use exec",
    );
    crate::api::respond::error(&status)
}

/// Whether the client asks to go on in another protocol, such as `websocket` or `SPDY/3.1`.
fn wants_upgrade(headers: &HeaderMap, protocol: &str) -> bool {
    let says = |header: http::HeaderName, wanted: &str| {
        let values = headers
            .get_all(header)
            .into_iter()
            .filter_map(|value| value.to_str().ok());
        values
            .flat_map(|value| value.split(','))
            .any(|value| value.trim().eq_ignore_ascii_case(wanted))
    };
    says(http::header::CONNECTION, "upgrade") && says(http::header::UPGRADE, protocol)
}

/// The protocols a client offers, in its order of preference, from headers that may be repeated or hold lists.
fn offered<'a>(headers: &'a HeaderMap, header: &str) -> impl Iterator<Item = &'a str> {
    let values = headers
        .get_all(header)
        .into_iter()
        .filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}
