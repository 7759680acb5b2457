//! `metav1.Status`, the API server's error answer. Messages and details are word for word those of a real server,
//! because clients parse and print them.

use serde_json::{Map, Value, json};

use crate::meta::resources::Resource;

/// A refused request, in the words the API server uses.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct Status {
    /// HTTP status code.
    pub code: u16,
    /// Machine-readable reason, such as `NotFound`.
    pub reason: &'static str,
    /// What a person reads.
    pub message: String,
    /// The object the request was about, its causes, and the time to wait before a retry.
    pub details: Option<Value>,
}

/// One reason why an object is invalid (`metav1.StatusCause`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// Such as `FieldValueInvalid`.
    pub reason: &'static str,
    /// Path of the field, such as `metadata.name`.
    pub field: String,
    /// The message without the field's name.
    pub message: String,
}

impl Cause {
    /// A field that must be there and is not.
    pub fn required(field: impl Into<String>, detail: &str) -> Self {
        let message = if detail.is_empty() {
            "Required value".to_owned()
        } else {
            format!("Required value: {detail}")
        };
        Self {
            reason: "FieldValueRequired",
            field: field.into(),
            message,
        }
    }

    /// A field whose value is not allowed.
    pub fn invalid(field: impl Into<String>, value: &Value, detail: &str) -> Self {
        Self {
            reason: "FieldValueInvalid",
            field: field.into(),
            message: format!("Invalid value: {value}: {detail}"),
        }
    }

    /// A field whose value is none of the known ones.
    pub fn not_supported(field: impl Into<String>, value: &Value, supported: &[&str]) -> Self {
        let supported = supported
            .iter()
            .map(|one| format!("{one:?}"))
            .collect::<Vec<_>>()
            .join(", ");
        let message = format!("Unsupported value: {value}: supported values: {supported}");
        Self {
            reason: "FieldValueNotSupported",
            field: field.into(),
            message,
        }
    }
}

impl Status {
    /// 404: no object of that name.
    pub fn not_found(resource: &Resource, name: &str) -> Self {
        let message = format!("{} {name:?} not found", resource.qualified());
        Self::about(404, "NotFound", message, resource, name)
    }

    /// 409: a create of a name that is taken.
    pub fn already_exists(resource: &Resource, name: &str) -> Self {
        let message = format!("{} {name:?} already exists", resource.qualified());
        Self::about(409, "AlreadyExists", message, resource, name)
    }

    /// 409: the object changed meanwhile, or a precondition does not hold.
    pub fn conflict(resource: &Resource, name: &str, why: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} {name:?}: {why}",
            resource.qualified()
        );
        Self::about(409, "Conflict", message, resource, name)
    }

    /// 409: the object was written with an outdated resourceVersion.
    pub fn stale(resource: &Resource, name: &str) -> Self {
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(resource, name, why)
    }

    /// 422: the object breaks rules of its kind.
    pub fn invalid(resource: &Resource, name: &str, causes: &[Cause]) -> Self {
        let list: Vec<_> = causes
            .iter()
            .map(|cause| format!("{}: {}", cause.field, cause.message))
            .collect();
        let list = if let [one] = list.as_slice() {
            one.clone()
        } else {
            format!("[{}]", list.join(", "))
        };
        let kind = resource.kind;
        let qualified = if resource.group.is_empty() {
            kind.to_owned()
        } else {
            format!("{kind}.{}", resource.group)
        };
        let mut details = details(resource, name);
        details.insert("kind".into(), kind.into());
        details.insert("causes".into(), causes.iter().map(cause_json).collect());
        Self {
            code: 422,
            reason: "Invalid",
            message: format!("{qualified} {name:?} is invalid: {list}"),
            details: Some(details.into()),
        }
    }

    /// 409: server-side apply would take fields another manager owns.
    pub fn apply_conflict(conflicts: &[Cause]) -> Self {
        let list: Vec<_> = conflicts
            .iter()
            .map(|one| format!("{}: {}", one.message, one.field))
            .collect();
        let (plural, list) = match list.as_slice() {
            [one] => ("", one.clone()),
            many => ("s", format!("conflicts with {}", many.join(", "))),
        };
        Self {
            code: 409,
            reason: "Conflict",
            message: format!(
                "Apply failed with {} conflict{plural}: {list}",
                conflicts.len()
            ),
            details: Some(
                json!({ "causes": conflicts.iter().map(cause_json).collect::<Vec<_>>() }),
            ),
        }
    }

    /// 403 for `name` of `resource` (either may be empty); `why` is the authorizer's sentence.
    pub fn forbidden(group: &str, resource: &str, name: &str, why: &str) -> Self {
        let mut details = Map::new();
        let mut subject = resource.to_owned();
        if !group.is_empty() {
            subject = format!("{resource}.{group}");
            details.insert("group".into(), group.into());
        }
        details.insert("kind".into(), resource.into());
        if !name.is_empty() {
            subject = format!("{subject} {name:?}");
            details.insert("name".into(), name.into());
        }
        let message = format!("{subject} is forbidden: {why}");
        Self {
            code: 403,
            reason: "Forbidden",
            message,
            details: Some(details.into()),
        }
    }

    /// 403: a create in a namespace that is being deleted.
    pub fn namespace_ends(resource: &Resource, name: &str, namespace: &str) -> Self {
        let why = format!(
            "unable to create new content in namespace {namespace} because it is being terminated"
        );
        Self::forbidden(resource.group, resource.plural, name, &why)
    }

    /// 401: no user known by that token.
    pub fn unauthorized() -> Self {
        Self::plain(401, "Unauthorized", "Unauthorized")
    }

    /// 400: the request itself makes no sense.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::plain(400, "BadRequest", message)
    }

    /// 405: the resource does not have that verb.
    pub fn method_not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource";
        Self {
            details: Some(json!({})),
            ..Self::plain(405, "MethodNotAllowed", message)
        }
    }

    /// 406: none of the media types the client accepts is served.
    pub fn not_acceptable(served: &[&str]) -> Self {
        let message = format!(
            "only the following media types are accepted: {}",
            served.join(", ")
        );
        Self::plain(406, "NotAcceptable", message)
    }

    /// 415: the body's media type is not understood.
    pub fn unsupported_media_type(understood: &[&str]) -> Self {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {}",
            understood.join(", ")
        );
        Self::plain(415, "UnsupportedMediaType", message)
    }

    /// 410: the resourceVersion or continue token is older than the history kept.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::plain(410, "Expired", message)
    }

    /// 500.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::plain(500, "InternalError", message)
    }

    /// Any other status, as faults and the node need it.
    pub fn plain(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            details: None,
        }
    }

    /// The answer's body.
    pub fn to_json(&self) -> Value {
        let mut body = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason, "code": self.code,
        });
        if let Some(details) = &self.details {
            body["details"] = details.clone();
        }
        body
    }

    fn about(
        code: u16,
        reason: &'static str,
        message: String,
        resource: &Resource,
        name: &str,
    ) -> Self {
        Self {
            code,
            reason,
            message,
            details: Some(details(resource, name).into()),
        }
    }
}

fn details(resource: &Resource, name: &str) -> Map<String, Value> {
    let mut details = Map::new();
    details.insert("name".into(), name.into());
    if !resource.group.is_empty() {
        details.insert("group".into(), resource.group.into());
    }
    details.insert("kind".into(), resource.plural.into());
    details
}

fn cause_json(cause: &Cause) -> Value {
    json!({ "reason": cause.reason, "message": cause.message, "field": cause.field })
}
