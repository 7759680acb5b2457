//! `get` and `list`.
//!
//! Left out: the past. A continued list shows the objects as they are now; a real one shows them as they were when the
//! list began.

use axum::response::Response;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::ObjectRequest;
use crate::api::respond;
use crate::meta::{Object, Status, object};

/// Where a list goes on (the same form as a real server's).
#[derive(Debug, Serialize, Deserialize)]
struct Continue {
    v: String,
    rv: u64,
    /// Namespace and name of the last object shown, ended by a zero byte.
    start: String,
}

const CONTINUE_VERSION: &str = "meta.k8s.io/v1";

impl ObjectRequest<'_> {
    pub(super) fn get(&self) -> Result<Response, Status> {
        let object = self
            .api
            .store
            .get(self.resource, self.namespace(), &self.info.name)?;
        Ok(self.representation.respond(200, self.resource, &object))
    }

    pub(super) fn list(&self) -> Result<Response, Status> {
        let labels = self.params.labels()?;
        let fields = self.params.fields(self.resource)?;
        let list = self.api.store.list(self.resource, self.namespaces());
        self.check_revision_wanted(list.revision)?;
        let mut items = list.items;
        items.retain(|item| labels.matches(item) && fields.matches(item));
        let mut revision = list.revision;
        if let Some(token) = self.params.get("continue") {
            let from = parse_continue(token)?;
            revision = from.rv;
            items.retain(|item| position(item) > from.start);
        }
        let mut metadata = json!({ "resourceVersion": revision.to_string() });
        let limit = self
            .params
            .number::<usize>("limit")?
            .filter(|limit| *limit > 0);
        if let Some(limit) = limit.filter(|limit| *limit < items.len()) {
            let next = Continue {
                v: CONTINUE_VERSION.to_owned(),
                rv: revision,
                start: position(&items[limit - 1]),
            };
            let next =
                serde_json::to_vec(&next).map_err(|error| Status::internal(error.to_string()))?;
            metadata["continue"] = BASE64_URL_SAFE_NO_PAD.encode(next).into();
            // With a selector a real server does not know how many are left.
            if self.params.get("labelSelector").is_none()
                && self.params.get("fieldSelector").is_none()
            {
                metadata["remainingItemCount"] = (items.len() - limit).into();
            }
            items.truncate(limit);
        }
        Ok(respond::json(
            200,
            &self.representation.list(self.resource, &metadata, &items),
        ))
    }

    /// A client may ask for a revision that is still to come: it must wait and ask again.
    pub(super) fn check_revision_wanted(&self, current: u64) -> Result<Option<u64>, Status> {
        let wanted = self.params.number::<u64>("resourceVersion")?;
        if wanted.is_some_and(|wanted| wanted > current) {
            let message = format!(
                "Too large resource version: {}, current: {current}",
                wanted.unwrap_or_default()
            );
            let cause = json!({ "reason": "ResourceVersionTooLarge", "message": "Too large resource version" });
            return Err(Status {
                details: Some(json!({ "causes": [cause], "retryAfterSeconds": 1 })),
                ..Status::plain(504, "Timeout", format!("Timeout: {message}"))
            });
        }
        Ok(wanted)
    }
}

/// Position of an object in a list, which orders as the store does.
fn position(item: &Object) -> String {
    let name = object::name(item);
    match object::namespace(item) {
        "" => format!("{name}\0"),
        namespace => format!("{namespace}/{name}\0"),
    }
}

fn parse_continue(token: &str) -> Result<Continue, Status> {
    let invalid = |problem: String| {
        Status::bad_request(format!(
            "invalid continue token: continue key is not valid: {problem}"
        ))
    };
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(token).map_err(|error| {
        let at = match error {
            base64::DecodeError::InvalidByte(at, _)
            | base64::DecodeError::InvalidLastSymbol(at, _) => at,
            base64::DecodeError::InvalidLength(length) => length - length % 4,
            base64::DecodeError::InvalidPadding => token.len(),
        };
        invalid(format!("illegal base64 data at input byte {at}"))
    })?;
    let parsed: Continue =
        serde_json::from_slice(&bytes).map_err(|error| invalid(error.to_string()))?;
    if parsed.v != CONTINUE_VERSION {
        return Err(invalid(
            "server does not recognize this encoded version".to_owned(),
        ));
    }
    Ok(parsed)
}
