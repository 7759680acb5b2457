//! `patch`: JSON patch, merge patch, strategic merge patch, and server-side apply.

mod strategic;

use axum::extract::Request;
use axum::response::Response;
use serde_json::Value;

use super::{ObjectRequest, body, managed, schema};
use crate::meta::{Resource, Status, object};

pub use strategic::merge as strategic_merge;

const JSON: &str = "application/json-patch+json";
const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";

/// A change to an object.
#[derive(Debug, Clone)]
pub(super) enum Patch {
    Json(json_patch::Patch),
    Merge(Value),
    Strategic(Value),
    /// Not a change by itself: the fields a manager wants.
    Apply(Value),
}

impl Patch {
    /// Reads a patch. Custom resources know no strategic merge, scales (no resource) no apply.
    pub(super) async fn read(
        resource: Option<&Resource>,
        request: Request,
    ) -> Result<Self, Status> {
        let media_type = body::media_type(request.headers()).to_owned();
        let understood: &[&str] = match resource {
            Some(resource) if resource.custom => &[JSON, MERGE, APPLY],
            Some(_) => &[JSON, MERGE, STRATEGIC, APPLY],
            None => &[JSON, MERGE, STRATEGIC],
        };
        if !understood.contains(&media_type.as_str()) {
            return Err(Status::unsupported_media_type(understood));
        }
        let bytes = body::read(request).await?;
        match media_type.as_str() {
            JSON => serde_json::from_slice(&bytes)
                .map(Self::Json)
                .map_err(|error| Status::bad_request(format!("error decoding patch: {error}"))),
            MERGE => body::json(&bytes).map(Self::Merge),
            STRATEGIC => body::json(&bytes).map(Self::Strategic),
            _ => body::yaml(&bytes).map(Self::Apply),
        }
    }

    /// The object as the patch changes it.
    pub(super) fn apply(&self, current: &Value) -> Result<Value, Status> {
        let mut next = current.clone();
        match self {
            Self::Json(patch) => json_patch::patch(&mut next, patch).map_err(|_| rejected())?,
            Self::Merge(patch) => json_patch::merge(&mut next, patch),
            Self::Strategic(patch) => strategic::merge(&mut next, patch)?,
            Self::Apply(_) => {
                return Err(Status::unsupported_media_type(&[JSON, MERGE, STRATEGIC]));
            }
        }
        Ok(next)
    }
}

/// What a real server answers to a JSON patch that does not fit, whatever the reason.
fn rejected() -> Status {
    Status {
        details: Some(serde_json::json!({})),
        ..Status::plain(
            422,
            "Invalid",
            "the server rejected our request due to an error in our request",
        )
    }
}

impl ObjectRequest<'_> {
    pub(super) async fn patch(&self, request: Request) -> Result<Response, Status> {
        match Patch::read(Some(self.resource), request).await? {
            Patch::Apply(configuration) => self.apply(configuration),
            patch => {
                let next = |current: &Value| {
                    let patched = patch.apply(current)?;
                    schema::check(self.resource, &patched)?;
                    Ok(managed::with_update(
                        self.resource,
                        &self.writer(),
                        current,
                        patched,
                    ))
                };
                let written = self.api.store.write(
                    self.resource,
                    self.namespace(),
                    &self.info.name,
                    self.part(),
                    self.dry_run,
                    next,
                )?;
                Ok(self.representation.respond(200, self.resource, &written))
            }
        }
    }

    /// Server-side apply; it creates what is not there.
    fn apply(&self, configuration: Value) -> Result<Response, Status> {
        let mut configuration = body::stored(self.resource, configuration)?;
        self.check_place(&mut configuration)?;
        if self.params.get("fieldManager").is_none() {
            return Err(Status::plain(
                422,
                "Invalid",
                "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch",
            ));
        }
        if configuration["metadata"]["managedFields"].is_array() {
            return Err(Status::bad_request("metadata.managedFields must be nil"));
        }
        let store = &self.api.store;
        let force = self.params.flag("force");
        let writer = self.writer();
        let name = &self.info.name;
        let written = store.write(
            self.resource,
            self.namespace(),
            name,
            self.part(),
            self.dry_run,
            |current| {
                managed::applied(self.resource, &writer, Some(current), &configuration, force)
            },
        );
        match written {
            Ok(object) => Ok(self.representation.respond(200, self.resource, &object)),
            Err(status) if status.code == 404 && self.info.subresource.is_empty() => {
                self.drop_status(&mut configuration);
                object::metadata_mut(&mut configuration)
                    .insert("name".into(), name.as_str().into());
                let object = managed::applied(self.resource, &writer, None, &configuration, force)?;
                let created = store.create_or_try(self.resource, object, self.dry_run, |_| {})?;
                Ok(self.representation.respond(201, self.resource, &created))
            }
            Err(status) => Err(status),
        }
    }
}
