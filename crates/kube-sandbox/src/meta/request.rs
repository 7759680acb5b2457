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
        let segments: Vec<&str> = path
            .split('/')
            .filter(|segment| !segment.is_empty())
            .collect();
        let (group, version, below) = match segments.as_slice() {
            ["api", version, below @ ..] => ("", *version, below),
            ["apis", group, version, below @ ..] => (*group, *version, below),
            _ => ("", "", &[][..]),
        };
        // `namespaces/x` and its own subresources are about the namespace, anything further is in it.
        let (namespace, place) = match below {
            ["namespaces", name] | ["namespaces", name, "status" | "finalize"] => (*name, below),
            ["namespaces", namespace, inner @ ..] => (*namespace, inner),
            other => ("", other),
        };
        let part = |index: usize| place.get(index).copied().unwrap_or_default().to_owned();
        let verb = match place {
            [] => method.as_str().to_ascii_lowercase(),
            [_, rest @ ..] => verb(method, rest.is_empty(), query).to_owned(),
        };
        Self {
            verb,
            group: group.to_owned(),
            version: version.to_owned(),
            namespace: namespace.to_owned(),
            resource: part(0),
            name: part(1),
            subresource: part(2),
        }
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
