//! `scale`: the number of replicas of a workload, as `autoscaling/v1` Scale.

use axum::extract::Request;
use axum::response::Response;
use serde_json::{Value, json};

use super::patch::Patch;
use super::{ObjectRequest, body, managed};
use crate::api::respond;
use crate::meta::{Cause, Resource, Status, object};
use crate::store::Part;

impl ObjectRequest<'_> {
    pub(super) async fn scale(&self, verb: &str, request: Request) -> Result<Response, Status> {
        let store = &self.api.store;
        let change: Change = match verb {
            "get" => {
                let object = store.get(self.resource, self.namespace(), &self.info.name)?;
                return Ok(respond::json(200, &scale_of(&object)));
            }
            "update" => {
                let sent = body::value(request).await?.unwrap_or_default();
                Box::new(move |_| Ok(sent))
            }
            _ => {
                let patch = Patch::read(None, request).await?;
                Box::new(move |scale| patch.apply(scale))
            }
        };
        let written = store.write(
            self.resource,
            self.namespace(),
            &self.info.name,
            Part::Main,
            self.dry_run,
            |current| {
                let scale = change(&scale_of(current))?;
                let mut next = current.clone();
                next["spec"]["replicas"] = replicas(self.resource, &scale)?.into();
                let revision = &scale["metadata"]["resourceVersion"];
                if !revision.is_null() {
                    object::metadata_mut(&mut next)
                        .insert("resourceVersion".into(), revision.clone());
                }
                Ok(managed::with_update(
                    self.resource,
                    &self.writer(),
                    current,
                    next,
                ))
            },
        )?;
        Ok(respond::json(200, &scale_of(&written)))
    }
}

type Change = Box<dyn FnOnce(&Value) -> Result<Value, Status> + Send>;

fn replicas(resource: &Resource, scale: &Value) -> Result<u64, Status> {
    match &scale["spec"]["replicas"] {
        Value::Null => Ok(0),
        number if number.as_u64().is_some() => Ok(number.as_u64().unwrap_or_default()),
        other => {
            let cause =
                Cause::invalid("spec.replicas", other, "must be greater than or equal to 0");
            Err(Status::invalid(resource, object::name(scale), &[cause]))
        }
    }
}

/// Zero replicas are left out, as Go leaves out every zero.
fn scale_of(object: &Value) -> Value {
    let metadata = &object["metadata"];
    let mut scale = json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1",
        "metadata": {
            "name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"], "creationTimestamp": metadata["creationTimestamp"],
        },
        "spec": {},
        "status": {
            "replicas": object["status"]["replicas"].as_u64().unwrap_or_default(),
            "selector": selector(&object["spec"]["selector"]["matchLabels"]),
        },
    });
    if let Some(replicas) = object["spec"]["replicas"]
        .as_u64()
        .filter(|replicas| *replicas > 0)
    {
        scale["spec"]["replicas"] = replicas.into();
    }
    scale
}

fn selector(labels: &Value) -> String {
    let terms = labels.as_object().into_iter().flatten();
    terms
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect::<Vec<_>>()
        .join(",")
}
