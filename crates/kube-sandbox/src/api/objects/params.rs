//! Query parameters of requests for objects.

use std::collections::HashMap;
use std::str::FromStr;

use axum::extract::Query;
use http::Uri;

use super::selectors::{FieldSelector, LabelSelector};
use crate::meta::{Cause, Resource, Status};
use crate::store::Propagation;

/// A request's query.
#[derive(Debug, Clone, Default)]
pub(super) struct Params(HashMap<String, String>);

impl Params {
    pub(super) fn from_uri(uri: &Uri) -> Result<Self, Status> {
        Query::try_from_uri(uri)
            .map(|Query(map)| Self(map))
            .map_err(|error| Status::bad_request(format!("invalid query: {error}")))
    }

    /// A parameter that is there and not empty.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    pub(super) fn number<T: FromStr<Err: std::fmt::Display>>(
        &self,
        name: &str,
    ) -> Result<Option<T>, Status> {
        self.get(name)
            .map(|text| {
                text.parse().map_err(|error| {
                    Status::bad_request(format!("invalid {name} {text:?}: {error}"))
                })
            })
            .transpose()
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        self.0
            .get(name)
            .is_some_and(|value| !matches!(value.as_str(), "false" | "0"))
    }

    /// Whether nothing is to be stored. `All` is the only value there is.
    pub(super) fn dry_run(&self) -> Result<bool, Status> {
        match self.get("dryRun") {
            None => Ok(false),
            Some("All") => Ok(true),
            Some(other) => {
                let cause = Cause::not_supported("dryRun", &other.into(), &["All"]);
                let message = format!(
                    "WriteOptions.meta.k8s.io \"\" is invalid: {}: {}",
                    cause.field, cause.message
                );
                Err(Status::plain(422, "Invalid", message))
            }
        }
    }

    pub(super) fn labels(&self) -> Result<LabelSelector, Status> {
        self.get("labelSelector").unwrap_or_default().parse()
    }

    pub(super) fn fields(&self, resource: &Resource) -> Result<FieldSelector, Status> {
        FieldSelector::parse(resource, self.get("fieldSelector").unwrap_or_default())
    }

    pub(super) fn propagation(&self) -> Result<Option<Propagation>, Status> {
        self.get("propagationPolicy").map(propagation).transpose()
    }

    /// Who a write is attributed to in `managedFields`: as asked, else the client's name.
    pub(super) fn manager(&self, user_agent: &str) -> String {
        let client = user_agent.split('/').next().unwrap_or_default();
        self.get("fieldManager").unwrap_or(client).to_owned()
    }
}

/// Reads a propagation policy.
pub(super) fn propagation(text: &str) -> Result<Propagation, Status> {
    match text {
        "Background" => Ok(Propagation::Background),
        "Foreground" => Ok(Propagation::Foreground),
        "Orphan" => Ok(Propagation::Orphan),
        other => Err(Status::plain(
            422,
            "Invalid",
            format!(
                "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Unsupported value: {other:?}: supported values: \
                 \"Foreground\", \"Background\", \"Orphan\", \"nil\""
            ),
        )),
    }
}
