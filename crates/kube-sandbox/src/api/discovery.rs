//! What the server serves: `/api`, `/apis`, `/version`, `/openapi/v2`, health.
//!
//! Left out: OpenAPI v3 (clients fall back to v2), schemas, storage version hashes, API priorities.

use std::collections::BTreeMap;

use axum::extract::Request;
use axum::response::Response;
use http::header;
use serde_json::{Value, json};

use super::{Api, Status, openapi, respond};
use crate::meta::{Resource, Subresource};

/// The Kubernetes release the answers are modelled on.
const MINOR_VERSION: &str = "36";

pub(super) fn answer(api: &Api, request: &Request, path: &str) -> Result<Response, Status> {
    if request.method() != http::Method::GET {
        return Err(Status::method_not_allowed());
    }
    let accept = request
        .headers()
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let segments: Vec<&str> = path
        .split('/')
        .filter(|segment| !segment.is_empty())
        .collect();
    let served = served(api);
    let body = match segments.as_slice() {
        ["version"] => Some(version()),
        ["healthz" | "livez" | "readyz", ..] => {
            return Ok(respond::with_type(200, "text/plain; charset=utf-8", "ok"));
        }
        ["openapi", "v2"] => return Ok(openapi::answer(accept, &served)),
        ["api"] => match aggregated(accept) {
            Some((version, media_type)) => {
                return Ok(aggregated_list(version, media_type, &served, |group| {
                    group.is_empty()
                }));
            }
            None => Some(core_versions(request)),
        },
        ["apis"] => match aggregated(accept) {
            Some((version, media_type)) => {
                return Ok(aggregated_list(version, media_type, &served, |group| {
                    !group.is_empty()
                }));
            }
            None => Some(group_list(&served)),
        },
        ["api", version] => resource_list("", version, &served),
        ["apis", group] => by_group(&served).get(group).map(|list| {
            let mut group = group_versions(list);
            group["kind"] = "APIGroup".into();
            group["apiVersion"] = "v1".into();
            group
        }),
        ["apis", group, version] => resource_list(group, version, &served),
        _ => None,
    };
    Ok(body.map_or_else(respond::page_not_found, |body| respond::json(200, &body)))
}

fn served(api: &Api) -> Vec<&'static Resource> {
    api.store
        .kinds()
        .in_every_version()
        .filter(|resource| api.store.serves(resource))
        .collect()
}

fn version() -> Value {
    json!({
        "major": "1", "minor": MINOR_VERSION,
        "emulationMajor": "1", "emulationMinor": MINOR_VERSION,
        "minCompatibilityMajor": "1", "minCompatibilityMinor": "35",
        "gitVersion": format!("v1.{MINOR_VERSION}.0+sandbox"),
        "gitCommit": "", "gitTreeState": "", "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "", "compiler": "", "platform": "linux/amd64",
    })
}

fn core_versions(request: &Request) -> Value {
    let host = request
        .headers()
        .get(header::HOST)
        .and_then(|value| value.to_str().ok());
    let host = host
        .or_else(|| request.uri().authority().map(http::uri::Authority::as_str))
        .unwrap_or_default();
    json!({
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{ "clientCIDR": "0.0.0.0/0", "serverAddress": host }],
    })
}

fn group_list(served: &[&Resource]) -> Value {
    let groups = by_group(served);
    let groups: Vec<_> = groups
        .iter()
        .filter(|(group, _)| !group.is_empty())
        .map(|(_, list)| group_versions(list))
        .collect();
    json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": groups })
}

/// A group of kinds, its newest version first.
///
/// Where there are two, the older one is called the preferred: clients that know the newer one ask for the aggregated
/// discovery or for a version by name, and those that do not (kubectl 1.20) take whatever is preferred.
fn group_versions(group: &[&Resource]) -> Value {
    let versions: Vec<_> = by_version(group)
        .map(|list| json!({ "groupVersion": list[0].api_version(), "version": list[0].version }))
        .collect();
    json!({ "name": group[0].group, "versions": versions, "preferredVersion": versions.last() })
}

fn resource_list(group: &str, version: &str, served: &[&Resource]) -> Option<Value> {
    let mut resources = Vec::new();
    for resource in served
        .iter()
        .filter(|one| one.group == group && one.version == version)
    {
        resources.push(api_resource(resource));
        resources.extend(
            resource
                .subresources
                .iter()
                .map(|subresource| api_subresource(resource, subresource)),
        );
    }
    if resources.is_empty() {
        return None;
    }
    let mut list = json!({ "kind": "APIResourceList", "resources": resources });
    if group.is_empty() {
        list["groupVersion"] = version.into();
    } else {
        list["apiVersion"] = "v1".into();
        list["groupVersion"] = format!("{group}/{version}").into();
    }
    Some(list)
}

