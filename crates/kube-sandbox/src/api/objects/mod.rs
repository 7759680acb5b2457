//! Requests for objects: reading, writing, watching, patching, deleting, of every kind alike.

mod admission;
pub(super) mod body;
mod delete;
mod managed;
mod params;
mod patch;
mod read;
mod representation;
mod reviews;
mod scale;
mod schema;
mod selectors;
mod tables;
mod versions;
mod watch;
mod write;

use super::users::Caller;
use super::{Api, respond};
use crate::meta::{Resource, Status, request::RequestInfo};
use axum::extract::Request;
use axum::response::Response;
use http::header;
use params::Params;
pub use patch::strategic_merge;
use representation::Representation;

/// A request for objects, read as far as every verb needs it.
struct ObjectRequest<'a> {
    api: &'a Api,
    caller: &'a Caller,
    info: &'a RequestInfo,
    resource: &'static Resource,
    params: Params,
    representation: Representation,
    /// Who the change is attributed to.
    manager: String,
    dry_run: bool,
}

/// Answers an authorized request about a resource.
pub(super) async fn answer(
    api: &Api,
    caller: &Caller,
    info: &RequestInfo,
    request: Request,
) -> Result<Response, Status> {
    let known = api
        .store
        .kinds()
        .find(&info.group, &info.version, &info.resource);
    let Some(resource) = known.filter(|resource| api.store.serves(resource)) else {
        return Ok(respond::page_not_found());
    };
    let verbs = if info.subresource.is_empty() {
        resource.verbs
    } else if let Some(subresource) = resource.subresource(&info.subresource) {
        subresource.verbs
    } else {
        return Ok(respond::page_not_found());
    };
    let one_of_all_namespaces =
        resource.namespaced && info.namespace.is_empty() && !info.name.is_empty();
    if one_of_all_namespaces
        || (!resource.namespaced && info.resource != "namespaces" && !info.namespace.is_empty())
    {
        return Ok(respond::page_not_found());
    }
    let is_collection = info.name.is_empty();
    let misplaced = match info.verb.as_str() {
        "create" => resource.namespaced && info.namespace.is_empty(),
        "update" | "patch" => is_collection,
        _ => false,
    };
    if misplaced || !verbs.contains(&info.verb.as_str()) {
        return Err(Status::method_not_allowed());
    }
    let params = Params::from_uri(request.uri())?;
    let user_agent = header_text(&request, header::USER_AGENT).to_owned();
    let context = ObjectRequest {
        api,
        caller,
        info,
        resource,
        manager: params.manager(&user_agent),
        dry_run: params.dry_run()?,
        representation: Representation::accepted(
            header_text(&request, header::ACCEPT),
            params.get("includeObject"),
        )?,
        params,
    };
    context.answer(request).await
}

impl ObjectRequest<'_> {
    async fn answer(&self, request: Request) -> Result<Response, Status> {
        match (self.info.subresource.as_str(), self.info.verb.as_str()) {
            ("scale", verb) => self.scale(verb, request).await,
            (_, "get") => self.get(),
            (_, "list") => self.list(),
            (_, "watch") => self.watch(),
            (_, "create") if self.resource.group == "authorization.k8s.io" => {
                self.review(request).await
            }
            (_, "create") => self.create(request).await,
            (_, "update") => self.update(request).await,
            (_, "patch") => self.patch(request).await,
            (_, "delete") => self.delete(request).await,
            (_, "deletecollection") => self.delete_collection(request).await,
            _ => Err(Status::method_not_allowed()),
        }
    }

    /// The namespace objects are looked up in; a Namespace itself lies in none.
    fn namespace(&self) -> &str {
        if self.resource.namespaced {
            &self.info.namespace
        } else {
            ""
        }
    }

    /// The namespace a list is limited to.
    fn namespaces(&self) -> Option<&str> {
        Some(self.namespace()).filter(|namespace| !namespace.is_empty())
    }
}

fn header_text(request: &Request, name: header::HeaderName) -> &str {
    request
        .headers()
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}
