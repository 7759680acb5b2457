//! What a URL asks for, in the API server's terms.

use http::Method;

/// A request's attributes (`apiserver/pkg/endpoints/request.RequestInfo`); a request extension.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestInfo {
    /// Kubernetes verb for a resource, the lower-case HTTP method otherwise.
    pub verb: String,
    /// API group, empty for core.
    pub group: String,
    /// API version.
    pub version: String,
    /// Empty for cluster-scoped requests.
    pub namespace: String,
    /// Plural name; empty when the path is no resource's.
    pub resource: String,
    /// Such as `exec`; empty for the object itself.
    pub subresource: String,
    /// Empty for a collection.
    pub name: String,
}

impl RequestInfo {
    /// Reads method, path and query of a request.
    pub fn parse(method: &Method, path: &str, query: &str) -> Self {
        let mut info = Self {
            verb: method.as_str().to_ascii_lowercase(),
            ..Self::default()
        };
        let segments: Vec<&str> = path
            .split('/')
            .filter(|segment| !segment.is_empty())
            .collect();
        let rest = match segments.as_slice() {
            ["api", version, rest @ ..] => {
                info.version = (*version).to_owned();
                rest
            }
            ["apis", group, version, rest @ ..] => {
                info.group = (*group).to_owned();
                info.version = (*version).to_owned();
                rest
            }
            _ => return info,
        };
        let rest = match rest {
            [] => return info,
            // `namespaces/x` and its own subresources are about the namespace, anything further is in it.
            ["namespaces", name] | ["namespaces", name, "status" | "finalize"] => {
                info.namespace = (*name).to_owned();
                rest
            }
            ["namespaces", namespace, inner @ ..] => {
                info.namespace = (*namespace).to_owned();
                inner
            }
            other => other,
        };
        info.resource = rest.first().copied().unwrap_or_default().to_owned();
        info.name = rest.get(1).copied().unwrap_or_default().to_owned();
        info.subresource = rest.get(2).copied().unwrap_or_default().to_owned();
        info.verb = verb(method, info.name.is_empty(), query).to_owned();
        info
    }

    /// Whether the request is about a resource (and not discovery, health or the like).
    pub fn is_resource(&self) -> bool {
        !self.resource.is_empty()
    }
}

fn verb(method: &Method, collection: bool, query: &str) -> &'static str {
    let watch = query
        .split('&')
        .any(|pair| matches!(pair, "watch" | "watch=1" | "watch=true"));
    match (method.as_str(), collection) {
        ("GET" | "HEAD", true) if watch => "watch",
        ("GET" | "HEAD", true) => "list",
        ("GET" | "HEAD", false) => "get",
        ("POST", _) => "create",
        ("PUT", _) => "update",
        ("PATCH", _) => "patch",
        ("DELETE", true) => "deletecollection",
        ("DELETE", false) => "delete",
        _ => "",
    }
}
