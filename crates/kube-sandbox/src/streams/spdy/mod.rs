//! Exec over SPDY/3.1, version 4 of Kubernetes' remote command protocol: what kubectl before 1.31, and oc, speak.
//!
//! Only what moby/spdystream, the library on both ends of every cluster, uses: streams opened by the client, no flow
//! control (it ignores windows, and so does this), no priorities, no settings.

mod connection;
mod frame;
mod headers;

use axum::{body::Body, extract::Request, response::Response};
use http::{HeaderValue, StatusCode, header};

use super::{offered, session::Session, status::not_running, websocket::from_kubelet};

/// What clients upgrade to.
pub(super) const PROTOCOL: &str = "SPDY/3.1";
const VERSION_HEADER: &str = "x-stream-protocol-version";
const VERSION: &str = "v4.channel.k8s.io";

/// Answers the handshake and leaves the session running, or refuses it.
pub(super) fn open(session: Session, mut request: Request) -> Response {
    if !offered(request.headers(), VERSION_HEADER).any(|offer| offer == VERSION) {
        return refusal();
    }
    if !session.node.is_running(&session.target) {
        return from_kubelet(&not_running(&session.target.container));
    }
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        match upgrade.await {
            Ok(connection) => connection::serve(session, connection).await,
            Err(error) => tracing::debug!(%error, "an exec's connection was not upgraded"),
        }
    });
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static(PROTOCOL));
    headers.insert(VERSION_HEADER, HeaderValue::from_static(VERSION));
    response
}

fn refusal() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::FORBIDDEN;
    let accepted = HeaderValue::from_static(VERSION);
    response
        .headers_mut()
        .insert("x-accepted-stream-protocol-versions", accepted);
    response
}
