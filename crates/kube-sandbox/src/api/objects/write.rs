//! `create` and `update`.

use axum::extract::Request;
use axum::response::Response;
use http::HeaderValue;
use serde_json::Value;

use super::{ObjectRequest, admission, body, managed};
use crate::faults::RequestFaults;
use crate::meta::{Status, object, resources};
use crate::store::Part;

impl ObjectRequest<'_> {
    pub(super) async fn create(&self, request: Request) -> Result<Response, Status> {
        if !self.info.name.is_empty() {
            return Err(Status::method_not_allowed());
        }
        let faults = request.extensions().get::<RequestFaults>().cloned();
        let mut sent = body::object(self.resource, request).await?;
        self.check_place(&mut sent)?;
        self.drop_status(&mut sent);
        admission::admit(self.resource, &faults.unwrap_or_default(), &mut sent)?;
        let warning = finalizer_warning(self.resource, &sent);
        let created =
            self.api
                .store
                .create_or_try(self.resource, sent, self.dry_run, |object| {
                    managed::updated(self.resource, &self.writer(), None, object);
                })?;
        let mut response = self.representation.respond(201, self.resource, &created);
        if let Some(warning) = warning.and_then(|text| HeaderValue::from_str(&text).ok()) {
            response.headers_mut().insert("warning", warning);
        }
        Ok(response)
    }

    pub(super) async fn update(&self, request: Request) -> Result<Response, Status> {
        let mut sent = body::object(self.resource, request).await?;
        self.check_place(&mut sent)?;
        if object::name(&sent) != self.info.name {
            return Err(Status::bad_request(format!(
                "the name of the object ({}) does not match the name on the URL ({})",
                object::name(&sent),
                self.info.name
            )));
        }
        let updated = self.api.store.write(
            self.resource,
            self.namespace(),
            &self.info.name,
            self.part(),
            self.dry_run,
            |current| {
                Ok(managed::with_update(
                    self.resource,
                    &self.writer(),
                    current,
                    sent,
                ))
            },
        )?;
        Ok(self.representation.respond(200, self.resource, &updated))
    }

    /// A new object has no status but what the server gives it.
    pub(super) fn drop_status(&self, sent: &mut Value) {
        if self.resource.subresource("status").is_some() {
            object::map_mut(sent).remove("status");
        }
    }

    /// Which half of the object this request may write.
    pub(super) fn part(&self) -> Part {
        if self.info.subresource == "status" {
            Part::Status
        } else {
            Part::Main
        }
    }

    pub(super) fn writer(&self) -> managed::Writer<'_> {
        managed::Writer {
            manager: &self.manager,
            subresource: &self.info.subresource,
        }
    }

    /// The URL says where an object goes; the object may repeat it but not contradict it.
    pub(super) fn check_place(&self, sent: &mut Value) -> Result<(), Status> {
        if !self.resource.namespaced {
            return Ok(());
        }
        let namespace = object::namespace(sent);
        if !namespace.is_empty() && namespace != self.info.namespace {
            return Err(Status::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request",
            ));
        }
        object::metadata_mut(sent).insert("namespace".into(), self.info.namespace.as_str().into());
        Ok(())
    }
}

/// Real servers warn about finalizers without a path.
fn finalizer_warning(resource: &resources::Resource, sent: &Value) -> Option<String> {
    let finalizers = sent["metadata"]["finalizers"].as_array()?;
    let bare = finalizers
        .iter()
        .filter_map(Value::as_str)
        .find(|finalizer| !finalizer.contains('/'))?;
    resource.custom.then(|| {
        format!(
            "299 - \"metadata.finalizers: \\\"{bare}\\\": prefer a domain-qualified finalizer name including a path (/) to avoid \
             accidental conflicts with other finalizer writers\""
        )
    })
}