fn api_resource(resource: &Resource) -> Value {
    let mut entry = json!({
        "name": resource.plural, "singularName": resource.singular, "namespaced": resource.namespaced,
        "kind": resource.kind, "verbs": resource.verbs,
    });
    name_shortly(&mut entry, resource);
    entry
}

fn api_subresource(resource: &Resource, subresource: &Subresource) -> Value {
    let (group, version, kind) = subresource.kind.unwrap_or(("", "", resource.kind));
    let mut entry = json!({
        "name": format!("{}/{}", resource.plural, subresource.name), "singularName": "",
        "namespaced": resource.namespaced, "kind": kind, "verbs": subresource.verbs,
    });
    if !group.is_empty() {
        entry["group"] = group.into();
        entry["version"] = version.into();
    }
    entry
}

fn name_shortly(entry: &mut Value, resource: &Resource) {
    if !resource.short_names.is_empty() {
        entry["shortNames"] = json!(resource.short_names);
    }
    if !resource.categories.is_empty() {
        entry["categories"] = json!(resource.categories);
    }
}

/// The version of aggregated discovery the client prefers over plain discovery, if any.
fn aggregated(accept: &str) -> Option<(&'static str, &'static str)> {
    accept.split(',').find_map(|range| {
        let range = range.replace(' ', "");
        let wanted =
            range.contains("as=APIGroupDiscoveryList") && range.contains("g=apidiscovery.k8s.io");
        match wanted {
            true if range.contains(";v=v2beta1") => Some((
                "v2beta1",
                "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList",
            )),
            true if range.contains(";v=v2") => Some((
                "v2",
                "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
            )),
            _ => None,
        }
    })
}

fn aggregated_list(
    version: &str,
    media_type: &'static str,
    served: &[&Resource],
    wanted: impl Fn(&str) -> bool,
) -> Response {
    let groups = by_group(served);
    let items: Vec<_> = groups
        .iter()
        .filter(|(group, _)| wanted(group))
        .map(|(_, list)| aggregated_group(list))
        .collect();
    let body = json!({
        "kind": "APIGroupDiscoveryList", "apiVersion": format!("apidiscovery.k8s.io/{version}"), "metadata": {}, "items": items,
    });
    respond::with_type(200, media_type, body.to_string())
}

fn aggregated_group(group: &[&Resource]) -> Value {
    let mut metadata = json!({});
    if !group[0].group.is_empty() {
        metadata["name"] = group[0].group.into();
    }
    let versions: Vec<_> = by_version(group)
        .map(|list| {
            let entries: Vec<_> = list.iter().copied().map(aggregated_resource).collect();
            json!({ "version": list[0].version, "resources": entries, "freshness": "Current" })
        })
        .collect();
    json!({ "metadata": metadata, "versions": versions })
}

fn aggregated_resource(resource: &Resource) -> Value {
    // Built-in kinds leave group and version to the list they stand in; custom ones do not.
    let (group, version) = if resource.custom {
        (resource.group, resource.version)
    } else {
        ("", "")
    };
    let mut entry = json!({
        "resource": resource.plural,
        "responseKind": { "group": group, "version": version, "kind": resource.kind },
        "scope": if resource.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": resource.singular,
        "verbs": resource.verbs,
    });
    name_shortly(&mut entry, resource);
    if !resource.subresources.is_empty() {
        let subresources = resource.subresources.iter().map(|subresource| {
            // `v1` alone is what core's own kinds have, and they leave it out.
            let kind = match subresource.kind {
                Some(("", _, kind)) => ("", "", kind),
                Some(kind) => kind,
                None => (group, version, resource.kind),
            };
            json!({
                "subresource": subresource.name,
                "responseKind": { "group": kind.0, "version": kind.1, "kind": kind.2 },
                "verbs": subresource.verbs,
            })
        });
        entry["subresources"] = subresources.collect();
    }
    entry
}

fn by_group<'a>(served: &[&'a Resource]) -> BTreeMap<&'static str, Vec<&'a Resource>> {
    let mut groups: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for resource in served {
        groups.entry(resource.group).or_default().push(*resource);
    }
    groups
}

/// The kinds of a group by version; [`Kinds::in_every_version`](crate::meta::Kinds::in_every_version) lists each version's in a row.
fn by_version<'a>(group: &'a [&'a Resource]) -> impl Iterator<Item = &'a [&'a Resource]> {
    group.chunk_by(|one, next| one.version == next.version)
}
