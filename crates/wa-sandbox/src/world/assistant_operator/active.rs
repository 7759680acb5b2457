//! The patches that are active on a custom resource, by its annotations.
//!
//! An annotation holds a JSON map from a patch's name to an entry. A release has one annotation or two; here a patch is
//! active that is in any of them, so that a key that was forgotten in one shows.

use kube_sandbox::meta::{Object, object};
use kube_sandbox::store::Store;
use serde_json::{Map, Value, json};

use crate::world::Names;

/// The kind that an old entry means, which does not say it.
const TEMPORARY_PATCH: &str = "TemporaryPatch";

/// Why a reconcile fails; as the operator's library tells it in the conditions of the custom resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::world) struct Failure {
    /// The reason of the condition `Ready`.
    pub(super) reason: &'static str,
    pub(in crate::world) message: String,
}

/// The annotations of a release, and how its operator writes them.
#[derive(Debug, Clone, Copy)]
pub(in crate::world) struct Annotations {
    names: &'static [&'static str],
    /// Whether entries say the kind of the patch.
    with_kind: bool,
}

impl Annotations {
    pub(in crate::world) fn from_names(names: &Names) -> Self {
        Self {
            names: names.patch_annotations,
            with_kind: names.patch_entries_have_kind(),
        }
    }

    /// The patches to apply to a custom resource, the earliest first.
    pub(in crate::world) fn patches(
        self,
        store: &Store,
        part: &Value,
    ) -> Result<Vec<Object>, Failure> {
        let mut entries = Map::new();
        for annotation in self.names {
            entries.extend(read(part, annotation).map_err(errored)?);
        }
        let mut dated = Vec::new();
        for (name, entry) in &entries {
            let malformed = || errored(format!("Patch meta incorrectly formatted [{entry}]"));
            let timestamp = entry["timestamp"].as_str().ok_or_else(malformed)?;
            let time: jiff::civil::DateTime = timestamp
                .parse()
                .map_err(|_| errored(format!("Failed to parse patch timestamp [{timestamp}]")))?;
            let api_version = entry["api_version"].as_str().ok_or_else(malformed)?;
            let kind = entry["kind"].as_str().unwrap_or(TEMPORARY_PATCH);
            let resource = store.kinds().find_kind(api_version, kind);
            let found = resource
                .and_then(|resource| store.get(resource, object::namespace(part), name).ok());
            let patch = found.ok_or_else(|| Failure {
                reason: "ConfigError",
                message: format!("Patch not found [{name}]"),
            })?;
            dated.push((time, patch));
        }
        dated.sort_by_key(|(time, _)| *time);
        Ok(dated.into_iter().map(|(_, patch)| patch).collect())
    }

    /// The custom resource with the patch's key in every annotation, or without it; `None` when that is so already.
    pub(super) fn with_key(
        self,
        part: &Value,
        patch: &Value,
        active: bool,
    ) -> Result<Option<Value>, Failure> {
        let mut changed = part.clone();
        let name = object::name(patch);
        for annotation in self.names {
            let mut entries = read(part, annotation).map_err(|message| Failure {
                reason: "ConfigError",
                message,
            })?;
            let as_wanted = entries.contains_key(name) == active;
            if as_wanted {
                continue;
            }
            if active {
                entries.insert(name.to_owned(), self.entry(patch));
            } else {
                entries.remove(name);
            }
            let annotations = object::map_mut(&mut changed["metadata"]["annotations"]);
            annotations.insert(
                (*annotation).to_owned(),
                Value::Object(entries).to_string().into(),
            );
        }
        Ok((changed != *part).then_some(changed))
    }

    fn entry(self, patch: &Value) -> Value {
        let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.6f");
        let mut entry = json!({ "timestamp": now.to_string(), "api_version": patch["apiVersion"] });
        if self.with_kind {
            entry["kind"] = patch["kind"].clone();
        }
        entry
    }
}

fn errored(message: String) -> Failure {
    Failure {
        reason: "Errored",
        message,
    }
}

/// The entries of one annotation; none when it is not there.
fn read(part: &Value, annotation: &str) -> Result<Map<String, Value>, String> {
    let Some(text) = part["metadata"]["annotations"][annotation].as_str() else {
        return Ok(Map::new());
    };
    serde_json::from_str(text)
        .map_err(|_| format!("Could not parse patches from annotation [{text}]"))
}
