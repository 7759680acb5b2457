//! Making answers.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use serde_json::Value;

use super::Status;

/// An answer with a JSON body.
pub(super) fn json(code: u16, body: &Value) -> Response {
    with_type(code, "application/json", body.to_string())
}

/// An error as a `Status`, with `Retry-After` when it asks for a delay.
pub(crate) fn error(status: &Status) -> Response {
    let mut response = json(status.code, &status.to_json());
    let delay = status
        .details
        .as_ref()
        .and_then(|details| details["retryAfterSeconds"].as_u64());
    if let Some(seconds) = delay {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

/// What Go's HTTP server answers for a path that nobody serves.
pub(super) fn page_not_found() -> Response {
    with_type(
        404,
        "text/plain; charset=utf-8",
        "404 page not found\n".to_owned(),
    )
}

/// An answer with a body of that media type.
pub(super) fn with_type(code: u16, media_type: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() =
        StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("no-cache, private"),
    );
    let audit_id = uuid::Uuid::new_v4().to_string();
    if let Ok(value) = HeaderValue::from_str(&audit_id) {
        headers.insert("audit-id", value);
    }
    response
}
