//! The sandbox's own endpoints, which no cluster has: `/_sandbox/faults` for administrators.

use axum::extract::Request;
use axum::response::Response;
use http::Method;
use serde_json::json;

use super::users::{Caller, Users};
use super::{Api, Status, objects, respond};
use crate::faults::Fault;

const FAULTS: &str = "/_sandbox/faults";

pub(super) fn is_admin(path: &str) -> bool {
    path.starts_with("/_sandbox/")
}

/// GET lists, POST adds one, DELETE clears all.
pub(super) async fn answer(
    api: &Api,
    caller: &Caller,
    request: Request,
) -> Result<Response, Status> {
    if !Users::is_administrator(caller) {
        return Err(Status::plain(
            403,
            "Forbidden",
            "only an administrator may change the sandbox",
        ));
    }
    if request.uri().path() != FAULTS {
        return Ok(respond::page_not_found());
    }
    match *request.method() {
        Method::GET => {}
        Method::POST => {
            let body = objects::body::read(request).await?;
            let fault: Fault = serde_json::from_slice(&body)
                .map_err(|error| Status::bad_request(format!("this is no fault: {error}")))?;
            api.faults.inject(fault);
        }
        Method::DELETE => api.faults.clear(),
        _ => return Err(Status::method_not_allowed()),
    }
    Ok(respond::json(200, &json!(api.faults.list())))
}
