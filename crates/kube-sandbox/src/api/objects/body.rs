//! Reading request bodies.

use axum::extract::Request;
use bytes::Bytes;
use http::{HeaderMap, header};
use serde_json::Value;

use super::{schema, versions};
use crate::api::protobuf;
use crate::meta::{Resource, Status};

/// The real server's limit.
const BODY_LIMIT_BYTES: usize = 3 * 1024 * 1024;

/// Reads a body; 413 when it is too large.
pub(in crate::api) async fn read(request: Request) -> Result<Bytes, Status> {
    axum::body::to_bytes(request.into_body(), BODY_LIMIT_BYTES)
        .await
        .map_err(|_| {
            let message = format!("Request entity too large: limit is {BODY_LIMIT_BYTES}");
            Status::plain(413, "RequestEntityTooLarge", message)
        })
}

/// The body's media type without parameters; JSON when none is given.
pub(super) fn media_type(headers: &HeaderMap) -> &str {
    let value = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("application/json");
    value.split(';').next().unwrap_or_default().trim()
}

/// Reads an object of a kind, in the version it is stored in.
pub(super) async fn object(resource: &Resource, request: Request) -> Result<Value, Status> {
    stored(resource, value(request).await?.unwrap_or_default())
}

/// Reads whatever was sent, in any of the forms a body may have; nothing when the body is empty.
pub(super) async fn value(request: Request) -> Result<Option<Value>, Status> {
    let media_type = media_type(request.headers()).to_owned();
    let bytes = read(request).await?;
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    let value = match media_type.as_str() {
        "application/json" => json(&bytes)?,
        "application/yaml" => yaml(&bytes)?,
        protobuf::MEDIA_TYPE => protobuf::decode(&bytes).map_err(|problem| {
            Status::bad_request(format!("error decoding protobuf: {problem}"))
        })?,
        _ => {
            return Err(Status::unsupported_media_type(&[
                "application/json",
                "application/yaml",
                protobuf::MEDIA_TYPE,
            ]));
        }
    };
    Ok(Some(value))
}

/// Parses JSON.
pub(super) fn json(bytes: &[u8]) -> Result<Value, Status> {
    serde_json::from_slice(bytes).map_err(|error| {
        Status::bad_request(format!(
            "couldn't get version/kind; json parse error: {error}"
        ))
    })
}

/// Parses YAML.
pub(super) fn yaml(bytes: &[u8]) -> Result<Value, Status> {
    let parsed = std::str::from_utf8(bytes).map_err(|error| error.to_string());
    parsed
        .and_then(|text| serde_saphyr::from_str(text).map_err(|error| error.to_string()))
        .map_err(|error| Status::bad_request(format!("error decoding YAML: {error}")))
}

/// The object in the version it is stored in. Refuses one of another kind or version than the URL names.
pub(super) fn stored(resource: &Resource, mut object: Value) -> Result<Value, Status> {
    if !object.is_object() {
        return Err(Status::bad_request(
            "the object provided is not a JSON object",
        ));
    }
    let (api_version, kind) = (object["apiVersion"].as_str(), object["kind"].as_str());
    if api_version == Some(resource.api_version().as_str()) && kind == Some(resource.kind) {
        schema::check(resource, &object)?;
        versions::to_stored(resource, &mut object);
        return Ok(object);
    }
    let (Some(api_version), Some(kind)) = (api_version, kind) else {
        let gap = if kind.is_none() {
            "Object 'Kind' is missing"
        } else {
            "Object 'apiVersion' is missing"
        };
        return Err(Status::bad_request(format!("{gap} in '{object}'")));
    };
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
    Err(Status::bad_request(format!(
        "{kind} in version {version:?} cannot be handled as a {}: no kind {kind:?} is registered for version \
         {api_version:?} in group {group:?}",
        resource.kind
    )))
}
