//! `delete` and `deletecollection`.

use axum::extract::Request;
use axum::response::Response;
use serde_json::{Value, json};

use super::{ObjectRequest, body, params};
use crate::api::respond;
use crate::meta::{Object, Status, object, resources};
use crate::store::{DeleteOptions, Deletion};

impl ObjectRequest<'_> {
    pub(super) async fn delete(&self, request: Request) -> Result<Response, Status> {
        let options = self.delete_options(request).await?;
        let deletion =
            self.api
                .store
                .delete(self.resource, self.namespace(), &self.info.name, &options)?;
        // A pod is always answered as it is, everything else only while it is still there.
        let is_pod = std::ptr::eq(self.resource, &raw const resources::PODS);
        Ok(match deletion {
            Deletion::Pending(object) => self.representation.respond(200, self.resource, &object),
            Deletion::Gone(object) if is_pod => {
                self.representation.respond(200, self.resource, &object)
            }
            Deletion::Gone(object) => respond::json(200, &self.success(&object)),
        })
    }

    pub(super) async fn delete_collection(&self, request: Request) -> Result<Response, Status> {
        let labels = self.params.labels()?;
        let fields = self.params.fields(self.resource)?;
        let options = self.delete_options(request).await?;
        let list = self.api.store.list(self.resource, self.namespaces());
        let mut deleted: Vec<Object> = Vec::new();
        for item in list
            .items
            .iter()
            .filter(|item| labels.matches(item) && fields.matches(item))
        {
            match self.api.store.delete(
                self.resource,
                object::namespace(item),
                object::name(item),
                &options,
            ) {
                Ok(Deletion::Gone(object) | Deletion::Pending(object)) => deleted.push(object),
                Err(status) if status.code == 404 => {}
                Err(status) => return Err(status),
            }
        }
        let metadata = json!({ "resourceVersion": self.api.store.revision().to_string() });
        Ok(respond::json(
            200,
            &self.representation.list(self.resource, &metadata, &deleted),
        ))
    }

    fn success(&self, object: &Object) -> Value {
        let mut details = json!({ "name": object::name(object), "kind": self.resource.plural, "uid": object::uid(object) });
        if !self.resource.group.is_empty() {
            details["group"] = self.resource.group.into();
        }
        json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details })
    }

    /// Options come in the body or, one by one, in the query.
    async fn delete_options(&self, request: Request) -> Result<DeleteOptions, Status> {
        let sent = body::value(request).await?.unwrap_or_default();
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let propagation = sent["propagationPolicy"]
            .as_str()
            .map(params::propagation)
            .transpose()?;
        let in_body = sent["dryRun"]
            .as_array()
            .is_some_and(|list| list.contains(&json!("All")));
        Ok(DeleteOptions {
            grace_period_seconds: match sent["gracePeriodSeconds"].as_u64() {
                Some(seconds) => Some(seconds),
                None => self.params.number("gracePeriodSeconds")?,
            },
            propagation: match propagation {
                Some(policy) => Some(policy),
                None => self.params.propagation()?,
            },
            uid: text(&sent["preconditions"]["uid"]),
            resource_version: text(&sent["preconditions"]["resourceVersion"]),
            dry_run: self.dry_run || in_body,
        })
    }
}
