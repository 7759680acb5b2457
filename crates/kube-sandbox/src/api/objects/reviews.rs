//! Access reviews: may I do this, and what may I do?

use axum::extract::Request;
use axum::response::Response;
use serde_json::{Value, json};

use super::{ObjectRequest, body, managed};
use crate::api::{
    respond,
    users::{Action, Users},
};
use crate::meta::{Status, resources};

impl ObjectRequest<'_> {
    pub(super) async fn review(&self, request: Request) -> Result<Response, Status> {
        let mut review = body::object(self.resource, request).await?;
        let status = if self.resource.plural == resources::ACCESS_REVIEWS.plural {
            json!({ "allowed": self.may(&review["spec"])? })
        } else {
            self.rules(review["spec"]["namespace"].as_str().unwrap_or_default())
        };
        review["metadata"] = json!({});
        managed::updated(self.resource, &self.writer(), None, &mut review);
        review["status"] = status;
        Ok(respond::json(201, &review))
    }

    fn may(&self, spec: &Value) -> Result<bool, Status> {
        if let Some(path) = spec["nonResourceAttributes"]["path"].as_str() {
            let verb = spec["nonResourceAttributes"]["verb"]
                .as_str()
                .unwrap_or_default();
            return Ok(Users::authorize_path(self.caller, verb, path).is_ok());
        }
        let attributes = &spec["resourceAttributes"];
        if attributes.is_null() {
            return Err(Status::plain(
                422,
                "Invalid",
                "SelfSubjectAccessReview.authorization.k8s.io \"\" is invalid: spec.resourceAttributes: Invalid value: null: exactly \
                 one of nonResourceAttributes or resourceAttributes must be specified",
            ));
        }
        let text = |name: &str| attributes[name].as_str().unwrap_or_default();
        let action = Action {
            verb: text("verb"),
            group: text("group"),
            resource: text("resource"),
            subresource: text("subresource"),
            name: text("name"),
            namespace: text("namespace"),
        };
        Ok(self.api.users.allows(self.caller, &action))
    }

    fn rules(&self, namespace: &str) -> Value {
        let everything = json!({ "verbs": ["*"], "apiGroups": ["*"], "resources": ["*"] });
        let rules: Vec<Value> = if Users::is_administrator(self.caller) {
            vec![everything]
        } else {
            let held = self
                .api
                .users
                .rules(self.caller)
                .into_iter()
                .filter(|rule| rule.holds_in(namespace));
            held.map(|rule| {
                let mut entry = json!({ "verbs": rule.verbs, "apiGroups": rule.api_groups, "resources": rule.resources });
                if !rule.resource_names.is_empty() {
                    entry["resourceNames"] = json!(rule.resource_names);
                }
                entry
            })
            .collect()
        };
        let paths = json!([{ "verbs": ["get"], "nonResourceURLs": ["/api", "/apis", "/healthz", "/openapi", "/version"] }]);
        json!({ "resourceRules": rules, "nonResourceRules": paths, "incomplete": false })
    }
}
